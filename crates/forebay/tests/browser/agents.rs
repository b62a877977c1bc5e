//! The example of a thousand agents: they move, alarms come before the rest, and what is clicked
//! is seen by everybody.

use std::path::Path;
use std::process::Command;

use forebay::client::{Client, Event, Subscribe, Subscription};
use serde_json::{Value as Json, json};

use crate::chromium::{PATIENCE, Page, Process, start};

/// Of the first row of the list.
const FIRST: &str = "document.querySelector('[data-testid=list] li')?.dataset";

/// The example, which `cargo test` has built beside the program; its address, and the file with the
/// token that it made for administrators.
fn example() -> (Process, String, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_forebay"));
    let example = program.with_file_name("examples").join("agents");
    assert!(
        example.is_file(),
        "{} is missing: `cargo test` builds it, and so does `cargo build --examples`",
        example.display()
    );
    let mut command = Command::new(example);
    command.args(["--listen", "127.0.0.1:0", "--alarm-every", "1"]);
    // Everything that the test wants to know stands in one line.
    let (process, line) = start(&mut command, "who looks on:").expect("the example listens");
    let file = line.split("$(cat ").nth(1).unwrap().split(')').next();
    let address = line.split("http://").nth(1).unwrap().split('/').next();
    (
        process,
        address.unwrap().to_owned(),
        file.unwrap().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_move_alarms_come_first_and_what_is_clicked_is_seen_by_everybody() {
    let Some(page) = Page::open().await else {
        return;
    };
    let (example, address, token_file) = example();
    let url = format!("http://{address}/assets/agents.html");
    page.client.goto(&url).await.unwrap();
    page.until_connection_is("live").await;
    page.until_text("[data-testid=count]", |text| text == "1000")
        .await;
    they_move(&page).await;
    alarms_come_first(&page).await;
    page.photograph("agents").await;

    let client = Client::builder(format!("ws://{address}/ws"));
    let client = client.connect().await.unwrap();
    let subscribe = Subscribe {
        id: "one".to_owned(),
        keys: vec!["agent-0003/state".to_owned()],
        ..Subscribe::default()
    };
    let mut one = client.subscribe(subscribe).await.unwrap();
    a_click_is_seen_by_everybody(&page, &client, &mut one).await;
    administrators_see_the_browser(&page, &token_file).await;
    page.photograph("agents-renamed").await;
    client.close().await;

    example.signal("-INT");
    page.until_connection_is("reconnecting").await;
    page.close().await;
}

async fn they_move(page: &Page) {
    page.fill("[data-testid=find]", "agent-0001").await;
    let place = format!("({FIRST}?.source === 'agent-0001') && {FIRST}.x + ',' + {FIRST}.y");
    let before = page
        .until("the agent is found", &place, Json::is_string)
        .await;
    // One that stands has to wait for its battery or for the end of its alarm.
    page.until("the agent moves", &place, |now| {
        now.is_string() && *now != before
    })
    .await;
}

/// Although a frame comes only every 60 s, which is longer than the test is patient.
async fn alarms_come_first(page: &Page) {
    assert!(PATIENCE.as_secs() < 60);
    page.client
        .execute(
            "const find = document.querySelector('[data-testid=find]'); find.value = '';
             document.body.dataset.alarmsHeard = 'none yet';
             const pace = document.querySelector('[data-testid=pace]'); pace.value = '60000';
             pace.dispatchEvent(new Event('change'));",
            Vec::new(),
        )
        .await
        .unwrap();
    let heard = "Number(document.body.dataset.alarmsHeard)";
    page.until("alarms that wait for no frame", heard, |heard| {
        // The snapshot sets it back; what comes then are updates.
        heard.as_f64().is_some_and(|heard| heard >= 1.0)
    })
    .await;
    page.until("an alarm on top", &format!("{FIRST}.status"), |status| {
        status == "alarm"
    })
    .await;
    let order = "[...document.querySelectorAll('[data-testid=list] li')]
        .map((row) => row.dataset.status === 'alarm' ? 0 : 1)";
    let order = page.ask(order).await;
    let order: Vec<i64> = serde_json::from_value(order).unwrap();
    assert!(order.is_sorted() && order[0] == 0, "{order:?}");
    let said = "document.querySelector('[data-testid=notifications]').textContent";
    page.until("a notification", said, |said| {
        said.as_str().unwrap().contains("is blocked")
    })
    .await;
    page.client
        .execute(
            "const pace = document.querySelector('[data-testid=pace]'); pace.value = '100';
             pace.dispatchEvent(new Event('change'));",
            Vec::new(),
        )
        .await
        .unwrap();
}

async fn a_click_is_seen_by_everybody(page: &Page, client: &Client, one: &mut Subscription) {
    page.fill("[data-testid=find]", "agent-0003").await;
    let found = format!("{FIRST}?.source");
    page.until("the agent is found", &found, |source| {
        source == "agent-0003"
    })
    .await;
    page.click("[data-source=agent-0003] [data-part=stop]")
        .await;
    seen(one, "status", "stopped").await;
    let status = format!("{FIRST}.status");
    page.until("it stands", &status, |status| status == "stopped")
        .await;

    page.click("[data-source=agent-0003] [data-part=name]")
        .await;
    page.fill("[data-testid=name]", "Ada").await;
    page.click("[data-testid=rename] button").await;
    seen(one, "name", "Ada").await;
    page.until_text("[data-testid=said]", |text| text == "Done: Ada.")
        .await;
    page.until_text("[data-source=agent-0003] [data-part=name]", |text| {
        text == "Ada"
    })
    .await;

    // And the other way round: what a program asks for is on the page.
    let done = client
        .act("resume", "agent-0003", Json::Null)
        .await
        .unwrap();
    assert_eq!(done["status"], "moving");
    page.until("it moves again", &status, |status| status != "stopped")
        .await;
    let refused = client.act("rename", "agent-0003", json!({"name": ""}));
    let refused = refused.await.unwrap_err().to_string();
    assert!(refused.contains("expected 1 to 40"), "{refused}");
}

/// Waits until a client sees this member of the agent's state.
async fn seen(one: &mut Subscription, member: &str, wanted: &str) {
    let seen = async {
        loop {
            let event = one.next().await.expect("the client goes on");
            let (Event::Snapshot(frame) | Event::Update(frame)) = event else {
                continue;
            };
            if frame.readings.iter().any(|it| it.value[member] == wanted) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap();
}

async fn administrators_see_the_browser(page: &Page, token_file: &str) {
    let token = std::fs::read_to_string(token_file).unwrap();
    let script = "const [token] = arguments;
        const socket = new WebSocket(`ws://${location.host}/ws/admin`);
        socket.onopen = () => socket.send(JSON.stringify({ type: 'hello', token }));
        socket.onmessage = (event) => {
          const message = JSON.parse(event.data);
          if (message.type !== 'welcome') return (window.answered = message);
          socket.send(JSON.stringify({ id: '1', type: 'connections' }));
        };";
    page.client
        .execute(script, vec![json!(token)])
        .await
        .unwrap();
    let answer = page
        .until("an answer", "window.answered", Json::is_object)
        .await;
    let own = page.ask("Number(document.body.dataset.connection)").await;
    let text = answer.to_string();
    let connections = answer["value"]["connections"].as_array().expect(&text);
    let mut ids = connections.iter().map(|it| &it["connection_id"]);
    assert!(
        ids.any(|id| id.as_u64() == Some(own.as_f64().unwrap() as u64)),
        "{text}"
    );
}
