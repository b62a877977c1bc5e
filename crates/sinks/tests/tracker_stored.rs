//! A tracker by URL: its snapshot outlives it, is never written over unread, and is at most as old
//! as asked for.

#![cfg(feature = "trust")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use record::{Position, Record, Timestamp, Value};
use sinks::{
    Batch, BatchId, BatchWriter, BoxWriter, Entry, ErrorKind, Guarantee, OpenOptions, ScopeIndex,
    StoredTracker, TrackerKey, TrackerOptions,
};
use trust::{Decay, ImportLimits, TrustTracker};

fn batch(rows: impl IntoIterator<Item = (&'static str, &'static str, Value)>) -> Batch {
    let rows = rows.into_iter().enumerate();
    let entries = rows.map(|(index, (source, tag, value))| Entry {
        scope: ScopeIndex(0),
        position: Position::new(index as u64 + 1),
        arrival: Instant::now(),
        content: Ok(Record::new(source, tag, value, Timestamp::default()).unwrap()),
    });
    Batch::new(BatchId(1), entries.collect::<Vec<_>>())
}

/// A success of this source.
fn success(source: &'static str) -> Batch {
    batch([(source, "hit", Value::Bool(true))])
}

fn open(folder: &Path, parameters: &str) -> BoxWriter {
    let url = format!("tracker://{}/trust.json{parameters}", folder.display());
    let opened = sinks::open(&url, &OpenOptions::new(folder.join("data"))).unwrap();
    assert_eq!(
        (opened.about.name, opened.writer.name()),
        ("tracker", "tracker")
    );
    opened.writer
}

fn options(folder: &Path) -> TrackerOptions {
    TrackerOptions::new(folder.join("trust.json"))
}

/// What the snapshot says of these keys: alpha and beta.
fn stored<const N: usize>(folder: &Path, keys: [&str; N]) -> [(f64, f64); N] {
    let tracker = TrustTracker::<String>::new();
    let path = folder.join("trust.json");
    let limits = ImportLimits::default();
    if path.exists() {
        tracker.load(&path, Duration::ZERO, &limits).unwrap();
    }
    keys.map(|key| {
        let trust = tracker.posterior(key);
        (trust.alpha(), trust.beta())
    })
}

const UNKNOWN: (f64, f64) = (1.0, 1.0);

