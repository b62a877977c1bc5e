//! A thousand agents on a page: they move, raise alarms, and do what people click.
//!
//! Run it with `cargo run --release -p forebay --example agents`; it opens the page, and ends with
//! Ctrl-C. States are JSON objects, so browsers get them as patches; an alarm is critical and waits
//! for nothing, however seldom a page wants to hear of the rest. What is clicked comes back as an
//! action, changes the agent, and everybody sees it. For `/ws/admin` and the REST paths of
//! administrators a token is made for the run.

mod fleet;

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use clap::Parser;
use forebay::gateway::{
    Access, ActionError, ActionRequest, Actions, Gateway, GatewayOptions, Notifier, Project,
    Rights, Token,
};
use forebay::pipeline::{LaneSpec, Level, LiveData, Pipeline, Reading, Sender, SinkSpec};
use forebay::record::{Key, Record, Timestamp, Value};
use forebay::sinks::{Batch, BatchWriter, BoxWriter, Receipt, ScopeName, WriteError};
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, oneshot};

use fleet::{Fleet, Order, Update};

type Failure = Box<dyn std::error::Error>;

const TICK: Duration = Duration::from_millis(100);
/// Orders that wait for the fleet; with more, whoever orders waits.
const ORDERS_MAX: usize = 64;
const SEED: u64 = 7;

/// The page, its files named as the browser asks for them.
const PAGE: [(&str, &[u8]); 3] = [
    ("agents.html", include_bytes!("page/agents.html")),
    ("agents.css", include_bytes!("page/agents.css")),
    ("agents.js", include_bytes!("page/agents.js")),
];

/// A thousand agents on a page.
#[derive(Parser)]
struct Arguments {
    /// Where the page is.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// How many agents there are.
    #[arg(long, default_value_t = 1_000)]
    agents: usize,
    /// Seconds from one alarm to the next.
    #[arg(long, default_value_t = 4)]
    alarm_every: u64,
    /// Seconds after which it ends by itself.
    #[arg(long)]
    duration: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let (orders, ordered) = mpsc::channel(ORDERS_MAX);
    let pipeline = pipeline(arguments.agents)?;
    let admin = Token::generate()?;
    let options = options(&admin, &orders)?;
    let ingest = pipeline.intake(&ScopeName::new("http/normal")).await?;
    let gateway = Gateway::bind(arguments.listen, options, pipeline.clone(), ingest).await?;
    let address = gateway.local_addr();

    // Only who started this can read it, and it goes with the run.
    let mut secret = tempfile::Builder::new()
        .prefix("agents-admin-")
        .tempfile()?;
    secret.write_all(admin.as_str().as_bytes())?;
    let page = format!("http://{address}/assets/agents.html");
    println!("the agents:      {page}");
    println!("the pipeline:    http://{address}/");
    let file = secret.path().display();
    println!("an admin token:  {file}");
    println!(
        "who looks on:    curl -H \"Authorization: Bearer $(cat {file})\" \
         http://{address}/api/connections"
    );
    if std::io::stdout().is_terminal() {
        open(&page);
    }

    let life = Life {
        fleet: Fleet::new(arguments.agents, SEED),
        sender: pipeline.sender(),
        notifier: gateway.notifier(),
        alarm_every: Duration::from_secs(arguments.alarm_every.max(1)),
    };
    let living = tokio::spawn(life.go_on(ordered));
    gateway.serve(end(arguments.duration)).await?;
    living.abort();
    let stats = pipeline.shutdown(Duration::from_secs(10)).await.stats;
    println!(
        "{} accepted = {} delivered + {} dropped + {} quarantined + {} pending",
        stats.accepted,
        stats.delivered,
        stats.dropped.total(),
        stats.quarantined,
        stats.pending
    );
    Ok(())
}

/// A lane for each urgency, and histories for those who look on.
fn pipeline(agents: usize) -> Result<Pipeline, Failure> {
    // A state, an alarm, and what was asked of each agent by the three actions.
    let live = LiveData::builder()
        .keys_max(5 * agents + 16)
        .depth_default(20)
        .build()?;
    let sink = SinkSpec::new("archive", BoxWriter::new(Archive)).lanes(LaneSpec::all());
    Ok(Pipeline::builder().sink(sink).live(live).start()?)
}

