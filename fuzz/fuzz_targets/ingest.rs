//! Bodies of `POST /api/ingest`, over the wire: an answer always comes, and adds up.

#![no_main]

use fuzz::server;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let answer = server::with(|server| server.post("/api/ingest", body));
    let text = String::from_utf8_lossy(&answer.body);
    let said: Value = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|error| panic!("{} has no JSON body: {error}: {text}", answer.status));
    let count = |name: &str| said[name].as_u64();
    match answer.status {
        200 => {
            let accepted = count("accepted").expect("`accepted`");
            let malformed = count("malformed_count").expect("`malformed_count`");
            assert!(accepted > 0, "{text}");
            if !body.trim_ascii_start().starts_with(b"[") {
                let lines = body.split(|byte| *byte == b'\n');
                let lines = lines.filter(|line| !line.trim_ascii().is_empty()).count();
                assert_eq!(accepted + malformed, lines as u64, "{text}");
            }
        }
        // No usable record, too large, too many new keys, no room, or nothing is taken now.
        400 | 413 | 422 | 429 | 503 => {
            assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
            assert_eq!(count("status"), Some(u64::from(answer.status)), "{text}");
        }
        status => panic!("{status}: {text}"),
    }
});
