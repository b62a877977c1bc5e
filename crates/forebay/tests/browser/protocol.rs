//! What the page's connection says to a server, against a server that is a script: what a real one
//! would do only by chance. And what the page keeps to: its content security policy.

use serde_json::{Value as Json, json};

use crate::chromium::{Page, serve};

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_says_who_it_is_finds_gaps_resumes_and_obeys_a_denial() {
    let Some(page) = Page::open().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (_server, address) = serve("127.0.0.1:0", &folder.path().join("data"));
    page.goto(&address).await;
    page.until_connection_is("live").await;
    let said = page.ask(include_str!("protocol.js")).await;

    assert_eq!(said["protocols"], json!(["forebay.v1.json"]));
    assert_eq!(
        said["url"], "ws://example.test/ws",
        "no token in an address"
    );
    let hello = json!([{"type": "hello", "token": "one", "protocol": 1}]);
    assert_eq!(said["hello"], hello);
    let nothing = json!([]);
    assert_eq!(said["beforeWelcome"], nothing);
    let subscribe = |since: Json| {
        let mut message = json!({"type": "subscribe", "id": "c", "keys": ["a/*"],
            "extract": {"kind": "since_last"}});
        if !since.is_null() {
            message["since"] = since;
        }
        json!([message])
    };
    assert_eq!(said["subscribed"], subscribe(Json::Null));
    assert_eq!(said["id"], 7);

    assert_eq!(said["ahead"], nothing, "frames still come");
    assert_eq!(said["equal"], nothing, "nothing was missed");
    let from_5 = subscribe(json!({"instance": "i1", "seq": 5}));
    assert_eq!(said["gap"], from_5);
    assert_eq!(
        said["ageAfterNothing"], 5_001,
        "an answer without news does not make the data fresh"
    );
    assert_eq!(said["notSoSoon"], nothing);
    let from_9 = subscribe(json!({"instance": "i1", "seq": 9}));
    assert_eq!(said["later"], from_9);
    assert_eq!(said["paused"], json!([{"type": "pause", "id": "c"}]));
    assert_eq!(said["unseen"], nothing);
    assert_eq!(said["unpaused"], json!([{"type": "unpause", "id": "c"}]));

    // With a quarter of each bound: 500 ms at first, then 1 s.
    assert_eq!(said["firstWait"].as_f64(), Some(125.0), "no jitter");
    assert_eq!(said["secondWait"].as_f64(), Some(250.0));
    let hello_again = hello[0].clone();
    assert_eq!(said["anew"], json!([hello_again, subscribe(Json::Null)[0]]));
    let from_2 = subscribe(json!({"instance": "i2", "seq": 2}));
    assert_eq!(said["resumed"], from_2, "without a token there is no hello");
    assert_eq!(said["retryAfterDenial"], Json::Null);
    assert_eq!(
        said["events"],
        json!([
            "welcome", "changes", "changes", "removed", "reset", "welcome", "changes", "welcome",
            "denied"
        ])
    );
    page.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_keeps_to_its_policy_which_stops_inline_scripts() {
    let Some(page) = Page::open().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (_server, address) = serve("127.0.0.1:0", &folder.path().join("data"));
    page.goto(&address).await;
    page.until_connection_is("live").await;
    page.until_charts_advance().await;
    assert_eq!(page.complaints().await, [""; 0]);

    // The same look sees what breaks the policy, so that its silence means something.
    let inline = "(() => {
        const script = document.createElement('script');
        script.textContent = 'window.ran = true';
        document.body.append(script);
        return window.ran ?? false;
    })()";
    assert_eq!(page.ask(inline).await, false, "an inline script ran");
    let complaints = page.complaints().await;
    assert!(
        complaints
            .iter()
            .any(|one| one.contains("Content Security Policy")),
        "{complaints:?}"
    );
    page.close().await;
}
