//! `forebay token`, and the token that a run makes for its administrator.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{Running, finish, forebay};

fn serve(directory: &Path, config: &str) -> (Running, String) {
    std::fs::write(directory.join("f.toml"), config).unwrap();
    let arguments = ["run", "--config", "f.toml", "--listen", "127.0.0.1:0"];
    Running::serve(&mut forebay(directory, &arguments))
}

/// The status of an answer.
fn ask(method: &str, url: &str, token: Option<&str>) -> u16 {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let answer = agent.run(request.body(()).unwrap()).unwrap();
    answer.status().as_u16()
}

#[test]
fn a_token_that_was_made_gives_its_rights_once_its_hash_is_in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "token", "--name", "ops", "--read", "PLC01/*", "a/*", "--act",
    ];
    let made = finish(&mut forebay(folder.path(), &arguments)).check(0, &[]);
    let token = made
        .stdout
        .lines()
        .find(|line| line.starts_with("fb_"))
        .unwrap();
    let (_, section) = made.stdout.split_once("[[token]]").unwrap();
    assert!(
        section.contains("read = [\"PLC01/*\", \"a/*\"]\nact = true"),
        "{section}"
    );
    assert!(
        !section.contains(token) && !section.contains("admin"),
        "{section}"
    );
    let config = format!("[host]\nenabled = false\n[[token]]{section}");

    let (running, address) = serve(folder.path(), &config);
    let keys = format!("{address}/api/keys");
    assert_eq!(ask("GET", &keys, None), 401);
    assert_eq!(ask("GET", &keys, Some(token)), 200);
    assert_eq!(
        ask("POST", &format!("{address}/api/flush"), Some(token)),
        403
    );
    assert_eq!(
        ask("POST", &format!("{address}/api/ingest"), Some(token)),
        403
    );
    running.signal("TERM");
    let ended = running.end().check(0, &[]);
    assert!(!ended.stderr.contains(token) && !ended.stdout.contains(token));
}

#[test]
fn a_token_without_a_right_or_with_a_bad_one_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code, says) in [
        (&["token"][..], 1, "--read GLOB, --ingest, --act or --admin"),
        (&["token", "--read", "["], 1, "a `[` without `]`"),
        (
            &["token", "--admin", "--name", "a b"],
            2,
            "expected 1 to 64 letters",
        ),
    ] {
        let made = finish(&mut forebay(folder.path(), arguments)).check(code, &[says]);
        assert!(!made.stdout.contains("fb_"), "{made:?}");
    }
}

#[test]
fn a_run_without_an_administrator_makes_a_token_for_its_owner_and_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (running, address) = serve(folder.path(), "[host]\nenabled = false\n");
    let file = folder.path().join("forebay-data/admin-token");
    let token = std::fs::read_to_string(&file).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let flush = format!("{address}/api/flush");
    assert_eq!(ask("POST", &flush, None), 401);
    assert_eq!(ask("POST", &flush, Some(token.trim())), 200);
    running.signal("TERM");
    let ended = running.end().check(0, &[]);
    assert!(
        ended.stdout.contains("forebay-data/admin-token"),
        "{ended:?}"
    );
    assert!(!ended.stdout.contains(token.trim()) && !ended.stderr.contains(token.trim()));
    assert!(!file.exists(), "it went with the run");
}

#[test]
fn a_run_with_an_administrator_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let made = finish(&mut forebay(folder.path(), &["token", "--admin"])).check(0, &[]);
    let (_, section) = made.stdout.split_once("[[token]]").unwrap();
    let config = format!("[host]\nenabled = false\n[[token]]{section}");
    let (running, _) = serve(folder.path(), &config);
    assert!(!folder.path().join("forebay-data/admin-token").exists());
    running.signal("TERM");
    let ended = running.end().check(0, &[]);
    assert!(!ended.stdout.contains("admin-token"), "{ended:?}");
}

#[test]
fn an_address_that_others_reach_is_refused_without_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["run", "--listen", "0.0.0.0:0"];
    let refused = finish(&mut forebay(folder.path(), &arguments));
    refused.check(1, &["forebay token", "allow_anonymous = true", "127.0.0.1"]);
}
