//! Live charts, tags that are found, long ranges, and a server that is lost and regained.

use std::time::{Duration, Instant};

use fantoccini::Locator;
use serde_json::Value as Json;

use crate::chromium::{PATIENCE, Page, metrics, post, readings, serve};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_live_charts_finds_tags_and_regains_a_lost_server() {
    let Some(page) = Page::open().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (server, address) = serve("127.0.0.1:0", &data);
    page.goto(&address).await;

    page.until_connection_is("live").await;
    page.until_charts_advance().await;
    let balance = "document.querySelector('[data-testid=tile-account]').dataset.holds";
    page.until("the account", balance, |value| value == "true")
        .await;
    let health = "document.querySelector('[data-testid=health]').dataset.status";
    page.until("health", health, |value| value == "healthy")
        .await;

    let lanes = "[...document.querySelectorAll('[data-testid=lane] .state')]
        .map((state) => state.textContent)";
    page.until("a running lane", lanes, |value| {
        let states = value.as_array().unwrap();
        states.iter().any(|state| state == "running")
    })
    .await;
    let sinks = "document.querySelectorAll('[data-testid=sink]').length";
    page.until("a sink", sinks, |value| value.as_f64() >= Some(1.0))
        .await;

    // A tag that nobody knew when the page was opened is found and charted.
    post(&address, readings()).await;
    let search = Locator::Css("[data-testid=tag-search]");
    page.client
        .find(search)
        .await
        .unwrap()
        .send_keys("D100")
        .await
        .unwrap();
    let option = "[data-testid=tag-option][data-key='PLC01/D100']";
    let found = format!("document.querySelector(\"{option}\") !== null");
    page.until("the tag in the search", &found, |value| value == true)
        .await;
    page.photograph("search").await;
    page.click(option).await;
    let charted = "[...document.querySelectorAll('[data-testid=chart]')]
        .some((chart) => chart.dataset.keys === 'PLC01/D100' && Number(chart.dataset.points) > 0)";
    page.until("the chart of the found tag", charted, |value| value == true)
        .await;

    tokio::time::sleep(Duration::from_secs(5)).await;
    page.ask("scrollTo(0, 0)").await;
    page.photograph("light").await;
    page.click("[data-testid=theme]").await;
    page.photograph("dark").await;
    page.resize(390, 844).await;
    page.until("the width", "innerWidth", |value| {
        value.as_f64() < Some(600.0)
    })
    .await;
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    page.until("fit for a phone", fits, |value| value == true)
        .await;
    page.photograph("phone").await;
    page.resize(1400, 1100).await;

    looks_back_over_long_ranges(&page).await;
    rests_while_nobody_sees_it(&page, &address).await;

    // A server that hangs is seen as stale, and as live again when it goes on.
    server.signal("-STOP");
    page.until_connection_is("stale").await;
    page.photograph("stale").await;
    server.signal("-CONT");
    page.until_connection_is("live").await;

    // One that is gone is waited for; charts go on by themselves when another takes its place.
    drop(server);
    page.until_connection_is("reconnecting").await;
    page.photograph("reconnecting").await;
    let (_server, again) = serve(&address, &data);
    assert_eq!(again, address);
    page.until_connection_is("live").await;
    page.until_charts_advance().await;
    page.photograph("regained").await;
    page.close().await;
}

/// A chart of a long range has the whole range, in no more points than it has pixels; the page says
/// how far the memory reaches back, and goes on.
async fn looks_back_over_long_ranges(page: &Page) {
    let curve = "(() => {
        const chart = document.querySelector('[data-testid=chart][data-keys=\"PLC01/D100\"]');
        const line = chart?.querySelector('.js-plotly-plot')?.data?.[0]?.x ?? [];
        const span = (line.at(-1) - line[0]) / 1000;
        return {span, points: line.length, pixels: chart?.querySelector('.plot').clientWidth};
    })()";
    let spans = |seconds: f64| {
        move |value: &Json| {
            let number = |name: &str| value[name].as_f64().unwrap_or(0.0);
            // What comes after the last curve is drawn too, until there is a new one.
            number("span") > seconds && number("points") < number("pixels") + 40.0
        }
    };
    for (range, seconds) in [("600", 500.0), ("all", 3_500.0)] {
        page.choose_range(range).await;
        page.until(range, curve, spans(seconds)).await;
        let note = "document.querySelector('[data-testid=range-note]').textContent";
        page.until("how far the memory reaches", note, |value| {
            value.as_str().unwrap().starts_with("In memory: the last ")
        })
        .await;
        page.until_charts_advance().await;
        page.photograph(&format!("range-{range}")).await;
    }
    page.resize(390, 844).await;
    page.until("the width", "innerWidth", |value| {
        value.as_f64() < Some(600.0)
    })
    .await;
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    page.until("fit for a phone", fits, |value| value == true)
        .await;
    page.ask("document.querySelector('#charts-title').scrollIntoView()")
        .await;
    page.until_charts_advance().await;
    page.photograph("range-phone").await;
    page.resize(1400, 1100).await;
    page.choose_range("60").await;
    page.until_charts_advance().await;
    let quiet = "document.querySelectorAll('[data-testid=notification]').length";
    page.until("no error", quiet, |value| value == 0).await;
}

/// Another tab in front: the server goes on and sends the page nothing, until it is seen again.
async fn rests_while_nobody_sees_it(page: &Page, address: &str) {
    let own = page.client.window().await.unwrap();
    let front = page.client.new_window(true).await.unwrap().handle;
    page.client.switch_to_window(front).await.unwrap();
    let begun = Instant::now();
    let mut before = metrics(address).await;
    loop {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let now = metrics(address).await;
        let sent = |metrics: &Json| metrics["websocket_updates"].as_u64().unwrap();
        let shown = |metrics: &Json| metrics["history"]["updates"].as_u64().unwrap();
        if sent(&now) == sent(&before) && shown(&now) > shown(&before) {
            break;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "it is still sent updates: {now}"
        );
        before = now;
    }
    assert_eq!(before["websocket_connections"], 1, "it is still there");
    page.client.close_window().await.unwrap();
    page.client.switch_to_window(own).await.unwrap();
    page.until_charts_advance().await;
}
