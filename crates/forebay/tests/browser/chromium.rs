//! A headless Chromium with the page in it, and a server for it to show.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value as Json, json};
use tokio::sync::{Mutex, MutexGuard};

/// How long anything on the page may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
const DRIVER_STARTS_MAX: usize = 10;

/// A child process that is ended, by its id, with the test.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn signal(&self, signal: &str) {
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

/// Starts a program and waits for a line of its output that has `mark`; gives what follows it, or
/// `None` when the program ends without one.
pub(crate) fn start(command: &mut Command, mark: &str) -> Option<(Process, String)> {
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
        .find(|line| line.contains(mark))?;
    // Whoever stops reading would block the program once the pipe is full.
    std::thread::spawn(move || lines.for_each(drop));
    let rest = line.split(mark).nth(1).unwrap();
    Some((process, rest.trim().trim_end_matches('.').to_owned()))
}

/// The driver takes a free port for one protocol, and ends when the other has it already.
fn start_driver(driver: &Path) -> (Process, String) {
    let mark = "started successfully on port ";
    (0..DRIVER_STARTS_MAX)
        .find_map(|_| start(Command::new(driver).arg("--port=0"), mark))
        .expect("the driver starts")
}

pub(crate) fn serve(listen: &str, data: &Path) -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command
        .args(["run", "--listen", listen, "--data"])
        .arg(data);
    start(&mut command, "listening on http://").expect("the program listens")
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

/// A page in a browser of its own. One at a time: they would slow each other down.
pub(crate) struct Page {
    pub(crate) client: Client,
    screenshots: PathBuf,
    session: Session,
    _driver: Process,
    _profile: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// The address of a session at the driver, for what the client has no name for. The browser ends
/// with it, also when a test fails.
struct Session(String);

impl Drop for Session {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.0).call();
    }
}

static TURN: Mutex<()> = Mutex::const_new(());

impl Page {
    /// Starts a browser; `None` where there is none.
    pub(crate) async fn open() -> Option<Self> {
        let (browser, driver) = tools()?;
        let turn = TURN.lock().await;
        let profile = tempfile::tempdir().unwrap();
        let (driver, port) = start_driver(&driver);
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(&browser, profile.path()))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let screenshots = std::env::var_os("FOREBAY_SCREENSHOTS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/e2e"),
            PathBuf::from,
        );
        std::fs::create_dir_all(&screenshots).unwrap();
        let id = client.session_id().await.unwrap().unwrap();
        let page = Self {
            client,
            screenshots,
            session: Session(format!("http://127.0.0.1:{port}/session/{id}")),
            _driver: driver,
            _profile: profile,
            _turn: turn,
        };
        page.resize(1400, 1100).await;
        Some(page)
    }

    /// Ends the browser, and looks back: no policy was broken, and no script failed.
    pub(crate) async fn close(self) {
        self.expect_no_complaints().await;
        drop(self);
    }

    pub(crate) async fn goto(&self, address: &str) {
        let url = format!("http://{address}/");
        self.client.goto(&url).await.unwrap();
    }

    /// What the browser has written to its console, but for answers with an error status and lost
    /// connections, which tests bring about.
    async fn expect_no_complaints(&self) {
        let complaints = self.complaints().await;
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// The same, since it was asked last.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let kind = json!({"type": "browser"});
        let log = self.driver("POST", "/se/log", &kind).await;
        let messages = log.as_array().unwrap().iter();
        messages
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .filter(|message| !message.contains("Failed to load resource"))
            .filter(|message| !message.contains("WebSocket connection to"))
            .collect()
    }

    /// Asks the driver for what the client has no name for.
    pub(crate) async fn driver(&self, method: &'static str, path: &str, body: &Json) -> Json {
        let url = format!("{}{path}", self.session.0);
        let body = body.to_string();
        let text = tokio::task::spawn_blocking(move || {
            let mut answer = match method {
                "GET" => ureq::get(url).call(),
                _ => ureq::post(url)
                    .header("content-type", "application/json")
                    .send(body),
            }
            .unwrap();
            answer.body_mut().read_to_string().unwrap()
        });
        let mut answer: Json = serde_json::from_str(&text.await.unwrap()).unwrap();
        answer["value"].take()
    }

    pub(crate) async fn ask(&self, script: &str) -> Json {
        self.client
            .execute(&format!("return {script}"), Vec::new())
            .await
            .unwrap()
    }

    /// Waits until a script's value is what is wanted.
    pub(crate) async fn until(
        &self,
        what: &str,
        script: &str,
        wanted: impl Fn(&Json) -> bool,
    ) -> Json {
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

    pub(crate) async fn until_connection_is(&self, state: &str) {
        let script = "document.querySelector('[data-testid=connection]')?.dataset.state";
        self.until("connection", script, |value| value == state)
            .await;
    }

    /// Waits until every chart of the host has got more points than now.
    pub(crate) async fn until_charts_advance(&self) {
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

    pub(crate) async fn photograph(&self, name: &str) {
        let picture = self.client.screenshot().await.unwrap();
        std::fs::write(self.screenshots.join(format!("{name}.png")), picture).unwrap();
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.client
            .find(Locator::Css(selector))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
    }

    /// Presses a key, wherever the focus is.
    pub(crate) async fn press(&self, key: &str) {
        let press = |kind: &str| json!({"type": kind, "value": key});
        let keyboard = json!({"type": "key", "id": "keyboard",
            "actions": [press("keyDown"), press("keyUp")]});
        self.driver("POST", "/actions", &json!({"actions": [keyboard]}))
            .await;
    }

    /// Puts the focus there and types, as a person does; what was in the field is replaced.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let field = self.client.find(Locator::Css(selector)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Waits until the text of an element is what is wanted.
    pub(crate) async fn until_text(&self, selector: &str, wanted: impl Fn(&str) -> bool) -> String {
        let script = format!("document.querySelector(\"{selector}\")?.textContent ?? ''");
        let text = self.until(selector, &script, |value| wanted(value.as_str().unwrap()));
        text.await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn choose_range(&self, value: &str) {
        let label = format!(
            "document.querySelector('[data-testid=range] [value=\"{value}\"]')\
             .closest('label').click()"
        );
        self.ask(&label).await;
    }

    pub(crate) async fn resize(&self, width: u32, height: u32) {
        self.client.set_window_size(width, height).await.unwrap();
    }
}

fn capabilities(browser: &Path, profile: &Path) -> serde_json::Map<String, Json> {
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
    [
        ("goog:chromeOptions".to_owned(), options),
        ("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"})),
    ]
    .into_iter()
    .collect()
}

pub(crate) async fn post(address: &str, body: String) {
    let url = format!("http://{address}/api/ingest");
    let answer = tokio::task::spawn_blocking(move || ureq::post(url).send(body))
        .await
        .unwrap();
    assert_eq!(answer.unwrap().status(), 200);
}

pub(crate) async fn metrics(address: &str) -> Json {
    let url = format!("http://{address}/api/metrics");
    let text = tokio::task::spawn_blocking(move || {
        let mut answer = ureq::get(url).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
    });
    serde_json::from_str(&text.await.unwrap()).unwrap()
}

/// Readings of a vessel that fills and empties, over the last hour and more: ten per second in the
/// last minute, before that one every two seconds.
pub(crate) fn readings() -> String {
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
