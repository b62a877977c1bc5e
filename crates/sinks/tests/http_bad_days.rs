//! Receivers that are down, slow, gone in the middle, or not who they say.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "common/http.rs"]
mod http;

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use certificates::make_certificates;
use common::batch;
use http::{Receiver, Reply};
use record::Record;
use sinks::{BatchWriter, ErrorKind, HttpOptions, HttpProxy, HttpWriter};

fn writer(receiver: &Receiver) -> HttpWriter {
    HttpWriter::new(HttpOptions::new(&receiver.url()).unwrap())
}

#[tokio::test]
async fn lesson_a_failed_first_connect_is_not_final() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let options = HttpOptions::new(&format!("http://{address}/rows")).unwrap();
    let writer = HttpWriter::<Record>::new(options);
    let error = writer.write(&batch(1, 1..=2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let receiver = Receiver::serve(TcpListener::bind(address).unwrap(), None, |_, _| {
        Reply::status(200)
    });
    assert_eq!(writer.write(&batch(1, 1..=2)).await.unwrap().delivered(), 2);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn lesson_a_batch_whose_answer_was_lost_is_known_again_by_its_key() {
    let receiver = Receiver::start(|_, before| match before {
        0 => Reply::Close,
        _ => Reply::status(200),
    });
    let writer = writer(&receiver);
    let error = writer.write(&batch(1, 1..=2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    writer.write(&batch(1, 1..=2)).await.unwrap();
    let [first, second] = receiver.requests().try_into().unwrap();
    let key = first.header("idempotency-key").unwrap();
    assert_eq!(second.header("idempotency-key"), Some(key));
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn a_receiver_that_says_nothing_is_left_after_the_timeout() {
    let receiver = Receiver::start(|_, _| Reply::Hang);
    let options = HttpOptions::new(&receiver.url())
        .unwrap()
        .timeout(Duration::from_millis(200));
    let error = HttpWriter::<Record>::new(options)
        .write(&batch(1, 1..=1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.to_string().contains("within 200ms"), "{error}");
}

#[tokio::test]
async fn a_dropped_write_leaves_the_writer_usable() {
    let receiver = Receiver::start(|_, before| match before {
        0 => Reply::Hang,
        _ => Reply::status(200),
    });
    let writer = writer(&receiver);
    let rows = batch(1, 1..=2);
    let write = writer.write(&rows);
    tokio::select! {
        _ = write => panic!("nobody answers"),
        () = async {
            while receiver.requests().is_empty() {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    assert_eq!(writer.write(&rows).await.unwrap().delivered(), 2);
}

#[tokio::test]
async fn tls_is_trusted_by_the_given_ca_and_by_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    if !make_certificates(folder.path()) {
        return;
    }
    let receiver = Receiver::start_tls(folder.path(), |_, _| Reply::status(200));
    let ca = folder.path().join("ca.pem");
    let url = format!("{}#ca={}", receiver.url(), ca.display());
    let options = HttpOptions::from_url(&url::Url::parse(&url).unwrap()).unwrap();
    let writer = HttpWriter::<Record>::new(options);
    assert_eq!(writer.write(&batch(1, 1..=2)).await.unwrap().delivered(), 2);

    let distrusting = HttpWriter::<Record>::new(HttpOptions::new(&receiver.url()).unwrap());
    let error = distrusting.write(&batch(1, 1..=2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(receiver.requests().len(), 1);

    let missing = HttpOptions::new(&receiver.url())
        .unwrap()
        .ca_file("/no/such/ca.pem");
    let error = HttpWriter::<Record>::new(missing)
        .write(&batch(1, 1..=1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("/no/such/ca.pem"), "{error}");
}

/// Runs itself again with a proxy in the environment, since a process cannot change its own.
#[tokio::test]
async fn proxies_of_the_environment_are_used_only_when_asked_for() {
    const TARGET: &str = "FOREBAY_TEST_PROXIED";
    if let Ok(url) = std::env::var(TARGET) {
        let options = HttpOptions::new(&url).unwrap();
        let straight = HttpWriter::<Record>::new(options.clone());
        straight.write(&batch(1, 1..=1)).await.unwrap();
        let proxied = HttpWriter::<Record>::new(options.proxy(HttpProxy::FromEnvironment));
        proxied.write(&batch(1, 1..=2)).await.unwrap();
        return;
    }
    let receiver = Receiver::start(|_, _| Reply::status(200));
    let proxy = Receiver::start(|_, _| Reply::status(200));
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "proxies_of_the_environment_are_used_only_when_asked_for",
        ])
        .env(TARGET, receiver.url())
        .env("http_proxy", format!("http://{}", proxy.address()))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(proxy.requests().len(), 1);
    assert_eq!(proxy.requests()[0].target, receiver.url());
}
