//! A gateway over a pipeline into memory, on a free port.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod exposition;
pub(crate) mod socket;
pub(crate) mod stored;
pub(crate) mod tls;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway::{Gateway, GatewayOptions, Rights, Token};
use pipeline::{BufferOptions, Intake, LiveData, Pipeline};
use record::{Record, Timestamp, Value};
use serde_json::Value as Json;
use sinks::{BoxWriter, MemoryWriter, RetryPolicy, ScopeName};
use tokio::sync::oneshot;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) pipeline: Pipeline,
    pub(crate) intake: Intake,
    pub(crate) sink: MemoryWriter,
    /// A token with all rights, made for this server.
    pub(crate) admin: Token,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(BufferOptions::default(), GatewayOptions::default()).await
    }

    pub(crate) async fn with(buffer: BufferOptions, options: GatewayOptions) -> Self {
        Self::with_keys(50, buffer, options).await
    }

    /// One with room for so many keys.
    pub(crate) async fn with_keys(
        keys_max: usize,
        buffer: BufferOptions,
        options: GatewayOptions,
    ) -> Self {
        let sink = MemoryWriter::new();
        let pipeline = Pipeline::to(BoxWriter::new(sink.clone()))
            .buffer(buffer)
            .flush(500, Duration::from_millis(20))
            .retry(RetryPolicy::default().unlimited())
            .live(live_data(keys_max))
            .start()
            .unwrap();
        Self::over(pipeline, sink, options).await
    }

    /// One over any pipeline that writes to this sink.
    pub(crate) async fn over(
        pipeline: Pipeline,
        sink: MemoryWriter,
        mut options: GatewayOptions,
    ) -> Self {
        let admin = Token::generate().unwrap();
        let all = Rights::none().read_all().ingest().act().admin();
        let access = std::mem::take(&mut options.access);
        options.access = access.token("test-admin", admin.hash(), all).unwrap();
        let intake = pipeline
            .intake(&ScopeName::new("plc/normal"))
            .await
            .unwrap();
        let ingest = pipeline
            .intake(&ScopeName::new("http/normal"))
            .await
            .unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let gateway = Gateway::bind(listen, options, pipeline.clone(), ingest)
            .await
            .unwrap();
        let address = gateway.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(gateway.serve(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            pipeline,
            intake,
            sink,
            admin,
            stop: Some(stop),
            served,
        }
    }

    /// Puts so many readings of a tag at once.
    pub(crate) fn put_many(&self, tag: &str, count: i64) {
        let records = (1..=count).map(|number| {
            let timestamp = Timestamp::from_micros(number).unwrap();
            Ok(Record::new("PLC01", tag, Value::F64(number as f64), timestamp).unwrap())
        });
        let pushed = self.intake.push(Instant::now(), records.collect());
        assert_eq!(pushed.unwrap().accepted as i64, count);
    }

    pub(crate) fn put(&self, tag: &str, value: impl Into<Value>, micros: i64) {
        let timestamp = Timestamp::from_micros(micros).unwrap();
        let record = Record::new("PLC01", tag, value.into(), timestamp).unwrap();
        assert_eq!(
            self.intake
                .push(Instant::now(), vec![Ok(record)])
                .unwrap()
                .accepted,
            1
        );
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", &[]).await
    }

    /// As an administrator.
    pub(crate) async fn order(
        &self,
        path: &str,
        body: impl Into<Vec<u8>>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let bearer = format!("Bearer {}", self.admin.as_str());
        let headers = [&[("authorization", bearer.as_str())], headers].concat();
        self.send("POST", path, body, &headers).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Vec<u8>>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .allow_non_standard_methods(true)
                .timeout_global(Some(Duration::from_secs(20)))
                .build()
                .into();
            let agent = agent.run(request).unwrap();
            let (parts, mut body) = agent.into_parts();
            let headers = parts.headers;
            let text = body.with_config().limit(50 << 20).read_to_string().unwrap();
            Answer {
                status: parts.status.as_u16(),
                headers,
                text,
            }
        })
        .await
        .unwrap()
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.served.await.unwrap().unwrap();
        self.pipeline.shutdown(None).await;
    }
}

pub(crate) fn live_data(keys_max: usize) -> LiveData {
    LiveData::builder()
        .depth_default(100)
        .keys_max(keys_max)
        .resume_updates(1_000)
        .build()
        .unwrap()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}
