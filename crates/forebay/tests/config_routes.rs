//! What the program says of sinks, lanes, routes and sources in a configuration: what cannot be,
//! each with its place, and what the rest comes to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{check_config, check_refused as check};

#[test]
fn nested_sections_are_named_with_their_place() {
    let table = [
        (
            "route = 5",
            "f.toml:1: route is 5, expected the section [[route]]",
        ),
        (
            "[route]\nsink = 'main'",
            "f.toml:1: route is [route], expected the section [[route]]",
        ),
        (
            "[[route]]\n[[route]]\nname = 'a'\nprio = 'low'",
            "f.toml:4: route.1.prio is no setting, [[route]] has name, sink, sources, tags, \
             priority",
        ),
        (
            "[lanes.lo]\nweight = 1",
            "f.toml:1: [lanes.lo] is no section (did you mean low?), expected one of \
             [lanes.critical], [lanes.high], [lanes.normal], [lanes.low]",
        ),
        (
            "[sinks]\narchive = 5",
            "f.toml:2: sinks.archive is 5, expected the section [sinks.archive]",
        ),
        (
            "[sinks.\"a b\"]\nurl = 'sqlite:x'",
            "f.toml:1: [sinks.\"a b\"] has a name of other than 1 to 64 letters, digits, `-`, `_` \
             and `.`",
        ),
        (
            "[sink.lanes.low]\nmax_size = 0",
            "f.toml:2: sink.lanes.low.max_size is 0, expected a whole number from 1 to 100000000",
        ),
        (
            "[[route]]\n[route.coalesce]\naggregate = 'mean'",
            "f.toml:3: route.0.coalesce.aggregate is 'mean', expected \"last\", \"first\", \
             \"count\", \"sum\", \"min-max\", \"stats\", \"success-failure\", \"append\", \
             \"quantiles\" or \"changes\"",
        ),
    ];
    for (text, expected) in table {
        check(text, expected);
    }
}

#[test]
fn routes_and_sinks_that_cannot_be_are_named() {
    let archive = "[sinks.archive]\nurl = 'sqlite:archive.sqlite'\n";
    let table = [
        (
            format!("{archive}[[route]]\nsink = 'archiv'"),
            "f.toml:4: route.0.sink is \"archiv\", which is no sink (did you mean archive?), \
             expected one of archive",
        ),
        (
            "[[route]]\nsink = 'nowhere'".to_owned(),
            "f.toml:2: route.0.sink is \"nowhere\", which is no sink, expected one of main",
        ),
        (
            "[[route]]\nname = 'a'\ntags = 'x'\n[[route]]\nname = 'a'".to_owned(),
            "f.toml:5: route.0 and route.1 into the sink `main` have the same name a",
        ),
        (
            "[[route]]\ntags = 'x'\n\n[[route]]\ntags = 'y'".to_owned(),
            "f.toml:4: route.0 and route.1 into the sink `main` have no name, expected one for \
             each but one",
        ),
        (
            "[[route]]\n[[route]]\nname = 'late'\ntags = 'x'".to_owned(),
            "f.toml:4: route.1 gets nothing: route.0, which stands before it, takes all that it \
             matches",
        ),
        (
            "[sinks.archive]\ntimeout = '1s'".to_owned(),
            "f.toml:1: [sinks.archive] has no url, expected one",
        ),
        (
            "[sinks.main]\nurl = 'sqlite:x'".to_owned(),
            "f.toml:2: [sinks.main] is the sink of the section [sink]",
        ),
        (
            "[sink]\nurl = 'sqlite:x'\n[sinks.b]\nurl = 'sqlite:x'".to_owned(),
            "f.toml:4: sinks.b.url is the same as sink.url, expected another sink",
        ),
        (
            "[lanes.high]\nreserved = 2\n[sink.lanes.low]\nreserved = 1\n[sink]\nconcurrency = 2"
                .to_owned(),
            "f.toml:4: the lanes of the sink `main` have 3 writes reserved, expected at most its \
             concurrency of 2",
        ),
        (
            "[lanes.low]\nrecover_threshold_pct = 80".to_owned(),
            "f.toml:2: recover_threshold_pct of the lane low is 80 and alert_threshold_pct is 80, \
             expected the first to be lower",
        ),
        (
            "[lanes.low]\nage = '1s'\nwait = '1s'".to_owned(),
            "f.toml:3: lanes.low has fixed bounds of a batch (preset, size, age or interval) and \
             ones that adapt (batch_min, batch_base, wait or write_target), expected either",
        ),
        (
            "[lanes.low]\nbatch_min = 10\nbatch_max = 5".to_owned(),
            "f.toml:2: batch_min of the lane low is 10, batch_base is 10 and batch_max is 5, \
             expected each to be at most the next",
        ),
        (
            "[[route]]\n[route.lanes.low]\nweight = 3".to_owned(),
            "f.toml:3: route.0.lanes.low.weight is shared by all routes into the sink `main`, \
             expected in [sink.lanes.low]",
        ),
        (
            "[[route]]\n[route.coalesce]\nkeys_max = 3".to_owned(),
            "f.toml:2: route.0.coalesce has no aggregate, expected one such as \"last\"",
        ),
        (
            "[[source]]\nname = 'host'\npath = 'x'".to_owned(),
            "f.toml:2: source.0.name is host, which the program calls a source of its own",
        ),
        (
            "[[source]]\nname = 'a'".to_owned(),
            "f.toml:1: source.0 has no path, expected a file or \"-\"",
        ),
        (
            "[[alert]]\nname = 'a'".to_owned(),
            "f.toml:1: alert.0 has neither url nor command, expected one of the two",
        ),
        (
            "[[alert]]\nname = 'a'\nurl = 'http://h'\ncommand = ['c']".to_owned(),
            "f.toml:4: alert.0 has url and command, expected one of the two",
        ),
        (
            "[[alert]]\nurl = 'http://h'".to_owned(),
            "f.toml:1: alert.0 has no name, expected one",
        ),
        (
            "[[alert]]\nname = 'a'\nurl = 'http://h'\non = []".to_owned(),
            "f.toml:3: alert.0: on of the alert `a` is empty, expected at least one of healthy, \
             degraded and critical",
        ),
        (
            "[[alert]]\nname = 'a'\nurl = 'ftp://me:hunter2@h/token'".to_owned(),
            "f.toml:3: alert.0.url is 'ftp://***@h/token', expected a URL with http or https, \
             such as \"https://host/hook\"",
        ),
    ];
    for (text, expected) in table {
        check(&text, expected);
    }
    let all_off: String = ["critical", "high", "normal", "low"]
        .map(|lane| format!("[lanes.{lane}]\nenabled = false\n"))
        .concat();
    check(
        &all_off,
        "f.toml:2: no lane of the sink `main` is enabled, expected one",
    );
}

