//! Alerts to a URL: what is posted, what is tried again, and that none delays another.

#![cfg(feature = "alerts")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alert_support;

use std::time::{Duration, Instant};

use alert_support::{Answer, Receiver, change, close, quick, until};
use pipeline::{AlertSpec, AlertTarget, Alerts, HealthStatus};
use sinks::BreakerSpec;

use HealthStatus::{Critical, Degraded, Healthy};

#[tokio::test]
async fn a_change_is_posted_as_one_json_object() {
    let receiver = Receiver::start(vec![Answer::Status(204)]).await;
    let spec = AlertSpec::url("chat", receiver.url("/hook?team=7"));
    let alerts = Alerts::start(vec![spec], "plant-7").unwrap();
    alerts.notify(&change(Critical));
    let stats = until(&alerts, 0, |it| it.sent == 1).await;
    assert_eq!((stats.name.as_str(), stats.breaker), ("chat", "closed"));
    assert_eq!(stats.last_error, None);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert!(
        request.head.starts_with("POST /hook?team=7 "),
        "{}",
        request.head
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
    let mut body = request.body.clone();
    let timestamp = body["timestamp"].take();
    assert!(timestamp.as_i64().unwrap() > 1_700_000_000_000_000);
    let expected = serde_json::json!({
        "name": "chat",
        "instance": "plant-7",
        "from": "healthy",
        "to": "critical",
        "score": 30,
        "reasons": [{
            "code": "sink_failing",
            "message": "the sink has failed",
            "hint": "mend it",
            "points": 70,
        }],
        "timestamp": null,
        "text": "plant-7 is critical, it was healthy; score 30: the sink has failed",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn only_changes_to_the_wanted_statuses_are_told() {
    let receiver = Receiver::start(vec![Answer::Status(200)]).await;
    let spec = AlertSpec::url("chat", receiver.url("/"))
        .on([Critical])
        .min_interval(Duration::ZERO);
    let alerts = Alerts::start(vec![spec], "plant").unwrap();
    for status in [Degraded, Critical, Healthy, Degraded] {
        alerts.notify(&change(status));
    }
    close(&alerts).await;
    let stats = &alerts.stats()[0];
    assert_eq!((stats.offered, stats.sent), (1, 1));
    assert_eq!(receiver.requests()[0].body["to"], "critical");
    alerts.notify(&change(Critical));
    assert_eq!(alerts.stats()[0].offered, 1, "it is closed");
}

#[tokio::test]
async fn an_answer_of_500_is_followed_by_the_same_post_with_the_same_key() {
    let answers = [500, 503, 200].map(Answer::Status).to_vec();
    let receiver = Receiver::start(answers).await;
    let spec = AlertSpec::url("chat", receiver.url("/")).retry(quick(5));
    let alerts = Alerts::start(vec![spec], "plant").unwrap();
    alerts.notify(&change(Critical));
    let stats = until(&alerts, 0, |it| it.sent == 1).await;
    assert_eq!((stats.retries, stats.failed), (2, 0));
    assert!(stats.last_error.unwrap().contains("503"));
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    let keys = requests
        .iter()
        .map(|it| it.header("idempotency-key").unwrap());
    let keys: std::collections::HashSet<&str> = keys.collect();
    assert_eq!(keys.len(), 1);
    // The same words a second time are another alert.
    alerts.notify(&change(Critical));
    close(&alerts).await;
    let requests = receiver.requests();
    assert!(!keys.contains(requests[3].header("idempotency-key").unwrap()));
}

#[tokio::test]
async fn an_answer_that_will_not_change_is_not_asked_for_again() {
    let receiver = Receiver::start(vec![Answer::Status(404)]).await;
    let spec = AlertSpec::url("chat", receiver.url("/")).retry(quick(5));
    let alerts = Alerts::start(vec![spec], "plant").unwrap();
    alerts.notify(&change(Critical));
    let stats = until(&alerts, 0, |it| it.failed == 1).await;
    assert!(stats.last_error.unwrap().contains("404"));
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn law_10_a_receiver_that_hangs_costs_its_timeout_and_delays_nobody() {
    let hangs = Receiver::start(vec![Answer::Hang]).await;
    let works = Receiver::start(vec![Answer::Status(200)]).await;
    let specs = vec![
        AlertSpec::url("hangs", hangs.url("/"))
            .timeout(Duration::from_millis(50))
            .retry(quick(1)),
        AlertSpec::url("hangs-long", hangs.url("/")).timeout(Duration::from_secs(600)),
        AlertSpec::url("works", works.url("/")),
    ];
    let alerts = Alerts::start(specs, "plant").unwrap();
    alerts.notify(&change(Critical));
    let stats = until(&alerts, 0, |it| it.failed == 1).await;
    assert!(stats.last_error.unwrap().ends_with("no answer within 50ms"));
    assert_eq!(stats.retries, 1);
    until(&alerts, 2, |it| it.sent == 1).await;
    let stats = until(&alerts, 1, |_| true).await;
    assert_eq!((stats.pending, stats.sent + stats.failed), (1, 0));
    // The end waits for no answer beyond its deadline.
    alerts
        .close(Instant::now() + Duration::from_millis(10))
        .await;
    let stats = &alerts.stats()[1];
    assert_eq!((stats.pending, stats.failed), (0, 1));
    assert!(stats.last_error.is_some());
}

#[tokio::test]
async fn a_breaker_leaves_the_target_alone_and_stops_no_other() {
    let broken = Receiver::start(vec![Answer::Status(500)]).await;
    let works = Receiver::start(vec![Answer::Status(200)]).await;
    let specs = vec![
        AlertSpec::url("broken", broken.url("/"))
            .retry(quick(100))
            .breaker(BreakerSpec::consecutive(3, Duration::from_secs(3600))),
        AlertSpec::url("works", works.url("/")).min_interval(Duration::ZERO),
    ];
    let alerts = Alerts::start(specs, "plant").unwrap();
    alerts.notify(&change(Critical));
    let stats = until(&alerts, 0, |it| it.breaker == "open").await;
    assert_eq!((stats.pending, stats.retries), (1, 3));
    until(&alerts, 1, |it| it.sent == 1).await;
    // The newest waits, and those before it were replaced.
    for (sent, status) in [(2, Degraded), (3, Healthy)] {
        alerts.notify(&change(status));
        until(&alerts, 1, |it| it.sent == sent).await;
    }
    let stats = until(&alerts, 0, |_| true).await;
    assert_eq!((stats.offered, stats.replaced, stats.pending), (3, 2, 1));
    assert_eq!(broken.requests().len(), 3);
    // It opens long after the deadline, so that there is nothing to wait for.
    close(&alerts).await;
    let stats = &alerts.stats()[0];
    assert_eq!((stats.failed, stats.pending), (1, 0));
    assert_eq!(broken.requests().len(), 3);
}

#[tokio::test]
async fn the_end_tells_what_waits_for_the_interval() {
    let receiver = Receiver::start(vec![Answer::Status(200)]).await;
    let spec = AlertSpec::url("chat", receiver.url("/")).min_interval(Duration::from_secs(3600));
    let alerts = Alerts::start(vec![spec], "plant").unwrap();
    alerts.notify(&change(Critical));
    until(&alerts, 0, |it| it.sent == 1).await;
    alerts.notify(&change(Healthy));
    close(&alerts).await;
    assert_eq!(alerts.stats()[0].sent, 2);
    assert_eq!(receiver.requests()[1].body["to"], "healthy");
    close(&alerts).await;
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_named_without_the_secrets_of_its_address() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let url = format!("{origin}/services/T0SECRET?token=QUERYSECRET#headers=X-Key:HEADERSECRET");
    let spec = AlertSpec::url("chat", url).retry(quick(0));
    let shown = format!("{spec:?}");
    assert!(
        shown.contains(&origin) && !shown.contains("SECRET"),
        "{shown}"
    );
    let alerts = Alerts::start(vec![spec], "plant").unwrap();
    alerts.notify(&change(Critical));
    let stats = until(&alerts, 0, |it| it.failed == 1).await;
    let error = stats.last_error.unwrap();
    assert!(
        error.contains(&origin) && !error.contains("SECRET"),
        "{error}"
    );
    assert!(!format!("{alerts:?}").contains("SECRET"));
    let command = AlertTarget::Command {
        program: "page".to_owned(),
        args: vec!["--token=SECRET".to_owned()],
    };
    assert_eq!(format!("{command:?}"), "AlertTarget(the command `page`)");
}

#[tokio::test]
async fn what_is_impossible_is_refused_by_its_name_and_limit() {
    let url = || AlertSpec::url("chat", "https://example.com/SECRET");
    let table = [
        (
            AlertSpec::url("", "http://localhost/"),
            "name of the alert `` is ``, expected 1 to 64 bytes without control characters",
        ),
        (
            url().on([]),
            "on of the alert `chat` is empty, expected at least one of healthy, degraded and \
             critical",
        ),
        (
            url().timeout(Duration::ZERO),
            "timeout of the alert `chat` is 0ns, expected 1ms to 600s",
        ),
        (
            url().min_interval(Duration::from_secs(86_401)),
            "min_interval of the alert `chat` is 86401s, expected 0ns to 86400s",
        ),
        (
            AlertSpec::url("chat", "SECRET"),
            "url of the alert `chat`: the address is no URL: relative URL without a base",
        ),
        (
            AlertSpec::url("chat", "ftp://host/SECRET"),
            "url of the alert `chat`: the scheme is `ftp`, expected http or https",
        ),
        (
            AlertSpec::command("page", "", ["SECRET"]),
            "command of the alert `page` is ``, expected a program",
        ),
        (
            AlertSpec::command("page", "page", vec!["SECRET"; 257]),
            "command of the alert `page` is 257 arguments, expected at most 256 without NUL",
        ),
        (
            url().breaker(BreakerSpec::consecutive(0, Duration::from_secs(1))),
            "breaker of the alert `chat`: breaker: window is 0, but has to be from 1 to 65536 \
             calls",
        ),
    ];
    for (spec, expected) in table {
        let error = Alerts::start(vec![spec], "plant").unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let error = Alerts::start(vec![url(), url()], "plant").unwrap_err();
    assert_eq!(error.to_string(), "two alerts have the name `chat`");
    let many = (0..65).map(|n| AlertSpec::url(format!("{n}"), "http://localhost/"));
    let error = Alerts::start(many.collect(), "plant").unwrap_err();
    assert_eq!(
        error.to_string(),
        "there are 65 alerts, expected at most 64"
    );
}