#[tokio::test(start_paused = true)]
async fn evidence_outlives_the_writer_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), "");
    assert_eq!(writer.guarantee(), Guarantee::UpToSnapshot);
    let merged = |text| Value::json(text).unwrap();
    let rows = [
        ("rule 7", "hit", merged(r#"{"success":true,"weight":80.0}"#)),
        (
            "rule 7",
            "hit",
            merged(r#"{"success":false,"weight":20.0}"#),
        ),
        ("rule 8", "hit", Value::Bool(false)),
        ("rule 9", "hit", Value::F64(3.5)),
    ];
    let receipt = writer.write(&batch(rows)).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.rejected().len()), (3, 0));
    let kept: Vec<_> = std::fs::read_dir(folder.path().join("data"))
        .unwrap()
        .collect();
    assert!(!kept.is_empty(), "what is no evidence is in the quarantine");
    assert_eq!(stored(folder.path(), ["rule 7/hit"]), [UNKNOWN], "not yet");
    writer.close().await.unwrap();
    let keys = ["rule 7/hit", "rule 8/hit", "rule 9/hit"];
    let expected = [(81.0, 21.0), (1.0, 2.0), UNKNOWN];
    assert_eq!(stored(folder.path(), keys), expected);

    let error = writer.write(&success("rule 7")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    assert!(error.to_string().contains("is closed"), "{error}");
    writer.close().await.unwrap();

    let writer = open(folder.path(), "");
    writer.write(&success("rule 7")).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(stored(folder.path(), ["rule 7/hit"]), [(82.0, 21.0)]);
}

#[tokio::test(start_paused = true)]
async fn a_key_may_be_the_source_or_the_tag_alone() {
    // What a coalescing route makes of the key `{source}`: its tag is the name of the aggregate.
    let merged = || {
        let value = Value::json(r#"{"success":true,"weight":2.5}"#).unwrap();
        batch([("PLC01", "success-failure", value)])
    };
    let table = [
        ("", "PLC01/success-failure"),
        ("?per=source/tag", "PLC01/success-failure"),
        ("?per=source", "PLC01"),
        ("?per=tag", "success-failure"),
    ];
    for (parameters, key) in table {
        let folder = tempfile::tempdir().unwrap();
        let writer = open(folder.path(), parameters);
        writer.write(&merged()).await.unwrap();
        writer.close().await.unwrap();
        assert_eq!(stored(folder.path(), [key]), [(3.5, 1.0)], "{parameters}");
    }
}

#[test]
fn lesson_a_snapshot_that_cannot_be_read_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trust.json");
    let whole = r#"{"format":"forebay trust","version":1,"prior":[1.0,1.0],"entries":[
{"key":"a","alpha":2.0,"beta":1.0,"at_us":0}
],"now_us":0,"keys":1}"#;
    let table = [
        (whole[..90].to_owned(), "not a whole snapshot"),
        ("{}".to_owned(), "not a whole snapshot"),
        (String::new(), "not a whole snapshot"),
        (
            whole.replace("\"version\":1", "\"version\":9"),
            "`version` is `9`",
        ),
        (whole.replace("2.0", "-2.0"), "key `a`: `alpha` is -2.0"),
        (
            whole.replace("[1.0,1.0]", "[3.0,1.0]"),
            "the snapshot's prior is (3, 1)",
        ),
    ];
    let url = format!("tracker://{}", path.display());
    for (content, says) in table {
        std::fs::write(&path, &content).unwrap();
        let error = sinks::open(&url, &OpenOptions::new(folder.path())).unwrap_err();
        let error = error.to_string();
        let names = error.contains("trust.json") && error.contains("it is left as it is");
        assert!(names && error.contains(says), "{content}: {error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
    std::fs::write(&path, whole).unwrap();
    let opened = StoredTracker::open(options(folder.path())).unwrap();
    assert_eq!(opened.tracker().posterior("a").alpha(), 2.0);
    drop(opened);
    let small = TrustTracker::builder().prior(0.5, 0.5);
    let refused = StoredTracker::open(options(folder.path()).settings(small)).unwrap_err();
    assert!(
        refused.to_string().contains("the tracker's (0.5, 0.5)"),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn two_writers_do_not_overwrite_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let first = StoredTracker::open(options(folder.path())).unwrap();
    let refused = StoredTracker::open(options(folder.path()))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("another writer has locked"), "{refused}");
    assert!(refused.contains("trust.json.lock"), "{refused}");
    first.write(&success("a")).await.unwrap();
    first.close().await.unwrap();
    // Closed, it lets go of the file while it is still there.
    let second = StoredTracker::open(options(folder.path())).unwrap();
    assert_eq!(second.tracker().posterior("a/hit").alpha(), 2.0);
    drop(second);
    StoredTracker::open(options(folder.path())).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_kill_loses_only_what_came_since_the_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let keys = ["a/hit", "b/hit", "c/hit"];
    let known = (2.0, 1.0);
    let writer = open(folder.path(), "?snapshot_every=10s");
    writer.write(&success("a")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(stored(folder.path(), keys), [UNKNOWN; 3], "it is not due");
    tokio::time::sleep(Duration::from_secs(2)).await;
    // No write came, and it was written nevertheless.
    assert_eq!(stored(folder.path(), keys), [known, UNKNOWN, UNKNOWN]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    writer.write(&success("b")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(
        stored(folder.path(), keys),
        [known, known, UNKNOWN],
        "it was overdue"
    );
    writer.write(&success("c")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(writer);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(stored(folder.path(), keys), [known, known, UNKNOWN]);
    let writer = open(folder.path(), "");
    writer.write(&success("c")).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(stored(folder.path(), keys), [known; 3]);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn lesson_a_snapshot_that_cannot_be_written_holds_up_the_next_write() {
    let folder = tempfile::tempdir().unwrap();
    let (there, away) = (folder.path().join("there"), folder.path().join("away"));
    std::fs::create_dir(&there).unwrap();
    let writer = StoredTracker::open(options(&there)).unwrap();
    writer.write(&success("a")).await.unwrap();
    std::fs::rename(&there, &away).unwrap();
    let error = writer.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(
        error.to_string().contains("cannot keep the tracker"),
        "{error}"
    );
    for _ in 0..3 {
        let error = writer.write(&success("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
        let alpha = writer.tracker().posterior("a/hit").alpha();
        assert_eq!(alpha, 2.0, "a write that is tried again counts once");
    }
    std::fs::rename(&away, &there).unwrap();
    writer.write(&success("a")).await.unwrap();
    assert_eq!(stored(&there, ["a/hit"]), [(2.0, 1.0)], "it was kept first");
    writer.snapshot().await.unwrap();
    assert_eq!(stored(&there, ["a/hit"]), [(3.0, 1.0)]);
    writer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn evidence_grows_old_through_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let hour = Duration::from_secs(3_600);
    let decay = TrustTracker::builder().decay(Decay::half_life(hour));
    let options = options(folder.path())
        .key(TrackerKey::Source)
        .settings(decay);
    let writer = StoredTracker::open(options.clone()).unwrap();
    let value = Value::json(r#"{"success":true,"weight":98}"#).unwrap();
    writer.write(&batch([("a", "hit", value)])).await.unwrap();
    writer.snapshot().await.unwrap();
    // Nothing is added in this time, and it counts.
    tokio::time::sleep(hour).await;
    writer.close().await.unwrap();
    let writer = StoredTracker::open(options).unwrap();
    let strength = writer.tracker().posterior("a").strength();
    assert!((strength - 50.0).abs() < 1e-3, "{strength}");
}

#[test]
fn parameters_that_are_wrong_are_named_with_what_is_allowed() {
    let table = [
        (
            "?colour=red",
            "parameter `colour` is unknown, expected one of per, snapshot_every",
        ),
        (
            "?per=host",
            "`per` is `host`, expected source/tag, source or tag",
        ),
        (
            "?snapshot_every=60",
            "`snapshot_every` is `60`, expected a duration",
        ),
        ("?snapshot_every=10ms", "from 1s to 1d"),
        (
            "?prior=1",
            "`prior` is `1`, expected two numbers from 1e-6 to 1e9",
        ),
        ("?prior=0,1", "`prior` is `0,1`"),
        ("?prior=1,NaN", "`prior` is `1,NaN`"),
        ("?decay_half_life=0s", "of at least 1s"),
        (
            "?decay_floor=2",
            "expected none without a `decay_half_life`",
        ),
        (
            "?decay_half_life=1d&decay_floor=0",
            "expected a number from 1e-6 to 1e12",
        ),
        ("?history=70000", "expected a whole number from 0 to 65536"),
        ("?keys_max=0", "`keys_max` is `0`"),
        ("?per=tag&per=tag", "`per` is there 2 times"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let base = format!("tracker://{}/trust.json", folder.path().display());
    for (parameters, says) in table {
        let url = format!("{base}{parameters}");
        let error = sinks::check(&url).unwrap_err().to_string();
        assert!(error.contains(says), "{url}: {error}");
        sinks::open(&url, &OpenOptions::new(folder.path())).unwrap_err();
    }
    let all = "?per=tag&snapshot_every=1s&prior=0.5,2&decay_half_life=7d&decay_floor=4&history=10\
               &keys_max=1000";
    sinks::check(&format!("{base}{all}")).unwrap();
    let entries = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(entries.count(), 0, "nothing was made");
    for (url, says) in [
        ("tracker:", "the path is missing"),
        ("tracker:data/", "names a directory"),
        ("tracker:..", "names a directory"),
        ("tracker://trust.json", "stands where a host would"),
    ] {
        let error = sinks::check(url).unwrap_err().to_string();
        assert!(error.contains(says), "{url}: {error}");
    }
    let nowhere = format!("tracker://{}/no/trust.json", folder.path().display());
    let error = sinks::open(&nowhere, &OpenOptions::new(folder.path())).unwrap_err();
    assert!(error.to_string().contains("trust.json.lock"), "{error}");
    let day = Duration::from_secs(86_400);
    let seldom = options(folder.path()).snapshot_every(2 * day);
    let error = StoredTracker::open(seldom).unwrap_err().to_string();
    assert!(error.contains("`snapshot_every` is 172800s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_new_key_beyond_the_limit_is_rejected_and_the_others_count() {
    let folder = tempfile::tempdir().unwrap();
    let settings = TrustTracker::builder().keys_max(1);
    let writer = StoredTracker::open(options(folder.path()).settings(settings)).unwrap();
    writer.write(&success("a")).await.unwrap();
    let rows = ["b", "a"].map(|source| (source, "hit", Value::Bool(true)));
    let receipt = writer.write(&batch(rows)).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.rejected().len()), (1, 1));
    assert!(receipt.rejected()[0].reason.contains("`keys_max` of 1"));
    writer.close().await.unwrap();
    assert_eq!(
        stored(folder.path(), ["a/hit", "b/hit"]),
        [(3.0, 1.0), UNKNOWN]
    );
}
