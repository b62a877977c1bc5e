//! Charts of a time that is over.

use std::path::Path;

use serde_json::Value as Json;

use crate::chromium::{Page, Process, post, readings, serve};

const CURVE: &str = "(() => {
    const chart = document.querySelector('[data-testid=chart][data-keys=\"PLC01/D100\"]');
    const line = chart?.querySelector('.js-plotly-plot')?.data?.[0]?.x ?? [];
    const chosen = (id) => Number(new Date(document.querySelector(id).value)) / 1000;
    return {first: line[0] / 1000, last: line.at(-1) / 1000, points: line.length,
        now: Date.now() / 1000, from: chosen('#past-from'), until: chosen('#past-until')};
})()";

#[tokio::test(flavor = "multi_thread")]
async fn charts_show_a_time_that_is_over_say_so_and_come_back_to_live() {
    let Some(page) = Page::open().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (server, address) = serve("127.0.0.1:0", &data);
    post(&address, readings()).await;
    page.goto(&address).await;
    page.until_connection_is("live").await;
    page.fill("[data-testid=tag-search]", "D100").await;
    let option = "[data-testid=tag-option][data-key='PLC01/D100']";
    let found = format!("document.querySelector(\"{option}\") !== null");
    page.until("the tag in the search", &found, |value| value == true)
        .await;
    page.click(option).await;
    page.until_charts_advance().await;

    // The last hour comes by itself.
    page.ask("document.querySelector('[data-testid=mode] [value=past]').closest('label').click()")
        .await;
    let number = |value: &Json, name: &str| value[name].as_f64().unwrap_or(0.0);
    page.until("the last hour", CURVE, |value| {
        let span = number(value, "last") - number(value, "first");
        span > 3_000.0 && number(value, "until") - number(value, "from") == 3_600.0
    })
    .await;
    page.until_text("#charts-title", |text| text == "Past")
        .await;
    let note = "[data-testid=range-note]";
    page.until_text(note, |text| {
        text.contains("from memory") || text.contains("from the database")
    })
    .await;
    page.ask("document.querySelector('#charts-title').scrollIntoView()")
        .await;
    page.photograph("past").await;
    page.ask("scrollTo(0, 0)").await;

    // It stands still, also when new values come.
    let before = page.ask(CURVE).await;
    let accepted = "Number(document.querySelector('#a-accepted').textContent.replaceAll(',', ''))";
    let known = page.ask(accepted).await.as_f64().unwrap();
    page.until("new values", accepted, |value| {
        value.as_f64() > Some(known + 50.0)
    })
    .await;
    let after = page.ask(CURVE).await;
    assert_eq!(before["last"], after["last"]);
    assert_eq!(before["points"], after["points"]);

    // Earlier by as much as is shown; then what a person types, and what makes no sense.
    page.click("#past-earlier").await;
    page.until("the hour before", CURVE, |value| {
        number(value, "now") - number(value, "until") > 3_500.0
            && number(value, "points") > 0.0
            && number(value, "last") <= number(value, "until")
    })
    .await;
    let choose = |from: i32, until: i32| {
        format!(
            "(() => {{
                const at = (minutes) => {{
                    const time = new Date(Date.now() - minutes * 60000);
                    const local = new Date(time - time.getTimezoneOffset() * 60000);
                    return local.toISOString().slice(0, 19);
                }};
                document.querySelector('#past-from').value = at({from});
                document.querySelector('#past-until').value = at({until});
            }})()"
        )
    };
    page.ask(&choose(10, 20)).await;
    page.click("#past [type=submit]").await;
    page.until_text("#past-error", |text| {
        text == "From must be earlier than until."
    })
    .await;
    assert_eq!(page.ask("document.activeElement.id").await, "past-from");
    page.ask(&choose(20, 10)).await;
    page.click("#past [type=submit]").await;
    page.until("ten minutes", CURVE, |value| {
        let span = number(value, "last") - number(value, "first");
        (500.0..=600.0).contains(&span)
    })
    .await;
    page.until_text("#past-error", str::is_empty).await;
    page.resize(390, 844).await;
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    page.until("fit for a phone", fits, |value| value == true)
        .await;
    page.ask("document.querySelector('#charts-title').scrollIntoView()")
        .await;
    page.photograph("past-phone").await;
    page.resize(1400, 1100).await;
    page.ask("scrollTo(0, 0)").await;

    page.click("[data-testid=past-back]").await;
    page.until_text("#charts-title", |text| text == "Live")
        .await;
    page.until_charts_advance().await;
    finds_in_the_database_what_no_memory_has(&page, server, &data, &address).await;
    page.close().await;
}

/// A server that was started anew remembers nothing, and its database everything.
async fn finds_in_the_database_what_no_memory_has(
    page: &Page,
    server: Process,
    data: &Path,
    address: &str,
) {
    let delivered = "document.querySelector('#a-pending').textContent";
    page.until("nothing pending", delivered, |value| value == "0")
        .await;
    server.signal("-TERM");
    page.until_connection_is("reconnecting").await;
    drop(server);
    let (_server, again) = serve(address, data);
    assert_eq!(again, address);
    page.until_connection_is("live").await;
    page.ask("document.querySelector('[data-testid=mode] [value=past]').closest('label').click()")
        .await;
    page.until("the last hour", CURVE, |value| {
        value["last"].as_f64().unwrap_or(0.0) - value["first"].as_f64().unwrap_or(0.0) > 3_000.0
    })
    .await;
    page.until_text("[data-testid=range-note]", |text| {
        text.contains("from the database")
    })
    .await;
    page.photograph("past-database").await;
}