#[test]
fn lesson_memory_beyond_what_the_machine_has_is_refused_with_both_figures() {
    let lanes: String = ["critical", "high", "normal", "low"]
        .map(|lane| format!("[lanes.{lane}]\nmax_bytes = '64 GiB'\n"))
        .concat();
    let routes: String = (0..40)
        .map(|route| format!("[[route]]\nname = 'r{route}'\ntags = 't{route}'\n"))
        .collect();
    let outcome = check_config(&(lanes + &routes), &[]).check(1, &[]);
    let says =
        "f.toml:6: max_bytes of 160 lanes come to 10240.0 GiB together, but this machine has ";
    assert!(outcome.stderr.contains(says), "{outcome:?}");
    assert!(
        outcome.stderr.trim_end().ends_with("GiB of memory"),
        "{outcome:?}"
    );
}

#[test]
fn overlapping_routes_and_idle_sinks_are_allowed_and_said() {
    let text = "[sinks.archive]\nurl = 'sqlite:a.sqlite'\n[sinks.spare]\nurl = 'sqlite:b.sqlite'\n\
                [[route]]\nname = 'alarms'\nsink = 'archive'\ntags = 'alarm.*'\n\
                [[route]]\nname = 'fires'\nsink = 'archive'\ntags = '*.fire'\n";
    let outcome = check_config(text, &[]).check(0, &[]);
    let expected = "f.toml: the routes `alarms` into `archive` and `fires` into `archive` overlap: \
                    what both match goes to the first\n\
                    f.toml: no route leads to the sink `spare`, which gets nothing\n";
    assert_eq!(outcome.stderr, expected);
    assert!(!outcome.stdout.contains("[sinks.main]"), "{outcome:?}");
}

#[test]
fn what_lanes_come_to_is_printed_and_read_back() {
    let text = "[flush]\npreset = 'aggregation'\n[buffer]\nmax_size = 500\n\
                [lanes.low]\nexpires_after = '60s'\n\
                [sinks.archive]\nurl = 'sqlite:a.sqlite'\n\
                [sinks.archive.lanes.critical]\nmax_bytes = '8 MiB'\npolicy = 'reject'\n\
                [sinks.archive.lanes.high]\nbatch_max = 40\nwait = '5ms'\n\
                [sinks.archive.lanes.normal]\nsize = 9\n\
                [sinks.archive.lanes.low]\nenabled = false\n";
    let outcome = check_config(text, &[]).check(0, &[]);
    let (_, lanes) = outcome.stdout.split_once("\n# ").unwrap();
    insta::assert_snapshot!(lanes, @r#"
    7 lanes, which may take 392.0 MiB together:
    # main/critical: 500 records or 64 MiB, drop-lowest-priority; delivered at once
    # main/high: 500 records or 64 MiB, drop-lowest-priority; batches of 1 to 500 or after 10ms
    # main/normal: 500 records or 64 MiB, drop-oldest; batches of 100 or after 5s
    # main/low: 500 records or 64 MiB, drop-oldest; batches of 100 or after 5s, for 1m
    # archive/critical: 500 records or 8 MiB, reject; delivered at once
    # archive/high: 500 records or 64 MiB, drop-lowest-priority; batches of 1 to 40 or after 5ms
    # archive/normal: 500 records or 64 MiB, drop-oldest; batches of 9 or after 5s
    "#);
    let again = check_config(&outcome.stdout, &[]).check(0, &[]);
    assert_eq!(again.stdout, outcome.stdout);
}
