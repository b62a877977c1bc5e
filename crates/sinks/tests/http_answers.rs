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
use sinks::{
    BatchWriter, Bisect, ErrorKind, HttpDoubt, HttpOptions, HttpWriter, Receipt, RowOutcome,
    WriteError,
};

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
    assert_eq!((error.kind(), error.row()), (ErrorKind::Fatal, None));
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
        // What names no row that was sent is no reason to believe the rest of it.
        let body = r#"{"errors":[{"row":0},{"row":3}]}"#;
        let error = post_for(3, status, body).await.unwrap_err();
        assert_eq!((error.kind(), error.row()), (ErrorKind::Data, None));
        assert!(error.to_string().contains("names row 3"), "{error}");
    }
}

#[tokio::test]
async fn rows_that_a_refusal_names_are_settled_and_the_others_posted_once() {
    for status in [400, 413, 422, 200] {
        let receiver = Receiver::start(move |_, before| match before {
            0 => Reply::body(
                status,
                r#"{"accepted":0,"errors":[{"row":7,"reason":"b"},{"row":2,"reason":"a"}]}"#,
            ),
            _ => Reply::status(200),
        });
        let writer = HttpWriter::<Record>::new(HttpOptions::new(&receiver.url()).unwrap());
        let receipt = writer.write(&batch(1, 1..=5_000)).await.unwrap();
        assert_eq!(receipt.delivered(), 4_998, "{status}");
        assert_eq!(receipt.outcome(2), RowOutcome::Rejected("a"));
        assert_eq!(receipt.outcome(7), RowOutcome::Rejected("b"));
        let requests = receiver.requests();
        assert_eq!(requests.len(), 2, "{status}");
        assert_eq!(requests[1].text().lines().count(), 4_998);
    }
}

