// The live page of a running server: puts the connection, the keys, the charts and the tiles
// together. It holds no protocol and no drawing itself; see connection.js and charts.js.

import { startAppearance } from "./appearance.js";
import { ChartGrid } from "./charts.js";
import { Connection } from "./connection.js";
import { Notifications } from "./notifications.js";
import { Operate } from "./operate.js";
import { Past } from "./past.js";
import { isOwn, Plots, quoted, RANGES, reachText } from "./plots.js";
import { globPattern, isGlob, Search } from "./search.js";
import { OWN_KEYS, Selection } from "./selection.js";
import { Series } from "./series.js";
import { Session } from "./session.js";
import { startSignIn } from "./sign-in.js";
import { startStatus } from "./status.js";
import { remember, remembered } from "./storage.js";
import { startTiles } from "./tiles.js";

const SUBSCRIPTION = "charts";
const MIN_INTERVAL_MS = 250;
const MOST_CHANGES_PER_KEY_PER_S = 100;
const KEYS_AGAIN_AFTER_MS = [1000, 2500, 5000];
const KEYS_EVERY_MS = 30_000;
const UNSEEN_FOR_MS = 20_000;
const CATCH_UP_EVERY_MS = 15_000;
const FILL_GAPS_AFTER_MS = 1000;

const at = (id) => document.getElementById(id);

/** Every series that was ever charted, and the newest value of every key the server listed. */
const series = new Map();
const keys = new Map();
const selection = new Selection();
const notifications = new Notifications(at("notifications"));
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const session = new Session();
const connection = new Connection(`${scheme}//${location.host}/ws`, () => session.token);
const grid = new ChartGrid(at("grid"), {
  addTo: (chart) => search.aim(chart),
  remove: (chart) => change(() => selection.remove(chart.spec.id)),
  moved: () => showPlots(),
});
const plots = new Plots(connection);
const past = new Past({
  session,
  now: () => grid.now(),
  points: () => grid.pixels,
  changed: () => showPast(),
  drawn: () => grid.redraw(),
});
const operate = new Operate(session, () => connection.id);
const search = new Search(at("search"), {
  keys: () => [
    ...OWN_KEYS.map((key) => ({ key, value: series.get(key)?.newest?.value })),
    ...keys.values(),
  ],
  charted: (wanted) =>
    selection.charts.some((chart) => wanted.every((key) => chart.keys.includes(key))),
  choose: (chosen, target) =>
    change(() => (target ? selection.addTo(target.spec.id, chosen) : selection.add(chosen))),
  opened: () => loadKeys(),
});

let instance = null;
let clockOffset = 0;
let subscribed = "";
let liveKeys = 0;
/** Whether there is more than a screen can show, or the server may send. */
let crowded = false;
/** A connection was lost; the first answer on the new one tells whether anything is missing. */
let wasLost = false;
let range = RANGES[0];
/** Nobody has seen the page for so long that it asks for nothing. */
let asleep = false;

// Keys and charts

/** The series that keys and globs stand for, in the order of the keys. */
function resolve(wanted) {
  const found = new Set();
  for (const key of wanted) {
    if (!isGlob(key)) {
      if (OWN_KEYS.includes(key) || keys.has(key) || series.has(key)) found.add(key);
      continue;
    }
    const pattern = globPattern(key);
    const matches = [...keys.keys()].filter((one) => pattern.test(one));
    matches.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    for (const match of matches) found.add(match);
  }
  return [...found].map(seriesOf);
}

function seriesOf(key) {
  if (!series.has(key)) {
    const one = new Series(key);
    const known = keys.get(key);
    if (known)
      one.newest = { time: known.timestamp / 1000, value: known.value, quality: known.quality };
    series.set(key, one);
  }
  return series.get(key);
}

/** Brings the page in line with the selection and the keys: charts, subscription, history. */
function arrange() {
  const charts = selection.charts;
  grid.show(charts);
  grid.assign((wanted) => (past.frame ? past.of(resolve(wanted)) : resolve(wanted)));
  at("reset").hidden = selection.isDefault;
  at("empty").hidden = charts.length > 0;
  at("empty").textContent = emptyText();
  const wanted = grid.charts.flatMap((chart) => chart.series.map((one) => one.key));
  const live = [...new Set(wanted)].filter((key) => !isOwn(key));
  subscribe(live);
  past.load(live.map(seriesOf));
  for (const key of live) loadHistory(seriesOf(key));
  showPlots();
}

function emptyText() {
  if (session.isBlocked) return "Charts are shown to those with a token.";
  return keys.size > 0
    ? "No chart is shown. Search for a tag above to add one."
    : "Waiting for the first data of a source.";
}

/** Charts of a time that is over need nothing that is live; those that are live again need all. */
function showPast() {
  grid.setPast(past.frame);
  if (past.frame) {
    plots.end();
    arrange();
  } else {
    fillGaps();
    showReach();
  }
}

