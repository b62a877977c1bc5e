//! A receiver of posts that answers as a test says, over TLS if wanted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// What the receiver does with a request.
pub(crate) enum Reply {
    /// Status, further headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// It ends the connection without a word.
    Close,
    /// It says nothing and keeps the connection open.
    Hang,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), String::new())
    }

    pub(crate) fn body(status: u16, body: &str) -> Self {
        Self::Answer(status, Vec::new(), body.to_owned())
    }
}

type Handler = dyn Fn(&Request, usize) -> Reply + Send + Sync;
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub(crate) struct Receiver {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
    scheme: &'static str,
}

impl Receiver {
    /// A receiver on a free port; `reply` gets the request and how many came before it.
    pub(crate) fn start(reply: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), None, reply)
    }

    /// The same over TLS, with a certificate and key from the folder.
    pub(crate) fn start_tls(
        folder: &Path,
        reply: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let tls = Some(Arc::new(server_config(folder)));
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), tls, reply)
    }

    pub(crate) fn serve(
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        reply: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            is_over: Arc::default(),
            scheme: if tls.is_some() { "https" } else { "http" },
        };
        let (requests, is_over) = (receiver.requests.clone(), receiver.is_over.clone());
        let reply: Arc<Handler> = Arc::new(reply);
        std::thread::spawn(move || {
            // What hangs is kept open until the receiver ends.
            let hanging: Arc<Mutex<Vec<Box<dyn Stream>>>> = Arc::default();
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (requests, reply) = (requests.clone(), reply.clone());
                let (tls, hanging) = (tls.clone(), hanging.clone());
                std::thread::spawn(move || {
                    let stream = open(stream.unwrap(), tls);
                    // A client that goes away in the middle is what some tests are about.
                    if let Ok(Some(stream)) = answer(stream, &requests, &*reply) {
                        hanging.lock().unwrap().push(stream);
                    }
                });
            }
        });
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}/rows", self.scheme, self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

fn open(stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) -> Box<dyn Stream> {
    match tls {
        None => Box::new(stream),
        Some(config) => {
            let connection = rustls::ServerConnection::new(config).unwrap();
            Box::new(rustls::StreamOwned::new(connection, stream))
        }
    }
}

fn answer(
    stream: Box<dyn Stream>,
    requests: &Mutex<Vec<Request>>,
    reply: &Handler,
) -> std::io::Result<Option<Box<dyn Stream>>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    reader.read_exact(&mut body)?;
    let request = Request {
        target,
        headers,
        body,
    };
    let before = {
        let mut requests = requests.lock().unwrap();
        requests.push(request.clone());
        requests.len() - 1
    };
    let reply = reply(&request, before);
    let mut stream = reader.into_inner();
    match reply {
        Reply::Answer(status, headers, body) => {
            let length = body.len();
            let mut text = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n");
            for (name, value) in headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str(&format!("content-length: {length}\r\n\r\n{body}"));
            stream.write_all(text.as_bytes())?;
            stream.flush()?;
            Ok(None)
        }
        Reply::Close => Ok(None),
        Reply::Hang => Ok(Some(stream)),
    }
}

fn server_config(folder: &Path) -> rustls::ServerConfig {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificates = CertificateDer::pem_file_iter(folder.join("cert.pem")).unwrap();
    let certificates = certificates.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap()
}
