//! What the program says of a configuration: everything that is wrong, each with its place, the
//! value, and what is allowed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{check_config, check_refused as check, finish, forebay};

const DURATION: &str = "a duration with its unit (ms, s, m, h or d)";
const SIZE: &str = "a size with its unit (B, KiB, MiB, GiB, kB, MB or GB)";

#[test]
fn the_defaults_are_printed_as_a_file_that_says_the_same() {
    let outcome = check_config("", &[]).check(0, &[]);
    insta::assert_snapshot!(outcome.stdout, @r#"
    data = "forebay-data"

    [sink]
    timeout = "30s"
    breaker_failures = 5
    breaker_open = "5s"
    breaker_open_max = "1m"
    concurrency = 1

    [gateway]
    listen = "127.0.0.1:8000"
    allowed_origins = []
    max_body = "8 MiB"
    max_websockets = 1000
    max_connections = 20000
    max_connections_per_address = 256
    allow_anonymous = false
    tick = "10ms"

    [buffer]
    max_size = 10000
    max_bytes = "64 MiB"
    alert_threshold_pct = 80
    recover_threshold_pct = 70
    block_timeout = "5s"

    [retry]
    base = "100ms"
    max = "5s"

    [history]
    depth = 3000
    max_keys = 2000
    memory_mb_max = 1024
    resume_updates = 50000
    idle_after_seconds = 0

    [host]
    enabled = true
    interval = "100ms"
    slow_interval = "2s"
    top = 5
    source = "host"

    [input]
    max_future = "1d"

    [shutdown]
    deadline = "10s"

    [log]
    format = "human"
    level = "info"

    # 4 lanes, which may take 256.0 MiB together:
    # main/critical: 10000 records or 64 MiB, drop-lowest-priority; delivered at once
    # main/high: 10000 records or 64 MiB, drop-lowest-priority; batches of 1 to 500 or after 10ms
    # main/normal: 10000 records or 64 MiB, drop-oldest; batches of 1 to 5000 or after 25ms
    # main/low: 10000 records or 64 MiB, drop-oldest; batches of 1 to 5000 or after 250ms
    "#);
    assert_eq!(
        check_config(&outcome.stdout, &[]).check(0, &[]).stdout,
        outcome.stdout
    );
}

#[test]
fn unknown_keys_and_sections_are_named_with_what_there_is() {
    check(
        "[buffer]\n\nmax_siz = 5",
        "f.toml:3: buffer.max_siz is no setting (did you mean max_size?), [buffer] has max_size, \
         max_bytes, alert_threshold_pct, recover_threshold_pct, policy, block_timeout",
    );
    check(
        "[bufer]\nmax_size = 5",
        "f.toml:1: [bufer] is no section (did you mean buffer?), expected one of [sink], [sinks], \
         [gateway], [buffer], [flush], [lanes], [retry], [history], [host], [input], [shutdown], \
         [log], [source], [route], [alert], [token]",
    );
    check(
        "dat = 'x'",
        "f.toml:1: dat is no setting (did you mean data?), expected data or a section: [sink], \
         [sinks], [gateway], [buffer], [flush], [lanes], [retry], [history], [host], [input], \
         [shutdown], [log], [source], [route], [alert], [token]",
    );
    check(
        "\nbuffer = 5",
        "f.toml:2: buffer is 5, expected the section [buffer]",
    );
    check(
        "[retry]\ncolour = 'red'",
        "f.toml:2: retry.colour is no setting, [retry] has base, max",
    );
}

#[test]
fn values_out_of_range_are_named_with_the_range() {
    let table = [
        ("buffer.max_size", "0", "a whole number from 1 to 100000000"),
        (
            "buffer.max_size",
            "-1",
            "a whole number from 1 to 100000000",
        ),
        (
            "buffer.max_size",
            "999999999999",
            "a whole number from 1 to 100000000",
        ),
        (
            "buffer.alert_threshold_pct",
            "100.5",
            "a number from 0 to 100",
        ),
        (
            "buffer.recover_threshold_pct",
            "nan",
            "a number from 0 to 100",
        ),
        ("flush.size", "0", "a whole number from 1 to 1000000"),
        ("history.depth", "0", "a whole number from 1 to 1000000"),
        ("history.max_keys", "0", "a whole number from 1 to 10000000"),
        (
            "history.memory_mb_max",
            "15",
            "a whole number from 16 to 1048576",
        ),
        ("host.top", "65", "a whole number from 0 to 64"),
        (
            "gateway.max_websockets",
            "0",
            "a whole number from 1 to 100000",
        ),
    ];
    for (name, value, expected) in table {
        check(
            &format!("{name} = {value}"),
            &format!("f.toml:1: {name} is {value}, expected {expected}"),
        );
    }
}

#[test]
fn durations_and_sizes_need_a_sensible_value_with_a_unit() {
    let such = ", such as \"500ms\"";
    let table = [
        (
            "host.interval",
            "100",
            format!("{DURATION} from 10ms to 1h{such}"),
        ),
        (
            "host.interval",
            "\"9ms\"",
            format!("{DURATION} from 10ms to 1h{such}"),
        ),
        (
            "host.interval",
            "\"5 parsecs\"",
            format!("{DURATION} from 10ms to 1h{such}"),
        ),
        (
            "shutdown.deadline",
            "\"10\"",
            format!("{DURATION} from 100ms to 1h{such}"),
        ),
        (
            "flush.age",
            "0.5",
            format!("{DURATION} from 1ms to 1d{such}, or \"off\""),
        ),
        (
            "flush.age",
            "\"never\"",
            format!("{DURATION} from 1ms to 1d{such}, or \"off\""),
        ),
        (
            "input.max_future",
            "\"-1s\"",
            format!("{DURATION} from 0ms to 3650d{such}"),
        ),
        (
            "buffer.max_bytes",
            "64",
            format!("{SIZE} from 1 MiB to 64 GiB, such as \"64 MiB\""),
        ),
        (
            "gateway.max_body",
            "\"1 B\"",
            format!("{SIZE} from 1 KiB to 1 GiB, such as \"64 MiB\""),
        ),
    ];
    for (name, value, expected) in table {
        check(
            &format!("# a comment\n{name} = {value}"),
            &format!("f.toml:2: {name} is {value}, expected {expected}"),
        );
    }
}

#[test]
fn values_of_another_type_are_named_with_the_type() {
    let policies = "\"drop-oldest\", \"drop-newest\", \"reject\", \"block\" or \
                    \"drop-lowest-priority\"";
    let presets = "\"default\", \"high-volume\", \"low-latency\", \"development\" or \
                   \"aggregation\"";
    let address = "an address and a port, such as \"127.0.0.1:8000\"";
    let origins = "a list of origins with scheme and port, such as [\"https://example.org:8443\"]";
    let table = [
        ("buffer.policy", "\"drop\"", policies),
        ("flush.preset", "\"fast\"", presets),
        (
            "log.level",
            "3",
            "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        ),
        ("log.format", "\"xml\"", "\"human\" or \"json\""),
        ("host.enabled", "\"yes\"", "true or false"),
        (
            "host.source",
            "\"\"",
            "a name of 1 to 256 bytes without control characters",
        ),
        ("gateway.listen", "8000", address),
        ("gateway.listen", "\"localhost\"", address),
        ("gateway.allowed_origins", "\"*\"", origins),
        ("gateway.allowed_origins", "[\"https://a/b\"]", origins),
        ("data", "\"\"", "the path of a directory"),
        (
            "buffer.max_size",
            "1.5",
            "a whole number from 1 to 100000000",
        ),
        (
            "buffer.max_size",
            "{ a = 1 }",
            "a whole number from 1 to 100000000",
        ),
    ];
    for (name, value, expected) in table {
        check(
            &format!("{name} = {value}"),
            &format!("f.toml:1: {name} is {value}, expected {expected}"),
        );
    }
}

#[test]
fn what_is_impossible_together_is_named_together() {
    check(
        "[buffer]\nrecover_threshold_pct = 85",
        "f.toml:2: buffer.recover_threshold_pct is 85 and buffer.alert_threshold_pct is 80, \
         expected the first to be lower",
    );
    check(
        "[retry]\nbase = '10s'\nmax = '1s'",
        "f.toml:3: retry.base is 10s and retry.max is 1s, expected the first to be no longer",
    );
    check(
        "[host]\ninterval = '5s'",
        "f.toml:2: host.interval is 5s and host.slow_interval is 2s, expected the first to be no \
         longer",
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_file() {
    let text = "[log]\nlevel = 1\n[buffer]\nmax_size = 0\n[retry]\nsize = 3\n";
    let variables = [
        ("FOREBAY_FLUSH__SIZE", "many"),
        ("FOREBAY_REQUIRE_SERVICES", "1"),
    ];
    let outcome = check_config(text, &variables).check(1, &[]);
    insta::assert_snapshot!(outcome.stderr, @r#"
    forebay: 4 mistakes in the configuration
      f.toml:2: log.level is 1, expected "off", "error", "warn", "info", "debug" or "trace"
      f.toml:4: buffer.max_size is 0, expected a whole number from 1 to 100000000
      f.toml:6: retry.size is no setting, [retry] has base, max
      FOREBAY_FLUSH__SIZE: flush.size is "many", expected a whole number from 1 to 1000000
    "#);
}

#[test]
fn text_that_is_no_toml_is_named_with_its_line() {
    for text in [
        "[buffer\nmax_size = 1",
        "a = \n",
        "[log]\nlevel = 'info'\nlevel = 'warn'",
    ] {
        let outcome = check_config(text, &[]).check(1, &["f.toml:"]);
        assert_eq!(outcome.stdout, "");
    }
    check_config("x = \"\u{7f}\"", &[]).check(1, &["f.toml:1: "]);
}

#[test]
fn a_variable_that_is_no_setting_is_named() {
    let table = [
        (
            "FOREBAY_BUFFER__MAX_SIZ",
            "1",
            "buffer.max_siz is no setting (did you mean max_size?), [buffer] has max_size",
        ),
        (
            "FOREBAY_BUFER__MAX_SIZE",
            "1",
            "[bufer] is no section (did you mean buffer?), expected one of [sink]",
        ),
        (
            "FOREBAY_BUFFER__MAX_SIZE",
            "0",
            "buffer.max_size is \"0\", expected a whole number",
        ),
        (
            "FOREBAY_HOST__INTERVAL",
            "9",
            "host.interval is \"9\", expected a duration with its",
        ),
        (
            "FOREBAY_GATEWAY__LISTEN",
            "x",
            "gateway.listen is \"x\", expected an address",
        ),
        (
            "FOREBAY__DAT",
            "x",
            "dat is no setting (did you mean data?), expected data",
        ),
        (
            "FOREBAY_BUFFER_MAX_SIZE",
            "5",
            "is no setting, expected FOREBAY_BUFFER__MAX_SIZE with two underscores",
        ),
        (
            "FOREBAY_LANES_LOW_EXPIRES_AFTER",
            "5",
            "is no setting, expected FOREBAY_LANES__LOW__EXPIRES_AFTER with two underscores",
        ),
        (
            "FOREBAY_ROUTE__0__PRIORITY",
            "low",
            "there is no route.0, the file has 0, counted from 0",
        ),
        (
            "FOREBAY_LANES__LOW",
            "5",
            "lanes.low is a section, expected a key behind it",
        ),
    ];
    for (name, value, says) in table {
        let outcome = check_config("", &[(name, value)]).check(1, &[]);
        let expected = format!("forebay: {name}: {says}");
        assert!(
            outcome.stderr.starts_with(&expected),
            "{expected}\n{}",
            outcome.stderr
        );
    }
    let fine = [
        ("FOREBAY_SCREENSHOTS", "x"),
        ("FOREBAY_GATEWAY__LISTEN", "127.0.0.1:0"),
    ];
    let outcome = check_config("", &fine).check(0, &[]);
    assert!(
        outcome.stdout.contains("listen = \"127.0.0.1:0\""),
        "{outcome:?}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [["check-config", "no.toml"], ["check-config", "."]] {
        let outcome = finish(&mut forebay(folder.path(), &arguments));
        outcome.check(1, &["cannot read the configuration", arguments[1]]);
    }
    let outcome = finish(&mut forebay(folder.path(), &["--config", "no.toml"]));
    outcome.check(1, &["cannot read the configuration no.toml"]);
    std::fs::write(folder.path().join("f.toml"), b"# \xFF").unwrap();
    let outcome = finish(&mut forebay(folder.path(), &["check-config", "f.toml"]));
    outcome.check(1, &["f.toml"]);
    finish(&mut forebay(folder.path(), &["check-config"])).check(2, &["<FILE>"]);
}
