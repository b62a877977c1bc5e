//! Tokens: a page that needs one asks for it, and an administrator acts by theirs.

use std::time::Duration;

use forebay::gateway::{Access, Gateway, GatewayOptions, Rights, Token};
use forebay::pipeline::{LaneSpec, LiveData, Pipeline, SinkSpec};
use forebay::record::Priority;
use forebay::sinks::{BoxWriter, BreakerHandle, BreakerSpec, CircuitBreaker};
use forebay::sinks::{MemoryWriter, RetryPolicy, ScopeName};
use serde_json::{Value as Json, json};

use crate::chromium::{Page, serve};

/// A gateway in this process whose sink takes nothing until its breaker is reset.
struct Server {
    address: String,
    reader: Token,
    admin: Token,
    _breaker: BreakerHandle,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// One that lets everybody read, or nobody without a token.
    async fn start(anonymous: Rights) -> Self {
        let breaker = CircuitBreaker::new(MemoryWriter::new(), BreakerSpec::default()).unwrap();
        let handle = breaker.handle();
        handle.force_open();
        let lanes = [Priority::Normal, Priority::Low].map(LaneSpec::new);
        let archive = SinkSpec::new("archive", BoxWriter::new(breaker))
            .lanes(lanes)
            .retry(RetryPolicy::default().unlimited())
            .breaker(handle.clone());
        let live = LiveData::builder().depth_default(1000).build().unwrap();
        let pipeline = Pipeline::builder()
            .sink(archive)
            .live(live)
            .start()
            .unwrap();
        let (reader, admin) = (Token::generate().unwrap(), Token::generate().unwrap());
        let access = Access::new()
            .anonymous(anonymous)
            .token("screen", reader.hash(), Rights::none().read_all())
            .unwrap()
            .token("operator", admin.hash(), Rights::none().read_all().admin())
            .unwrap();
        let options = GatewayOptions {
            access,
            ..GatewayOptions::default()
        };
        let scope = ScopeName::new("http/normal");
        let ingest = pipeline.intake(&scope).await.unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let gateway = Gateway::bind(listen, options, pipeline, ingest)
            .await
            .unwrap();
        Self {
            address: gateway.local_addr().to_string(),
            reader,
            admin,
            _breaker: handle,
            serving: tokio::spawn(gateway.serve(std::future::pending())),
        }
    }

