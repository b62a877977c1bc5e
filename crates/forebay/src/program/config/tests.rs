//! Settings one by one: what is taken, and what is said of what is not.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::*;

pub(super) fn build(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let file = Some((Path::new("forebay.toml"), text));
    Config::build(file, variables, 64 << 30).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn an_empty_file_changes_nothing_and_the_printed_defaults_are_read_back() {
    let config = build("", &[]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(build(&config.to_toml(), &[]).unwrap(), config);
}

/// A file in which every setting is something else than its default.
const EVERYTHING: &str = r#"
    data = "elsewhere"
    [sink]
    url = "sqlite:elsewhere/rows.sqlite"
    timeout = "5s"
    breaker_failures = 3
    breaker_open = "1s"
    breaker_open_max = "2s"
    concurrency = 4
    retry_base = "2ms"
    retry_max = "3ms"
    [sinks.archive]
    url = "sqlite:elsewhere/archive.sqlite"
    [sinks.archive.lanes.critical]
    enabled = true
    max_size = 11
    max_bytes = "3 MiB"
    size_min = 5
    alert_threshold_pct = 60
    recover_threshold_pct = 50
    policy = "block"
    block_timeout = "1s"
    batch_min = 2
    batch_base = 3
    batch_max = 9
    wait = "7ms"
    write_target = "8ms"
    weight = 9
    reserved = 1
    expires_after = "1h"
    parallel = 2
    target = "40ms"
    [sinks.archive.lanes.low]
    enabled = false
    [gateway]
    listen = "[::1]:9000"
    allowed_origins = ["https://example.org"]
    max_body = "1 MiB"
    max_websockets = 3
    max_connections = 30
    max_connections_per_address = 4
    allow_anonymous = true
    tls_certificate = "cert.pem"
    tls_key = "key.pem"
    tick = "20ms"
    [gateway.channels.alarms]
    keys = ["PLC*/alarm.{high,low}", "host/*"]
    [buffer]
    max_size = 1_000
    max_bytes = "2 MB"
    alert_threshold_pct = 90
    recover_threshold_pct = 12.5
    policy = "block"
    block_timeout = "2s"
    [flush]
    preset = "low-latency"
    size = 6
    age = "off"
    interval = "9s"
    [lanes.low]
    preset = "aggregation"
    size = 7
    age = "8s"
    interval = "off"
    expires_after = "60s"
    [retry]
    base = "1s"
    max = "1m"
    [history]
    depth = 10
    max_keys = 20
    memory_mb_max = 64
    resume_updates = 7
    idle_after_seconds = 90
    [host]
    enabled = false
    interval = "1s"
    slow_interval = "1h"
    top = 0
    source = "box"
    [input]
    max_future = "0s"
    [shutdown]
    deadline = "1.5s"
    fallback = "left"
    [log]
    format = "json"
    level = "debug"
    [[source]]
    kind = "ndjson"
    name = "plant"
    path = "plant.ndjson"
    [[route]]
    name = "alarms"
    sink = "archive"
    sources = "PLC*"
    tags = "alarm.*"
    priority = "critical"
    [route.coalesce]
    aggregate = "sum"
    key = "plant/{tag}"
    keys_max = 50
    updates_max = 60
    [route.lanes.normal]
    max_size = 12
    [[route]]
    [[alert]]
    name = "chat"
    url = "https://chat.example"
    on = ["critical"]
    timeout = "2s"
    min_interval = "3s"
    [[alert]]
    name = "page"
    command = ["page", "--all"]
    [[token]]
    name = "operator"
    hash = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    read = ["PLC*/*"]
    ingest = true
    act = true
    admin = true
"#;

#[test]
fn every_setting_can_be_set_and_is_printed() {
    let config = build(EVERYTHING, &[]).unwrap();
    let printed = config.to_toml();
    assert_eq!(build(&printed, &[]).unwrap(), config, "{printed}");
    assert_eq!(build(&printed, &[]).unwrap().to_toml(), printed);
    let mut unset = Vec::new();
    let mut all = config.clone();
    tree::walk(&mut all, &mut |path, visit| {
        let Visit::Value(slot) = visit else { return };
        // Each kind of section has one that says everything.
        let is_full = match path.section() {
            "sink" => !path.to_string().contains("lanes"),
            "sinks" => path.to_string().starts_with("sinks.archive.lanes.critical"),
            "lanes" | "alert" => false,
            "route" => {
                path.to_string().starts_with("route.0.") && !path.to_string().contains("lanes")
            }
            _ => true,
        };
        let fixed = ["preset", "size", "age", "interval"].contains(&path.key());
        if is_full && slot.show().is_none() && !(fixed && path.section() == "sinks") {
            unset.push(path.to_string());
        }
    });
    assert!(unset.is_empty(), "{unset:?}");
    let changes = Config::default().changes(&config);
    let mut unchanged = Vec::new();
    tree::walk(&mut Config::default(), &mut |path, _| {
        let name = path.to_string();
        let is_changed = |change: &Change| change.to_string().starts_with(&format!("{name}: "));
        if !name.contains("lanes") && !changes.iter().any(is_changed) {
            unchanged.push(name);
        }
    });
    assert!(unchanged.is_empty(), "{unchanged:?}");
}

#[test]
fn what_is_set_is_what_is_meant() {
    let config = build(EVERYTHING, &[]).unwrap();
    assert_eq!(config.history.memory_bytes_max(), 64 << 20);
    assert_eq!(config.history.idle_after(), Some(Duration::from_secs(90)));
    assert_eq!(config.shutdown.deadline, Duration::from_millis(1500));
    assert_eq!(config.fallback(), Path::new("left"));
    assert_eq!(config.log_format(), LogFormat::Json);
    insta::assert_snapshot!(config.lanes_in_words(), @r#"
    # archive/alarms/critical: 11 records or 3 MiB, block; batches of 2 to 9 or after 7ms, for 1h
    # archive/alarms/high: 1000 records or 2 MB, block; batches of 1 to 500 or after 10ms
    # archive/alarms/normal: 12 records or 2 MB, block; batches of 6 or after 9s
    # main/default/critical: 1000 records or 2 MB, block; delivered at once
    # main/default/high: 1000 records or 2 MB, block; batches of 1 to 500 or after 10ms
    # main/default/normal: 1000 records or 2 MB, block; batches of 6 or after 9s
    # main/default/low: 1000 records or 2 MB, block; batches of 7 or after 8s, for 1m
    "#);
}

#[test]
fn keys_never_expire_unless_told_to_and_mistakes_in_the_history_name_the_field() {
    let config = build("", &[]).unwrap();
    assert_eq!(config.history.idle_after(), None);
    let text = "[history]\nmemory_mb_max = 8\nresume_updates = -1";
    let variables = [("FOREBAY_HISTORY__IDLE_AFTER_SECONDS", "soon")];
    let mistakes = build(text, &variables).unwrap_err();
    for expected in [
        "history.memory_mb_max is 8, expected a whole number from 16 to 1048576",
        "history.resume_updates is -1, expected a whole number from 0 to 10000000",
        "history.idle_after_seconds is \"soon\", expected a whole number from 0 to 31536000",
    ] {
        assert!(mistakes.contains(expected), "{expected} in {mistakes}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_other_variables_mean_nothing() {
    let variables = [
        ("FOREBAY_BUFFER__MAX_SIZE", "20"),
        ("FOREBAY_BUFFER__ALERT_THRESHOLD_PCT", "99.5"),
        ("FOREBAY_GATEWAY__ALLOWED_ORIGINS", "http://a:1, http://b:2"),
        ("FOREBAY__DATA", "there"),
        ("FOREBAY_REQUIRE_SERVICES", "1"),
        ("FOREBAY_SCREENSHOTS", "shots"),
        ("BUFFER__MAX_SIZE", "x"),
    ];
    let config = build("[buffer]\nmax_size = 10", &variables).unwrap();
    assert_eq!(config.buffer.max_size, 20);
    assert_eq!(config.gateway.allowed_origins, ["http://a:1", "http://b:2"]);
    assert_eq!(config.data, Path::new("there"));
}

#[test]
fn a_password_of_a_sink_is_never_said() {
    let table = [
        "[sink]\nurl = \"nowhere://me:hunter2@host/db\"",
        "[sink]\nurl = \"nowhere://me:hunter2/x@host/db\"",
        "[sink]\nurl = [\"nowhere://me:hunter2@host/db\"]",
        "[sink]\nurls = \"nowhere://me:hunter2@host/db\"",
        "[sink]\nurl = \"nowhere://me:hunter2@host/db",
        "sink = \"nowhere://me:hunter2@host/db\"",
        "data = 5\n[sink]\nurl = \"sqlite:x?password=hunter2\"",
    ];
    for text in table {
        let mistakes = build(text, &[]).unwrap_err();
        assert!(!mistakes.contains("hunter2"), "{mistakes}");
    }
    for name in [
        "FOREBAY_SINK__URL",
        "FOREBAY_SINK_URL",
        "FOREBAY_SINK__URLS",
    ] {
        let mistakes = build("", &[(name, "nowhere://me:hunter2@host/db")]).unwrap_err();
        assert!(mistakes.starts_with(name), "{mistakes}");
        assert!(!mistakes.contains("hunter2"), "{mistakes}");
    }
    let config = build("", &[("FOREBAY_SINK__URL", "sqlite:rows.sqlite")]).unwrap();
    assert_eq!(format!("{:?}", config.sink.url), "Some(sqlite:rows.sqlite)");
    let mistakes = build("[sink]\nurl = \"sqlite:x?colour=red\"", &[]).unwrap_err();
    assert_eq!(
        mistakes,
        "forebay.toml:2: sink.url is \"sqlite:x?colour=red\", expected the URL of a sink, such as \
         \"sqlite:data/plant.sqlite\": parameter `colour` is unknown, expected one of table, \
         busy_timeout, checkpoint_pages"
    );
}

#[test]
fn nested_settings_can_stand_in_the_environment() {
    let text = "[sinks.My-Archive]\nurl = 'sqlite:a.sqlite'\n[[route]]\nsink = 'My-Archive'";
    let variables = [
        ("FOREBAY_LANES__LOW__EXPIRES_AFTER", "1m"),
        ("FOREBAY_SINKS__MY_ARCHIVE__CONCURRENCY", "3"),
        ("FOREBAY_SINKS__EXTRA__URL", "sqlite:b.sqlite"),
        ("FOREBAY_ROUTE__0__PRIORITY", "high"),
        ("FOREBAY_ROUTE__0__COALESCE__AGGREGATE", "last"),
    ];
    let config = build(text, &variables).unwrap();
    let minute = Some(Some(Duration::from_secs(60)));
    assert_eq!(config.lanes.low.expires_after, minute);
    assert_eq!(config.sinks["My-Archive"].concurrency, 3);
    assert!(config.sinks["extra"].url.is_some());
    assert_eq!(config.route[0].priority, Some("high"));
    assert_eq!(
        config.route[0].coalesce.as_ref().unwrap().aggregate,
        Some("last")
    );
}

#[test]
fn lanes_that_say_nothing_go_by_their_sink_then_their_class_then_the_common_sections() {
    let text = "[buffer]\nmax_size = 100\npolicy = 'reject'\n[flush]\nsize = 7\n\
                [lanes.low]\nmax_size = 200\nage = '9s'\n\
                [sinks.b]\nurl = 'sqlite:b.sqlite'\n\
                [sinks.b.lanes.low]\nmax_size = 300\nwait = '1s'";
    let config = build(text, &[]).unwrap();
    let lane = |sink, priority| config.lane(sink, None, priority);
    let low = lane("main", record::Priority::Low);
    assert_eq!((low.max_size, low.flush.size), (Some(200), Some(7)));
    assert_eq!(low.flush.age, Some(Some(Duration::from_secs(9))));
    let other = lane("b", record::Priority::Low);
    assert_eq!((other.max_size, other.flush.size), (Some(300), None));
    let high = lane("b", record::Priority::High);
    assert_eq!((high.max_size, high.flush.size), (None, None));
}

#[test]
fn words_of_aggregates_are_those_of_the_code() {
    let words = pipeline::CoalesceAggregate::ALL.map(pipeline::CoalesceAggregate::as_str);
    for word in words {
        let text = format!("[[route]]\n[route.coalesce]\naggregate = '{word}'");
        let config = build(&text, &[]).unwrap();
        assert!(config.plan_unopened().unwrap().check().is_ok());
    }
    let mistakes = build("[[route]]\n[route.coalesce]\naggregate = ''", &[]).unwrap_err();
    assert_eq!(mistakes.matches('"').count(), 2 * words.len(), "{mistakes}");
}

#[test]
fn what_is_different_is_said_without_secrets() {
    let before = "[sink]\nurl = 'postgres://me:hunter2@host/db'\n[lanes.low]\nweight = 2\n\
                  [[route]]\nname = 'a'\n";
    let after = "[sink]\nurl = 'postgres://me:hunter3@host/db'\n[buffer]\nmax_size = 5\n\
                 [gateway]\nlisten = '127.0.0.1:1'\n[log]\nformat = 'json'\nlevel = 'warn'\n\
                 [[route]]\nname = 'b'\n[route.coalesce]\naggregate = 'sum'\n";
    let (before, after) = (build(before, &[]).unwrap(), build(after, &[]).unwrap());
    assert_eq!(before.changes(&before), []);
    let changes = before.changes(&after);
    let said: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert!(!said.concat().contains("hunter"), "{said:?}");
    insta::assert_snapshot!(said.join("\n"), @r#"
    sink.url: "postgres://me:***@host/db", of which a secret part is another
    gateway.listen: "127.0.0.1:8000" -> "127.0.0.1:1"
    buffer.max_size: 10000 -> 5
    log.format: "human" -> "json"
    log.level: "info" -> "warn"
    route.0.name: "a" -> "b"
    route.0.coalesce: not set -> a section
    route.0.coalesce.aggregate: not set -> "sum"
    route.0.coalesce.key: not set -> "{source}/{tag}"
    route.0.coalesce.keys_max: not set -> 10000
    route.0.coalesce.updates_max: not set -> 1000000
    lanes.low.weight: 2 -> not set
    "#);
    let restart = changes.iter().filter(|change| change.needs_restart());
    let restart: Vec<String> = restart.map(ToString::to_string).collect();
    insta::assert_snapshot!(restart.join("\n"), @r#"
    gateway.listen: "127.0.0.1:8000" -> "127.0.0.1:1"
    log.format: "human" -> "json"
    "#);
    let kept = after.clone().keeping_what_needs_restart(&before);
    assert_eq!(kept.gateway, before.gateway);
    assert_eq!((kept.log.format, kept.log.level), ("human", "warn"));
    assert_eq!(kept.route, after.route);
}

#[test]
fn a_sink_of_which_nothing_changes_is_not_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("data = '{}'\n", folder.path().display());
    let archive = format!(
        "[sinks.archive]\nurl = 'sqlite://{}'\n",
        folder.path().join("archive.sqlite").display()
    );
    let before = build(&data, &[]).unwrap();
    let planned = before.plan(None).unwrap();
    assert_eq!(planned.opened.keys().collect::<Vec<_>>(), ["main"]);
    let after = build(&(data.clone() + &archive), &[]).unwrap();
    let planned = after.plan(Some(&before)).unwrap();
    assert_eq!(planned.opened.keys().collect::<Vec<_>>(), ["archive"]);
    let retry = data + "[retry]\nbase = '1s'\n" + &archive;
    let planned = build(&retry, &[]).unwrap().plan(Some(&after)).unwrap();
    assert_eq!(planned.opened.len(), 2);
}