/// Who may what, what can be done with an agent, and what people see of its state.
fn options(admin: &Token, orders: &mpsc::Sender<Ordered>) -> Result<GatewayOptions, Failure> {
    let all = Rights::none().read_all().ingest().act().admin();
    let access = Access::open().token("operator", admin.hash(), all)?;
    let order = |to_order: fn(&ActionRequest) -> Result<Order, ActionError>| {
        let orders = orders.clone();
        move |request: ActionRequest| {
            let orders = orders.clone();
            async move { have_done(&orders, to_order(&request)?, request).await }
        }
    };
    let actions = Actions::new()
        .on("stop", order(|_| Ok(Order::Stop)))
        .on("resume", order(|_| Ok(Order::Resume)))
        .on("rename", order(new_name));
    let assets = PAGE.map(|(name, bytes)| (name.to_owned(), Cow::Borrowed(bytes)));
    let channels = [("agents", "agent-*/state"), ("alarms", "agent-*/alarm")];
    let channels = channels.map(|(name, glob)| (name.to_owned(), vec![glob.to_owned()]));
    Ok(GatewayOptions {
        access,
        actions,
        assets: assets.into(),
        channels: channels.into(),
        project: Some(Project::new(project)),
        ..GatewayOptions::default()
    })
}

fn new_name(request: &ActionRequest) -> Result<Order, ActionError> {
    let name = request.params["name"].as_str();
    let name = name.ok_or_else(|| ActionError::Failed("`params.name` is no text".to_owned()))?;
    Ok(Order::Rename(name.trim().to_owned()))
}

/// People see decimetres, and nothing of the odometer.
fn project(key: &Key, reading: &Reading) -> Option<Json> {
    let mut value = serde_json::to_value(&reading.value).ok()?;
    if key.tag.as_str() == "state"
        && let Some(state) = value.as_object_mut()
    {
        state.remove("odometer_m");
        for name in ["x", "y", "battery"] {
            if let Some(number) = state.get(name).and_then(Json::as_f64) {
                state.insert(name.to_owned(), json!((number * 10.0).round() / 10.0));
            }
        }
    }
    Some(value)
}

/// An order for an agent, and who waits for what came of it.
struct Ordered {
    source: String,
    order: Order,
    answer: oneshot::Sender<Result<Json, String>>,
}

/// Has the fleet obey.
async fn have_done(
    orders: &mpsc::Sender<Ordered>,
    order: Order,
    request: ActionRequest,
) -> Result<Json, ActionError> {
    let (answer, answered) = oneshot::channel();
    let ordered = Ordered {
        source: request.target,
        order,
        answer,
    };
    let gone = || ActionError::Failed("the agents are at rest".to_owned());
    orders.send(ordered).await.map_err(|_| gone())?;
    let done = answered.await.map_err(|_| gone())?;
    done.map_err(ActionError::Failed)
}

/// What moves the agents, and the only one that changes them: so states are sent in their order.
struct Life {
    fleet: Fleet,
    sender: Sender,
    notifier: Notifier,
    alarm_every: Duration,
}

impl Life {
    async fn go_on(mut self, mut ordered: mpsc::Receiver<Ordered>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut alarms = tokio::time::interval(self.alarm_every);
        alarms.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.send(self.fleet.all());
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let updates = self.fleet.step(TICK.as_secs_f64());
                    self.send(updates);
                }
                _ = alarms.tick() => {
                    if let Some((name, updates)) = self.fleet.raise_alarm() {
                        self.send(updates);
                        self.notifier.notify(Level::Warning, &format!("{name} is blocked"));
                    }
                }
                Some(Ordered { source, order, answer }) = ordered.recv() => {
                    let done = self.fleet.obey(&source, order).map(|updates| {
                        let state = updates[0].value.clone();
                        self.send(updates);
                        state
                    });
                    // Whoever ordered it may be gone.
                    let _ = answer.send(done);
                }
            }
        }
    }

    fn send(&self, updates: Vec<Update>) {
        let now = Timestamp::from_system(SystemTime::now());
        let records = updates.into_iter().filter_map(|update| {
            let value = Value::json(&update.value.to_string()).ok()?;
            let mut record = Record::new(&update.source, update.tag, value, now).ok()?;
            record.priority = update.priority;
            Some(record)
        });
        if let Err(error) = self.sender.send_many(records) {
            eprintln!("states are not taken: {error}");
        }
    }
}

/// Where states end up. A real one would be a database; this one has seen enough.
struct Archive;

impl BatchWriter for Archive {
    type Row = Record;

    fn name(&self) -> &str {
        "archive"
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        Ok(Receipt::delivered_all(batch.len()))
    }
}

/// Ctrl-C, or the end of the time.
async fn end(seconds: Option<u64>) {
    let over = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        pressed = tokio::signal::ctrl_c() => {
            if let Err(error) = pressed {
                eprintln!("Ctrl-C cannot be heard: {error}");
            }
        }
    }
}

/// Shows a page in the browser of whoever sits here, if there is one.
fn open(page: &str) {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let opened = std::process::Command::new(opener)
        .arg(page)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    if opened.is_err() {
        println!("open the first of these addresses in a browser");
    }
}