    /// Hands in so many readings of a lane.
    async fn put(&self, number: usize, priority: &str) {
        let line = json!({"source": "PLC01", "tag": "D7", "value": number, "priority": priority});
        let url = format!("http://{}/api/ingest", self.address);
        let body = format!("{line}\n").repeat(number);
        let sent = tokio::task::spawn_blocking(move || ureq::post(url).send(body));
        assert_eq!(sent.await.unwrap().unwrap().status(), 200);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

const SAID: &str = "[data-testid=operate-said]";
const BUTTONS: &str = "document.querySelectorAll('[data-testid=operate] [data-act]').length";

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_unlocks_by_a_token_and_purges_resets_flushes_and_disconnects() {
    let Some(page) = Page::open().await else {
        return;
    };
    let everybody = Rights::none().read_all().ingest();
    let server = Server::start(everybody).await;
    server.put(5, "normal").await;
    server.put(2, "low").await;
    page.goto(&server.address).await;
    page.until_connection_is("live").await;

    // Without the right there is no button, and a line says what is needed.
    assert_eq!(page.ask(BUTTONS).await, 0);
    let needs = "[data-testid=operate-needs]";
    page.until_text(needs, |text| text.contains("right to administer"))
        .await;
    for (token, answer) in [
        ("", "Enter the token first."),
        ("fb_wrong", "The server does not know this token."),
        (
            server.reader.as_str(),
            "This token does not have the right to administer.",
        ),
    ] {
        page.fill("#admin-input", token).await;
        page.click("[data-testid=unlock] button").await;
        page.until_text("#unlock-error", |text| text == answer)
            .await;
        assert_eq!(page.ask(BUTTONS).await, 0, "{answer}");
    }
    page.ask("scrollTo(0, document.body.scrollHeight)").await;
    page.photograph("operate-wrong-token").await;
    page.fill("#admin-input", server.admin.as_str()).await;
    page.click("[data-testid=unlock] button").await;
    page.until_text(SAID, |text| text == "Unlocked.").await;
    let focused = page.ask("document.activeElement.dataset.act").await;
    assert_eq!(focused, "flush", "the focus goes on to the first button");

    purges_a_lane_after_asking(&page).await;
    page.click("[data-act=breaker]").await;
    page.until_text(SAID, |text| text == "Closed 1 breaker.")
        .await;
    page.click("[data-act=flush]").await;
    page.until_text(SAID, |text| {
        text.starts_with("Delivered ") || text == "Nothing was waiting."
    })
    .await;
    let delivered = "document.querySelector('#a-delivered').textContent";
    page.until("what is delivered", delivered, |value| value == "2")
        .await;
    page.click("[data-act=reload]").await;
    page.until_text("[data-testid=operate-failed]", |text| {
        text.contains("does not read its configuration again")
    })
    .await;
    page.ask("scrollTo(0, document.body.scrollHeight)").await;
    page.photograph("operate").await;

    disconnects_itself_and_comes_back(&page).await;
    keeps_its_token_for_the_tab_and_out_of_the_address(&page).await;
    page.close().await;
}

/// The question names the lane and what is lost; who keeps it loses nothing.
async fn purges_a_lane_after_asking(page: &Page) {
    page.until_text("#a-pending", |text| text == "7").await;
    page.click("[data-act=purge]").await;
    let question = "document.querySelector('[data-testid=purge-dialog]').innerText";
    let asked = page.ask(question).await;
    let asked = asked.as_str().unwrap();
    assert!(asked.contains("Purge the lane “normal”?"), "{asked}");
    assert!(asked.contains("5 updates"), "{asked}");
    let focused = page.ask("document.activeElement.id").await;
    assert_eq!(focused, "purge-no", "the safe answer has the focus");
    page.photograph("operate-purge").await;
    page.click("#purge-no").await;
    page.until_text("#a-pending", |text| text == "7").await;
    let focused = page.ask("document.activeElement.dataset.act").await;
    assert_eq!(focused, "purge", "the focus comes back to where it was");
    page.click("[data-act=purge]").await;
    page.click("[data-testid=purge-yes]").await;
    let done = "Threw away 5 updates of the lane “normal”.";
    page.until_text(SAID, |text| text == done).await;
    page.until_text("#a-pending", |text| text == "2").await;
}

async fn disconnects_itself_and_comes_back(page: &Page) {
    let own = "[...document.querySelectorAll('[data-testid=client]')]
        .filter((row) => row.textContent.includes('(this page)')).map((row) => row.dataset.client)";
    let one = |value: &Json| value.as_array().unwrap().len() == 1;
    let before = page.until("its own row", own, one).await;
    let press = "[...document.querySelectorAll('[data-testid=client]')]
        .find((row) => row.textContent.includes('(this page)')).querySelector('button').click()";
    page.ask(press).await;
    page.until_text(SAID, |text| text.starts_with("Disconnected client "))
        .await;
    let other = |value: &Json| one(value) && *value != before;
    page.until("its row under another number", own, other).await;
    page.until_connection_is("live").await;
}

async fn keeps_its_token_for_the_tab_and_out_of_the_address(page: &Page) {
    page.client.refresh().await.unwrap();
    page.until("unlocked again", BUTTONS, |value| value == 5)
        .await;
    assert_eq!(page.ask("location.search + location.hash").await, "");
    let stored = page.ask("JSON.stringify(localStorage)").await;
    assert!(!stored.as_str().unwrap().contains("fb_"), "{stored}");
    page.click("[data-act=lock]").await;
    page.until("locked", BUTTONS, |value| value == 0).await;
    let kept = page.ask("JSON.stringify(sessionStorage)").await;
    assert!(!kept.as_str().unwrap().contains("fb_"), "{kept}");

    // The token of an earlier run opens nothing, and is forgotten.
    page.ask("sessionStorage.setItem('forebay.admin-token', 'fb_of_an_earlier_run')")
        .await;
    page.client.refresh().await.unwrap();
    page.until_connection_is("live").await;
    let kept = "JSON.stringify(sessionStorage)";
    page.until("a forgotten token", kept, |value| value == "{}")
        .await;
    assert_eq!(page.ask(BUTTONS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_needs_a_token_asks_for_it_and_shows_nothing_before() {
    let Some(page) = Page::open().await else {
        return;
    };
    let server = Server::start(Rights::none().ingest()).await;
    server.put(3, "normal").await;
    page.goto(&server.address).await;
    let open = "document.querySelector('[data-testid=token-dialog]').open";
    page.until("the dialog", open, |value| value == true).await;
    assert_eq!(page.ask("document.activeElement.id").await, "token-input");
    page.photograph("token").await;
    page.fill("#token-input", "fb_wrong").await;
    page.click("#token-form [type=submit]").await;
    let unknown = "The server does not know this token.";
    page.until_text("[data-testid=token-error]", |text| text == unknown)
        .await;

    // Escape closes it; the page says that it is locked, and opens it again on request.
    page.press("\u{E00C}").await;
    page.until("no dialog", open, |value| value == false).await;
    page.until_connection_is("locked").await;
    assert_eq!(
        page.ask("document.querySelectorAll('.chart').length").await,
        0
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    page.photograph("locked").await;
    page.click("#locked-button").await;
    page.fill("#token-input", server.reader.as_str()).await;
    page.click("#token-form [type=submit]").await;
    page.until("no dialog", open, |value| value == false).await;
    page.until_connection_is("live").await;
    let charted = "[...document.querySelectorAll('[data-testid=chart]')]
        .some((chart) => chart.dataset.keys === 'PLC01/D7' && Number(chart.dataset.points) > 0)";
    page.until("a chart", charted, |value| value == true).await;
    let shown = page.ask("document.body.innerText + location.href").await;
    assert!(!shown.as_str().unwrap().contains(server.reader.as_str()));
    page.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_run_opens_the_page_of_that_run_alone() {
    let Some(page) = Page::open().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (server, address) = serve("127.0.0.1:0", &data);
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    page.goto(&address).await;
    page.until_connection_is("live").await;
    page.fill("#admin-input", token.trim()).await;
    page.click("[data-testid=unlock] button").await;
    page.until_text(SAID, |text| text == "Unlocked.").await;
    page.click("[data-act=reload]").await;
    page.until_text(SAID, |text| {
        text.starts_with("The configuration was read again")
    })
    .await;
    drop(server);
    page.until_connection_is("reconnecting").await;
    let (_server, again) = serve(&address, &data);
    assert_eq!(again, address);
    page.until_connection_is("live").await;
    page.until("locked again", BUTTONS, |value| value == 0)
        .await;
    page.until_text("[data-testid=operate-needs]", |text| {
        text.starts_with("The server no longer knows the token")
    })
    .await;
    page.close().await;
}
