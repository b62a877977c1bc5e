//! Certificates for tests of TLS.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

/// Makes `ca.pem`, and `cert.pem` with `key.pem` for 127.0.0.1 that it signed. `false`, loudly,
/// where the program `openssl` is not installed.
pub(crate) fn make_certificates(folder: &Path) -> bool {
    std::fs::write(
        folder.join("ext"),
        "subjectAltName=IP:127.0.0.1,DNS:localhost\n",
    )
    .unwrap();
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let commands = [
        format!("req -x509 {curve} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"),
        format!("req {curve} -keyout key.pem -out csr.pem -subj /CN=localhost"),
        "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext \
         -out cert.pem"
            .to_owned(),
    ];
    for command in commands {
        let output = Command::new("openssl")
            .args(command.split_whitespace())
            .current_dir(folder)
            .output();
        let Ok(output) = output else {
            eprintln!("SKIPPED: openssl is not installed");
            return false;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}");
    }
    true
}
