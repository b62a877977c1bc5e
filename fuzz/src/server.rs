//! A gateway over a pipeline into memory, on a free port, as a program would start it.
//!
//! It is one for many inputs, and made anew after [`INPUTS_MAX`] of them, since what it stores
//! stays in memory. Its threads are those of the fuzzer's process: coverage counts them, and a
//! panic of any of them is a finding.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gateway::{ActionError, Actions, Gateway, GatewayOptions};
use pipeline::{LiveData, Pipeline};
use sinks::{BoxWriter, MemoryWriter, ScopeName};
use tokio::runtime::Runtime;

/// Inputs after which everything begins anew.
const INPUTS_MAX: u64 = 5_000;
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway, and a connection to it that is kept.
pub struct Server {
    address: SocketAddr,
    inputs: u64,
    kept: Option<TcpStream>,
    // Dropped last: everything runs on it.
    runtime: Option<Runtime>,
}

/// What was answered to a request.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head as it came, in lower case.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Does something with the server of this process.
pub fn with<T>(act: impl FnOnce(&mut Server) -> T) -> T {
    static SERVER: Mutex<Option<Server>> = Mutex::new(None);
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if server.as_ref().is_some_and(|it| it.inputs >= INPUTS_MAX) {
        *server = None;
    }
    let server = server.get_or_insert_with(Server::start);
    server.inputs += 1;
    act(server)
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let actions = Actions::new()
            .on("echo", |request| async move { Ok(request.params) })
            .on("fail", |request| async move { Err(ActionError::Failed(request.target)) });
        let options = GatewayOptions {
            actions,
            channels: [("all".to_owned(), vec!["**".to_owned()])].into(),
            tick: Duration::from_millis(1),
            loops: 1,
            ..GatewayOptions::default()
        };
        let address = runtime.block_on(async {
            let live = LiveData::builder()
                .depth_default(50)
                .keys_max(2_000)
                .resume_updates(200)
                .build()
                .expect("valid live data");
            let pipeline = Pipeline::to(BoxWriter::new(MemoryWriter::new()))
                .flush(500, Duration::from_millis(5))
                .live(live)
                .start()
                .expect("a pipeline");
            let intake = pipeline.intake(&ScopeName::new("http/normal")).await;
            let intake = intake.expect("an intake");
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let gateway = Gateway::bind(listen, options, pipeline, intake).await;
            let gateway = gateway.expect("a free port");
            let address = gateway.local_addr();
            tokio::spawn(gateway.serve(std::future::pending()));
            address
        });
        let mut server = Self {
            address,
            inputs: 0,
            kept: None,
            runtime: Some(runtime),
        };
        for line in STORED {
            assert_eq!(server.post("/api/ingest", line).status, 200);
        }
        server
    }

    /// A new connection, on which this is said first.
    pub fn connect(&self, first: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.write_all(first).expect("nothing was refused yet");
        stream
    }

    /// The address, as a `Host`.
    pub fn host(&self) -> SocketAddr {
        self.address
    }

    /// Posts a body.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        let length = body.len();
        let host = self.address;
        let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n");
        let request = [head.as_bytes(), body].concat();
        let mut stream = match self.kept.take() {
            // It may have been closed since.
            Some(mut kept) => match kept.write_all(&request) {
                Ok(()) => kept,
                Err(_) => self.connect(&request),
            },
            None => self.connect(&request),
        };
        let answer = Answer::read(&mut stream);
        if !answer.head.contains("\r\nconnection: close") {
            self.kept = Some(stream);
        }
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stream) = self.kept.take() {
            // It is dropped either way.
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

impl Answer {
    /// Reads one, by its `content-length`.
    pub fn read(stream: &mut TcpStream) -> Self {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut byte).expect("an answer in time");
            assert_ne!(count, 0, "the connection ended instead of an answer");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head is ASCII").to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let length = head.split_once("\r\ncontent-length: ").map_or(0, |(_, rest)| {
            let digits = rest.split('\r').next().unwrap_or_default();
            digits.parse().expect("a number")
        });
        let mut body = vec![0; length];
        stream.read_exact(&mut body).expect("a whole body");
        Self {
            status: status.expect("a status"),
            head,
            body,
        }
    }
}

/// What can be subscribed to from the start.
const STORED: &[&[u8]] = &[
    br#"{"source":"a","tag":"n","value":1.5}"#,
    br#"{"source":"a","tag":"state","value":{"x":1,"y":{"z":[2]},"name":"one"}}"#,
    br#"{"source":"a","tag":"state","value":{"x":2,"y":{"z":[2]},"name":"one"}}"#,
    br#"{"source":"b","tag":"n","value":-3,"quality":"bad","priority":"critical"}"#,
];