function change(edit) {
  edit();
  arrange();
}

/** Of a short range every value is asked for; in a long one the plots bring the curves. */
function subscribe(wanted) {
  const live = asleep || past.frame ? [] : wanted;
  const extract = { kind: crowded || range.thinned ? "latest" : "since_last" };
  const shape = JSON.stringify([extract, live]);
  if (shape === subscribed) return;
  subscribed = shape;
  liveKeys = live.length;
  connection.subscribe(SUBSCRIPTION, {
    keys: live.map(quoted),
    extract,
    min_interval_ms: MIN_INTERVAL_MS,
  });
}

function showPlots() {
  if (!document.hidden && !past.frame) plots.show(grid.charts, range);
}

/** Says so when the range is longer than what the server has in memory. */
function showReach() {
  if (past.frame) return;
  const visible = grid.charts.filter((chart) => chart.visible).flatMap((chart) => chart.series);
  const text = reachText(visible, range, grid.now());
  if (at("range-note").textContent !== text) at("range-note").textContent = text;
}

let keysLoading = null;
function loadKeys() {
  keysLoading ??= fetchKeys().finally(() => (keysLoading = null));
  return keysLoading;
}

async function fetchKeys() {
  try {
    const answer = await session.read("/api/keys");
    keys.clear();
    for (const entry of answer.keys) {
      const key = `${entry.source}/${entry.tag}`;
      keys.set(key, { ...entry, key });
    }
  } catch (error) {
    if (connection.state !== "live" || error.status === 401) return;
    notifications.show("warning", "The list of tags could not be loaded. It is tried again.");
    return;
  }
  if (selection.isDefault) {
    selection.suggest(
      [...keys.values()].sort((a, b) => a.key.localeCompare(b.key, "en", { numeric: true })),
    );
  }
  arrange();
  search.refresh();
}

/** Tags appear one after the other when a server starts, so look more often at first. */
function watchKeys() {
  loadKeys();
  for (const delay of KEYS_AGAIN_AFTER_MS) setTimeout(loadKeys, delay);
}
setInterval(
  () => !document.hidden && connection.state !== "reconnecting" && loadKeys(),
  KEYS_EVERY_MS,
);

// History

/** How many seconds of history each series was given since the connection began. */
let covered = new Map();

async function loadHistory(one) {
  if (asleep || past.frame || range.thinned || covered.get(one.key) >= range.seconds) return;
  if (connection.state === "reconnecting") return;
  const mine = covered;
  mine.set(one.key, range.seconds);
  const path = `/api/history/${encodeURIComponent(one.source)}/${encodeURIComponent(one.tag)}`;
  try {
    const query = `seconds=${range.seconds}&points=${grid.pixels}`;
    const answer = await session.read(`${path}?${query}`);
    if (mine !== covered) return;
    one.adopt(answer.points);
    grid.redraw();
  } catch (error) {
    // A server that was started anew may not know the tag yet.
    if (error.status === 404) return;
    mine.delete(one.key);
    if (connection.state !== "live" || error.status === 401) return;
    notifications.show("warning", `A history could not be loaded: ${error.message}`);
  }
}

/** What was seen so far ends here; the history may close the gap. */
function breakLines() {
  for (const one of series.values()) if (!isOwn(one.key)) one.breakLine();
  covered = new Map();
}

/** Asks for the history again, but not each time a slow source is late. */
function catchUp() {
  if (performance.now() - caughtUpAt < CATCH_UP_EVERY_MS) return;
  caughtUpAt = performance.now();
  covered = new Map();
  for (const one of series.values()) if (!isOwn(one.key)) loadHistory(one);
}
let caughtUpAt = -Infinity;

// Messages

let burst = { since: performance.now(), changes: 0 };

const of = ({ source, tag }) => series.get(`${source}/${tag}`);

connection.addEventListener("changes", ({ detail }) => {
  // A late one of a range that was left is coarser than what is there.
  if (detail.plots && range.thinned && plots.has(detail.id)) {
    for (const plot of detail.plots) of(plot)?.replace(plot);
    grid.redraw();
    showReach();
  }
  if (detail.id !== SUBSCRIPTION) return;
  if (wasLost) {
    wasLost = false;
    if (!detail.resumed || detail.missed) fillGaps();
  } else if (detail.missed) {
    breakLines();
    fillGapsSoon();
  }
  for (const change of detail.changes) {
    const known = keys.get(`${change.source}/${change.tag}`);
    of(change)?.append(change);
    if (known) Object.assign(known, change);
  }
  if (detail.type === "update") conflateIfTooMany(detail.changes.length);
});

connection.addEventListener("removed", ({ detail }) => {
  for (const key of detail.keys) of(key)?.clear();
});

