//! The page in a real headless Chromium: it shows live charts, finds tags, looks back over long
//! ranges, rests while nobody sees it, loses and regains the server, and fits a phone. Leaves
//! screenshots in `$FOREBAY_SCREENSHOTS`, or `target/e2e`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value as Json, json};

/// How long anything on the page may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// A child process that is ended, by its id, with the test.
struct Process(Child);

impl Process {
    fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program and waits for a line of its output that has `mark`; gives what follows it.
fn start(command: &mut Command, mark: &str) -> (Process, String) {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let line = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.contains(mark))
        .unwrap_or_else(|| panic!("{command:?} never said {mark:?}"));
    // Whoever stops reading would block the program once the pipe is full.
    std::thread::spawn(move || lines.for_each(drop));
    let rest = line.split(mark).nth(1).unwrap();
    (process, rest.trim().trim_end_matches('.').to_owned())
}

fn serve(listen: &str, data: &Path) -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command
        .args(["run", "--listen", listen, "--data"])
        .arg(data);
    start(&mut command, "listening on http://")
}

/// The browser and its driver, or `None` with a loud word where they are not installed.
fn tools() -> Option<(PathBuf, PathBuf)> {
    let find = |name: &str| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| file.exists())
    };
    match (find("chromium"), find("chromedriver")) {
        (Some(browser), Some(driver)) => Some((browser, driver)),
        _ => {
            assert!(
                std::env::var_os("FOREBAY_REQUIRE_SERVICES").is_none(),
                "chromium and chromedriver are required and not installed"
            );
            eprintln!("SKIPPED: chromium and chromedriver are not installed");
            None
        }
    }
}

struct Page {
    client: Client,
    screenshots: PathBuf,
}

impl Page {
    async fn open(driver: &str, browser: &Path, profile: &Path) -> Self {
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ]
        .map(str::to_owned)
        .into();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        let options = json!({"binary": browser, "args": arguments});
        let capabilities = [("goog:chromeOptions".to_owned(), options)]
            .into_iter()
            .collect();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{driver}"))
            .await
            .unwrap();
        let screenshots = std::env::var_os("FOREBAY_SCREENSHOTS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/e2e"),
            PathBuf::from,
        );
        std::fs::create_dir_all(&screenshots).unwrap();
        Self {
            client,
            screenshots,
        }
    }

    async fn ask(&self, script: &str) -> Json {
        self.client
            .execute(&format!("return {script}"), Vec::new())
            .await
            .unwrap()
    }

    /// Waits until a script's value is what is wanted.
    async fn until(&self, what: &str, script: &str, wanted: impl Fn(&Json) -> bool) -> Json {
        let begun = Instant::now();
        loop {
            let value = self.ask(script).await;
            if wanted(&value) {
                return value;
            }
            if begun.elapsed() > PATIENCE {
                self.photograph("failure").await;
                panic!("{what}: still {value} after {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn until_connection_is(&self, state: &str) {
        let script = "document.querySelector('[data-testid=connection]')?.dataset.state";
        self.until("connection", script, |value| value == state)
            .await;
    }

    /// Waits until every chart of the host has got more points than now.
    async fn until_charts_advance(&self) {
        let script = "[...document.querySelectorAll('[data-testid=chart]')]
            .filter((chart) => chart.dataset.keys.includes('host/'))
            .map((chart) => Number(chart.dataset.points))";
        let points = |value: &Json| -> Vec<f64> {
            value
                .as_array()
                .unwrap()
                .iter()
                // A chart that was not drawn yet has no number.
                .map(|count| count.as_f64().unwrap_or(0.0))
                .collect()
        };
        let has_some =
            |value: &Json| points(value).iter().filter(|count| **count > 0.0).count() > 2;
        let before = points(&self.until("charts with points", script, has_some).await);
        self.until("charts that advance", script, |value| {
            let now = points(value);
            now.len() >= before.len() && now.iter().zip(&before).all(|(now, before)| now > before)
        })
        .await;
    }

    async fn photograph(&self, name: &str) {
        let picture = self.client.screenshot().await.unwrap();
        std::fs::write(self.screenshots.join(format!("{name}.png")), picture).unwrap();
    }

    async fn click(&self, selector: &str) {
        self.client
            .find(Locator::Css(selector))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
    }

    async fn choose_range(&self, value: &str) {
        let label = format!(
            "document.querySelector('[data-testid=range] [value=\"{value}\"]')\
             .closest('label').click()"
        );
        self.ask(&label).await;
    }

    async fn resize(&self, width: u32, height: u32) {
        self.client.set_window_size(width, height).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_live_charts_finds_tags_and_regains_a_lost_server() {
    let Some((browser, driver)) = tools() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (server, address) = serve("127.0.0.1:0", &data);
    let (_driver, port) = start(
        Command::new(driver).arg("--port=0"),
        "started successfully on port ",
    );
    let page = Page::open(&port, &browser, &folder.path().join("profile")).await;
    page.resize(1400, 1100).await;
    page.client
        .goto(&format!("http://{address}/"))
        .await
        .unwrap();

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
    page.client.close().await.unwrap();
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

async fn metrics(address: &str) -> Json {
    let url = format!("http://{address}/api/metrics");
    let text = tokio::task::spawn_blocking(move || {
        let mut answer = ureq::get(url).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
    });
    serde_json::from_str(&text.await.unwrap()).unwrap()
}

/// Readings of a vessel that fills and empties, over the last hour and more: ten per second in the
/// last minute, before that one every two seconds.
fn readings() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let line = |tenth: i32| {
        let micros = now.as_micros() - 100_000 * u128::from(tenth.unsigned_abs());
        let level = 50.0 + 30.0 * (f64::from(tenth) / 60.0).sin() - f64::from(tenth) / 2_000.0;
        let reading = json!({
            "timestamp": u64::try_from(micros).unwrap(),
            "source": "PLC01",
            "tag": "D100",
            "value": level,
        });
        format!("{reading}\n")
    };
    let older = (-48_000..-600).step_by(20);
    older.chain(-600..=0).map(line).collect()
}

async fn post(address: &str, body: String) {
    let url = format!("http://{address}/api/ingest");
    let answer = tokio::task::spawn_blocking(move || ureq::post(url).send(body))
        .await
        .unwrap();
    assert_eq!(answer.unwrap().status(), 200);
}
