//! The Rust client over TLS, with a certificate that only those trust who were told to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use client::rustls::pki_types::CertificateDer;
use client::rustls::pki_types::pem::PemObject;
use client::rustls::{ClientConfig, RootCertStore, crypto::ring};
use client::{Client, ConnectError, Event, Subscribe};
use common::Server;
use gateway::{GatewayOptions, Tls};
use pipeline::BufferOptions;

/// Makes `cert.pem`, which signs itself, with `key.pem` for 127.0.0.1. `false`, loudly, where the
/// program `openssl` is not installed.
fn make_certificate(folder: &Path) -> bool {
    let command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                   -keyout key.pem -out cert.pem -subj /CN=localhost \
                   -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let output = Command::new("openssl")
        .args(command.split_whitespace())
        .current_dir(folder)
        .output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: openssl is not installed");
        return false;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    true
}

fn trusting(certificate: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificate).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_over_tls_from_a_server_that_is_trusted_and_from_no_other() {
    let folder = tempfile::tempdir().unwrap();
    if !make_certificate(folder.path()) {
        return;
    }
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let options = GatewayOptions {
        tls: Some(Tls::from_files(&certificate, &key).unwrap()),
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    server.put("D1", 1.0, 1);
    let url = format!("wss://{}/ws", server.address);
    let builder = Client::builder(&url).tls(trusting(&certificate));
    let client = builder.connect().await.unwrap();
    let asked = Subscribe {
        id: "all".to_owned(),
        keys: vec!["*".to_owned()],
        ..Subscribe::default()
    };
    let mut subscription = client.subscribe(asked).await.unwrap();
    let Some(Event::Snapshot(frame)) = subscription.next().await else {
        panic!("a snapshot comes first");
    };
    assert_eq!(frame.readings.len(), 1);

    // Nobody among the roots of the web has signed it.
    let refused = Client::builder(&url).connect().await.unwrap_err();
    assert!(
        matches!(&refused, ConnectError::Network { reason } if reason.contains("certificate")),
        "{refused:?}"
    );
    server.stop().await;
}
