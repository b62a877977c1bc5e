//! What answers mean: taken, refused row by row, refused whole, later, or never.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/http.rs"]
mod http;

use std::time::{Duration, SystemTime};

use common::batch;
use http::{Receiver, Reply};
use record::Record;
use sinks::{BatchWriter, ErrorKind, HttpOptions, HttpWriter, Receipt, RowOutcome, WriteError};

async fn post(
    rows: u64,
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) -> Result<Receipt, WriteError> {
    let receiver = Receiver::start(move |_, _| reply());
    let options = HttpOptions::new(&receiver.url())
        .unwrap()
        .answer_bytes_max(4096);
    HttpWriter::<Record>::new(options)
        .write(&batch(1, 1..=rows))
        .await
}

async fn post_for(rows: u64, status: u16, body: &'static str) -> Result<Receipt, WriteError> {
    post(rows, move || Reply::body(status, body)).await
}

#[tokio::test]
async fn answers_that_name_no_row_deliver_all() {
    let bodies = [
        "",
        "thank you",
        "{}",
        "[]",
        r#"{"accepted":true,"errors":false}"#,
        r#"{"accepted":3,"errors":[]}"#,
    ];
    for body in bodies {
        for status in [200, 201, 202, 204] {
            let receipt = post_for(3, status, if status == 204 { "" } else { body }).await;
            assert_eq!(
                receipt.unwrap(),
                Receipt::delivered_all(3),
                "{status} {body}"
            );
        }
    }
}

#[tokio::test]
async fn rows_that_an_answer_names_are_refused_and_the_others_delivered() {
    let bodies = [
        r#"{"errors":[{"row":1,"reason":"too high"}]}"#,
        r#"{"accepted":2,"rejected":[{"row":1,"message":"too high"}]}"#,
        // As a gateway of Forebay says it: lines, counted from 1.
        r#"{"accepted":2,"malformed_count":1,"malformed":[{"line":2,"reason":"too high"}]}"#,
    ];
    for body in bodies {
        let receipt = post_for(3, 200, body).await.unwrap();
        assert_eq!(
            receipt.outcome(1),
            RowOutcome::Rejected("too high"),
            "{body}"
        );
        assert_eq!(
            (receipt.delivered(), receipt.rejected().len()),
            (2, 1),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_gateway_that_finds_no_usable_record_refuses_them_all_by_name() {
    let body = r#"{"accepted":0,"malformed_count":2,"malformed":[{"line":1,"reason":"a"},
        {"line":2,"reason":"b"}],"error":"the body has no usable record"}"#;
    let receipt = post_for(2, 400, body).await.unwrap();
    assert_eq!(receipt.outcome(0), RowOutcome::Rejected("a"));
    assert_eq!(receipt.outcome(1), RowOutcome::Rejected("b"));
}

#[tokio::test]
async fn refused_rows_that_the_answer_counts_and_does_not_name_are_never_taken_for_delivered() {
    let body = r#"{"accepted":1,"malformed_count":2,"malformed":[{"line":2,"reason":"a"}]}"#;
    let error = post_for(3, 200, body).await.unwrap_err();
    assert_eq!((error.kind(), error.row()), (ErrorKind::Data, None));
    assert!(
        error
            .to_string()
            .contains("2 of 3 rows were refused, but names only 1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_row_that_was_never_sent_cannot_be_refused() {
    let error = post_for(2, 200, r#"{"errors":[{"row":2}]}"#)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error
            .to_string()
            .contains("names row 2, counted from 0, of 2"),
        "{error}"
    );
}

#[tokio::test]
async fn a_batch_refused_for_what_is_in_it_is_an_error_of_the_data() {
    for status in [400, 413, 422] {
        let error = post_for(3, status, r#"{"error":"no such tag"}"#)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.row()),
            (ErrorKind::Data, None),
            "{status}"
        );
        // One row alone is to blame.
        let error = post_for(1, status, "").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.row()),
            (ErrorKind::Data, Some(0)),
            "{status}"
        );
        let body = r#"{"errors":[{"row":2,"reason":"too high"}]}"#;
        let error = post_for(3, status, body).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.row()),
            (ErrorKind::Data, Some(2)),
            "{status}"
        );
        assert!(error.to_string().contains("too high"), "{error}");
    }
}

#[tokio::test]
async fn refusals_that_no_retry_mends_are_fatal_and_say_what_to_check() {
    let table = [
        (401, "token"),
        (403, "token"),
        (404, "path"),
        (405, "path"),
        (415, "format"),
    ];
    for (status, advice) in table {
        let error = post_for(3, status, "no\nway").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal, "{status}");
        assert!(error.to_string().contains(advice), "{error}");
        assert!(error.to_string().contains("no way"), "on one line: {error}");
    }
}

#[tokio::test]
async fn what_may_work_later_is_transient() {
    for status in [408, 409, 425, 429, 500, 502, 503, 504, 507] {
        let error = post_for(3, status, "").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{status}");
        assert_eq!(error.retry_after(), None, "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_honoured_in_seconds_and_as_a_date() {
    for status in [429, 503] {
        let wait = move |value: String| {
            move || Reply::Answer(status, vec![("retry-after", value.clone())], String::new())
        };
        let error = post(1, wait("7".to_owned())).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        let at = SystemTime::now() + Duration::from_secs(3600);
        let error = post(1, wait(httpdate::fmt_http_date(at)))
            .await
            .unwrap_err();
        let delay = error.retry_after().unwrap();
        assert!(delay <= Duration::from_secs(3600), "{delay:?}");
        assert!(delay > Duration::from_secs(1800), "{delay:?}");
    }
}

#[tokio::test]
async fn redirects_are_refused_with_the_name_of_the_target_host_alone() {
    let elsewhere = Receiver::start(|_, _| Reply::status(200));
    let target = format!("http://{}/rows?token=hunter2", elsewhere.address());
    for status in [301, 302, 303, 307, 308] {
        let location = vec![("location", target.clone())];
        let receiver =
            Receiver::start(move |_, _| Reply::Answer(status, location.clone(), String::new()));
        let options = HttpOptions::new(&receiver.url()).unwrap();
        let writer = HttpWriter::<Record>::new(options);
        let error = writer.write(&batch(1, 1..=1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal, "{status}");
        let to = format!("sends to http://{};", elsewhere.address());
        assert!(error.to_string().contains(&to), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn answers_are_read_up_to_their_cap() {
    let endless = || Reply::Answer(500, Vec::new(), "x".repeat(1 << 20));
    let error = post(1, endless).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.to_string().len() < 400, "{error}");
    // Whether rows were refused stands in the part that is not read.
    let endless = || Reply::Answer(200, Vec::new(), "x".repeat(1 << 20));
    let error = post(1, endless).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(
        error.to_string().contains("more than 4096 bytes"),
        "{error}"
    );
}