/** The server cannot say what came meanwhile; the snapshot that follows begins anew. */
connection.addEventListener("reset", ({ detail }) => {
  if (detail.id === SUBSCRIPTION) wasLost = true;
});

/** Something may be missing: lines end here, and the history is asked for it. */
function fillGaps() {
  breakLines();
  arrange();
}

/** The same a little later, so that many losses in a row ask for one history. */
function fillGapsSoon() {
  filling ??= setTimeout(() => {
    filling = null;
    covered = new Map();
    arrange();
  }, FILL_GAPS_AFTER_MS);
}
let filling = null;

/** Every change is drawn unless there are far more than a screen can show. */
function conflateIfTooMany(number) {
  burst.changes += number;
  const seconds = (performance.now() - burst.since) / 1000;
  if (seconds < 3) return;
  const rate = burst.changes / seconds / Math.max(1, liveKeys);
  burst = { since: performance.now(), changes: 0 };
  if (rate > MOST_CHANGES_PER_KEY_PER_S && !range.thinned && !crowded) {
    crowded = true;
    arrange();
  }
}

connection.addEventListener("welcome", ({ detail }) => {
  setClock(detail.timestamp);
  if (connection.everOpen) wasLost = true;
  if (instance !== null && instance !== detail.instance) {
    notifications.show("info", "The server was restarted.");
  }
  instance = detail.instance;
  operate.welcomed();
  watchKeys();
});

connection.addEventListener("time", ({ detail }) => setClock(detail.timestamp));
connection.addEventListener("notification", ({ detail }) =>
  notifications.show(detail.level, detail.message),
);
connection.addEventListener("refused", ({ detail }) => {
  if (detail.id === SUBSCRIPTION && !range.thinned && !crowded) {
    crowded = true;
    arrange();
    return;
  }
  notifications.show("error", detail.message ?? detail.code);
});

/** The server's clock decides where "now" is, since it stamps the data. */
function setClock(timestamp) {
  const offset = timestamp / 1000 - Date.now();
  if (Number.isFinite(offset)) clockOffset = Math.abs(offset) < 200 ? 0 : offset;
}
grid.now = () => Date.now() + clockOffset;

// The state of the connection, and who the page is

let before = "reconnecting";
connection.addEventListener("state", ({ detail: { state } }) => {
  if (state === "live" && before === "stale") catchUp();
  before = state;
  grid.setPaused(state !== "live");
});

connection.addEventListener("denied", () => session.need());
session.addEventListener("needed", () => {
  connection.rest();
  arrange();
});
session.addEventListener("changed", () => {
  covered = new Map();
  connection.renew();
  if (past.frame) past.again();
});

// A page that nobody sees costs nothing: it is paused at once, and after a while it asks for nothing.
let unseen = 0;
function showSeen() {
  clearTimeout(unseen);
  connection.setSeen(!document.hidden);
  if (document.hidden) {
    unseen = setTimeout(() => {
      asleep = true;
      subscribe([]);
      plots.end();
    }, UNSEEN_FOR_MS);
  } else if (asleep) {
    asleep = false;
    fillGaps();
  } else {
    arrange();
  }
}
document.addEventListener("visibilitychange", showSeen);

// Range

function setRange(name) {
  range = RANGES.find((one) => one.name === name) ?? RANGES[0];
  grid.windowMs = range.seconds * 1000;
  remember("forebay.window", range.name);
  at("window").querySelector(`[value="${range.name}"]`).checked = true;
  // What was thinned out for a long range is too coarse for a short one.
  covered = new Map();
  arrange();
  grid.redraw();
  showReach();
}
at("window").addEventListener("change", (event) => setRange(event.target.value));
at("reset").onclick = () =>
  change(() => {
    selection.reset();
    selection.suggest([...keys.values()]);
  });

// Start

at("host").textContent = location.host;
setRange(remembered("forebay.window"));
showSeen();
startAppearance(at("theme"), (theme) => {
  grid.theme = theme;
  grid.redraw();
});
startStatus(connection, () => session.isBlocked);
startSignIn(session);
startTiles(session, (metrics) => {
  operate.showMetrics(metrics);
  const timestamp = grid.now() * 1000;
  const own = {
    "@pipeline/rows_per_s": metrics.sink?.rows_per_s,
    "@pipeline/buffer_fill_pct": metrics.buffer?.utilization_pct,
    "@pipeline/pending": metrics.pending,
    "@pipeline/latency_p50_ms": metrics.latency_ms?.p50,
    "@pipeline/latency_p99_ms": metrics.latency_ms?.p99,
  };
  for (const key of OWN_KEYS) {
    seriesOf(key).append({ timestamp, value: own[key] ?? null, quality: "good" });
  }
});
connection.connect();
document.title = `Forebay · ${location.host}`;