#[tokio::test]
async fn refused_rows_that_cannot_be_read_are_never_taken_for_delivered() {
    let bodies = [
        (r#"{"errors":[{"reason":"too high"}]}"#, "too high"),
        (r#"{"errors":[{"row":"1"}]}"#, r#"{"row":"1"}"#),
        (r#"{"errors":["row 1 is bad"]}"#, "row 1 is bad"),
        (r#"{"errors":true}"#, r#""errors":true"#),
        (r#"{"rejected":2}"#, r#""rejected":2"#),
        (r#"{"malformed":[{"line":0}]}"#, r#"{"line":0}"#),
        (r#"{"malformed_count":1}"#, "1 of 3 rows were refused"),
        (r#"{"malformed_count":1,"malformed":[]}"#, "names only 0"),
        (r#"{"accepted":"2"}"#, r#""accepted":"2""#),
    ];
    for (body, quoted) in bodies {
        let error = post_for(3, 200, body).await.expect_err(body);
        assert_eq!(error.kind(), ErrorKind::Fatal, "{body}");
        assert!(error.to_string().contains(quoted), "{error}");
    }
}

#[tokio::test]
async fn rows_in_doubt_are_not_posted_again_and_set_aside_where_that_is_wanted() {
    let bodies = [
        r#"{"accepted":1,"errors":[{"row":1,"reason":"a"}]}"#.to_owned(),
        r#"{"errors":[{"row":3}]}"#.to_owned(),
        format!("{{\"accepted\":2,\"more\":\"{}\"}}", "x".repeat(5_000)),
    ];
    for body in bodies {
        let receiver = Receiver::start(move |_, _| Reply::body(200, &body));
        let options = HttpOptions::new(&receiver.url()).unwrap();
        let options = options.answer_bytes_max(4096);
        let writer = HttpWriter::<Record>::new(options.clone());
        let rows = batch(1, 1..=3);
        let first = writer.write(&rows).await.unwrap_err();
        assert_eq!(first.kind(), ErrorKind::Fatal);
        for again in [&rows, &rows.slice(0..1)] {
            let error = writer.write(again).await.unwrap_err();
            assert_eq!(error.to_string(), first.to_string());
        }
        assert_eq!(receiver.requests().len(), 1);

        let writer = HttpWriter::<Record>::new(options.doubt(HttpDoubt::Reject));
        let receipt = writer.write(&rows).await.unwrap();
        assert_eq!(receipt.rejected().len(), 3);
        let RowOutcome::Rejected(reason) = receipt.outcome(2) else {
            panic!("{receipt:?}");
        };
        assert!(reason.starts_with("in doubt: the "), "{reason}");
        assert_eq!(receiver.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_and_names_nothing_is_not_asked_row_by_row() {
    let error = post_for(3, 200, r#"{"accepted":0}"#).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("none was taken"), "{error}");
    let error = post_for(1, 200, r#"{"accepted":0}"#).await.unwrap_err();
    assert_eq!((error.kind(), error.row()), (ErrorKind::Data, Some(0)));
}

#[tokio::test]
async fn a_long_batch_goes_in_parts_and_none_that_was_taken_is_posted_again() {
    // The third part fails once, then is refused until it is one row.
    let receiver = Receiver::start(|request, before| match before {
        2 => Reply::status(503),
        _ if request.text().contains("\"value\":30,") && request.text().lines().count() > 1 => {
            Reply::status(400)
        }
        _ if request.text().contains("\"value\":30,") => Reply::body(422, "too high"),
        _ => Reply::status(200),
    });
    let options = HttpOptions::new(&receiver.url()).unwrap();
    let writer = Bisect::new(HttpWriter::<Record>::new(options.body_bytes_max(1_024)));
    let rows = batch(1, 1..=40);
    let error = writer.write(&rows).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    let receipt = writer.write(&rows).await.unwrap();
    assert_eq!(receipt.delivered(), 39);
    let RowOutcome::Rejected(reason) = receipt.outcome(29) else {
        panic!("{receipt:?}");
    };
    assert!(reason.contains("too high"), "{reason}");
    let requests = receiver.requests();
    assert!(requests.iter().all(|request| request.body.len() <= 1_024));
    let key = |at: usize| requests[at].header("idempotency-key").map(str::to_owned);
    assert_eq!(key(2), key(3), "what failed is known again");
    let mut taken = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        let is_refused = at == 2 || request.text().contains("\"value\":30,");
        if !is_refused {
            let values = request.text().lines().map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["value"].clone()
            });
            taken.extend(values.map(|value| value.as_u64().unwrap()));
        }
    }
    let expected: Vec<u64> = (1..=40).filter(|value| *value != 30).collect();
    assert_eq!(taken, expected, "each once and in order");
}

#[tokio::test]
async fn what_a_receiver_repeats_of_the_request_is_not_shown() {
    let receiver = Receiver::start(|_, _| {
        let padding = "x".repeat(180);
        let said = "no /hook/T0PSECRETS?sig=c4r3ful, hunter2hunter2";
        Reply::body(401, &format!("{said} {padding} hunter2hunter2"))
    });
    let url = receiver
        .url()
        .replace("/rows", "/hook/T0PSECRETS?sig=c4r3ful");
    let options = HttpOptions::new(&url).unwrap();
    let options = options.header("X-Api-Key", "hunter2hunter2").unwrap();
    let writer = HttpWriter::<Record>::new(options);
    let error = writer
        .write(&batch(1, 1..=1))
        .await
        .unwrap_err()
        .to_string();
    for secret in ["T0P", "c4r", "hunter"] {
        assert!(!error.contains(secret), "{error}");
    }
    assert!(error.contains("no ***"), "{error}");
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
        assert_eq!(delay, Duration::from_secs(300), "the longest by default");
        // By the clock of the receiver, which is ahead of ours.
        let theirs = vec![
            ("date", httpdate::fmt_http_date(at)),
            (
                "retry-after",
                httpdate::fmt_http_date(at + Duration::from_secs(5)),
            ),
        ];
        let reply = move || Reply::Answer(status, theirs.clone(), String::new());
        let error = post(1, reply).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
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
    // That is none of the shapes that name rows.
    let endless = || Reply::Answer(200, Vec::new(), "x".repeat(1 << 20));
    assert_eq!(post(1, endless).await, Ok(Receipt::delivered_all(1)));
    let endless = || {
        let kind = vec![("content-type", "application/json".to_owned())];
        Reply::Answer(200, kind, " ".repeat(1 << 20))
    };
    let error = post(1, endless).await.unwrap_err();
    assert!(
        error.to_string().contains("more than 4096 bytes"),
        "{error}"
    );
}
