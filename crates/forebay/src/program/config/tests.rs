//! Settings one by one: what is taken, and what is said of what is not.

use std::ffi::OsString;
use std::path::Path;

use super::*;

fn build(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let file = Some((Path::new("forebay.toml"), text));
    Config::build(file, variables).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn an_empty_file_changes_nothing_and_the_printed_defaults_are_read_back() {
    let config = build("", &[]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(build(&config.to_toml(), &[]).unwrap(), config);
}

#[test]
fn every_setting_can_be_set_and_is_printed() {
    let text = r#"
        data = "elsewhere"
        [sink]
        url = "sqlite:elsewhere/rows.sqlite"
        timeout = "5s"
        breaker_failures = 3
        breaker_open = "1s"
        breaker_open_max = "2s"
        [gateway]
        listen = "[::1]:9000"
        allowed_origins = ["https://example.org"]
        max_body = "1 MiB"
        max_websockets = 3
        [buffer]
        max_size = 1_000
        max_bytes = "2 MB"
        alert_threshold_pct = 90
        recover_threshold_pct = 12.5
        policy = "block"
        block_timeout = "2s"
        [flush]
        preset = "low-latency"
        age = "off"
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
        [log]
        format = "json"
        level = "debug"
    "#;
    let config = build(text, &[]).unwrap();
    assert_eq!(
        config.buffer.overflow_policy(),
        WhenFull::Block(Duration::from_secs(2))
    );
    assert_eq!((config.flush_size(), config.flush.age), (5, None));
    assert_eq!(config.history.memory_bytes_max(), 64 << 20);
    assert_eq!(config.history.idle_after(), Some(Duration::from_secs(90)));
    assert_eq!(config.shutdown_deadline, Duration::from_millis(1500));
    assert_eq!(config.log_format(), LogFormat::Json);
    let printed = config.to_toml();
    for Setting { key, .. } in SETTINGS {
        assert!(printed.contains(&format!("{key} = ")), "{key} in {printed}");
    }
    let default = Config::default().to_toml();
    let unchanged: Vec<_> = printed
        .lines()
        .filter(|line| line.contains('=') && default.lines().any(|other| other == *line))
        .collect();
    assert!(unchanged.is_empty(), "{unchanged:?}");
    assert_eq!(build(&printed, &[]).unwrap(), config);
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
fn explicit_keys_win_over_the_preset_wherever_they_stand() {
    let preset = [("FOREBAY_FLUSH__PRESET", "high-volume")];
    let config = build("[flush]\nsize = 7", &preset).unwrap();
    assert_eq!(
        (config.flush_size(), config.flush.age),
        (7, Some(Duration::from_secs(180)))
    );
    let config = build("[flush]\nsize = 700\npreset = 'development'", &[]).unwrap();
    assert_eq!(
        (config.flush_size(), config.flush.age),
        (700, Some(Duration::from_secs(10)))
    );
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
    assert_eq!((config.buffer.max_size, config.flush_size()), (20, 20));
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
