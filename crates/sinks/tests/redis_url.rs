//! URLs of Redis: what is not allowed is named, and passwords are not.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sinks::RedisOptions;

#[test]
fn parameters_that_are_wrong_are_named_with_what_is_allowed() {
    let check = |url: &str, expected: &str| {
        let error = RedisOptions::new(url).unwrap_err().to_string();
        assert!(error.contains(expected), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    };
    check(
        "redis://h/?maxlen=0",
        "`maxlen` is `0`, expected off, a number of entries, or ~",
    );
    check(
        "redis://h/?chunk=0",
        "`chunk` is `0`, expected a whole number from 1 to 10000",
    );
    check(
        "redis://h/?format=xml",
        "`format` is `xml`, expected fields or json",
    );
    check("redis://h/?row_max=1", "`row_max` is `1`");
    for prefix in ["forebay:stream", "a:stream:b"] {
        let url = format!("redis://h/?prefix={prefix}");
        check(&url, "no part `stream` behind a colon");
    }
    check("redis://h/?ca=x.pem", "expected the scheme rediss");
    check(
        "redis://a:hunter2@h/?colour=red",
        "parameter `colour` is unknown",
    );
    check("redis://a:hunter2@h/first", "the address is none of Redis");
    check(
        "http://a:hunter2@h/",
        "the scheme is `http`, expected redis or rediss",
    );
}
