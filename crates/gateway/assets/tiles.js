// The tiles above the charts, the lanes and the health badge: what /api/metrics and /api/health say,
// once a second while the page is seen. Figures that could not be refreshed are greyed.

import { age, count, latency, plural, quantity, uptime } from "./format.js";
import { showLanes } from "./lanes.js";

const POLL_EVERY_MS = 1000;
const ANSWER_WITHIN_MS = 3000;
const SPARK_POINTS = 60;
const UNTOLD = "The reasons are for those with a token that may read.";

const at = (id) => document.getElementById(id);

function say(id, text) {
  const node = at(id);
  if (node.textContent !== text) node.textContent = text;
}

const sum = (object) => Object.values(object ?? {}).reduce((total, value) => total + value, 0);

/** Keeps the tiles fresh by `session`; `onMetrics` gets every answer of /api/metrics. */
export function startTiles(session, onMetrics) {
  const rows = [];
  let busy = false;
  let failures = 0;
  let skip = 0;
  const poll = async () => {
    // A server that does not answer is asked less often.
    if (busy || document.hidden || session.isBlocked || (skip -= 1) > 0) return;
    busy = true;
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
    const [metrics, health] = await Promise.allSettled([
      session.read("/api/metrics", { signal }),
      session.read("/api/health", { signal, answers: [503] }),
    ]);
    busy = false;
    failures = metrics.status === "rejected" ? failures + 1 : 0;
    skip = Math.min(failures, 3);
    at("tiles").classList.toggle("stale", metrics.status === "rejected");
    if (metrics.status === "fulfilled") {
      rows.push(metrics.value.sink?.rows_per_s ?? 0);
      if (rows.length > SPARK_POINTS) rows.shift();
      showMetrics(metrics.value, rows);
      showLanes(metrics.value);
      onMetrics(metrics.value);
    }
    showHealth(health.status === "fulfilled" ? health.value : null);
  };
  setInterval(poll, POLL_EVERY_MS);
  document.addEventListener("visibilitychange", poll);
  session.addEventListener("changed", poll);
  poll();
  startHealthPanel();
}

function showMetrics(metrics, rows) {
  showBuffer(metrics.buffer ?? {});
  showRows(metrics.sink ?? {}, rows);
  showLatency(metrics.latency_ms ?? {});
  showFlushes(metrics.flushes ?? {});
  showAccount(metrics);
  say("uptime", uptime(metrics.uptime_s ?? 0));
  say("keys", count(metrics.keys));
  say("connections", count(metrics.websocket_connections));
  say("instance", String(metrics.instance ?? "–").slice(0, 8));
  at("instance").title = String(metrics.instance ?? "");
}

function showBuffer(buffer) {
  const share = Math.min(100, Math.max(0, buffer.utilization_pct ?? 0));
  const figure =
    share === 0 || share >= 10
      ? share.toFixed(share === 0 || share === 100 ? 0 : 1)
      : share.toFixed(2);
  say("buffer-pct", figure);
  say("buffer-size", `${count(buffer.current_size)} of ${plural(buffer.max_size, "update")}`);
  const oldest = buffer.current_size > 0 && Number.isFinite(buffer.oldest_age_s);
  const parts = [
    buffer.overflow_count > 0 ? `${count(buffer.overflow_count)} overflowed` : "no overflow",
  ];
  if (oldest) parts.push(`oldest ${age(buffer.oldest_age_s)}`);
  say("buffer-overflow", parts.join(" · "));
  at("buffer-overflow").classList.toggle("problem", buffer.overflow_count > 0);
  at("water").style.setProperty("--level", `${share}%`);
  at("water").dataset.level = share >= 95 ? "full" : share >= 80 ? "high" : "normal";
}

function showRows(sink, rows) {
  const rate = sink.rows_per_s;
  say(
    "rows",
    Number.isFinite(rate) ? (rate >= 100 || rate === 0 ? count(rate) : rate.toFixed(1)) : "–",
  );
  say(
    "sink",
    [
      sink.name,
      plural(sink.batches, "batch").replace("batchs", "batches"),
      sink.retries > 0 ? `${count(sink.retries)} retried` : "",
    ]
      .filter(Boolean)
      .join(" · "),
  );
  at("sink-error").hidden = !sink.last_error;
  say("sink-error", sink.last_error ?? "");
  at("sink-error").title = sink.last_error ?? "";
  const top = Math.max(...rows, 1e-9);
  const step = 100 / (SPARK_POINTS - 1);
  const from = 100 - (rows.length - 1) * step;
  const line = rows.map(
    (value, index) => `${(from + index * step).toFixed(1)} ${(26 - (value / top) * 23).toFixed(1)}`,
  );
  const path = `M${line.join("L")}`;
  document.querySelector(".spark-line").setAttribute("d", path);
  document.querySelector(".spark-area").setAttribute("d", `${path}L100 28L${from.toFixed(1)} 28Z`);
}

function showLatency({ p50, p95, p99, max }) {
  for (const [id, value] of [
    ["p50", p50],
    ["p99", p99],
  ]) {
    const { number, unit } = latency(value);
    say(id, number);
    say(`${id}-unit`, unit);
  }
  const named = (name, value) => `${name} ${latency(value).number} ${latency(value).unit}`;
  say(
    "latency-detail",
    Number.isFinite(max)
      ? `${named("p95", p95)} · ${named("longest", max)}`
      : "nothing delivered yet",
  );
  const marks = { p50, p95, p99 };
  for (const mark of at("latency-range").children) {
    const share = max > 0 ? Math.min(1, marks[mark.className] / max) : 0;
    mark.style.setProperty("--at", `${(share * 100).toFixed(1)}%`);
  }
}

function showFlushes(flushes) {
  const all = Object.entries(flushes).map(([reason, { delivered = 0, failed = 0 }]) => ({
    reason,
    delivered,
    failed,
  }));
  const used = all.filter(({ delivered, failed }) => delivered + failed > 0);
  const total = used.reduce((number, { delivered, failed }) => number + delivered + failed, 0);
  say("flushes", count(total));
  say("flushes-noun", total === 1 ? "flush" : "flushes");
  const shape = JSON.stringify(all);
  const bar = at("flush-bar");
  if (bar.dataset.shape === shape) return;
  bar.dataset.shape = shape;
  const failed = used.reduce((number, one) => number + one.failed, 0);
  const parts = used
    .filter((one) => one.delivered > 0)
    .map((one) => ({ number: one.delivered, name: one.reason }));
  parts.sort((a, b) => b.number - a.number);
  if (failed > 0) parts.push({ number: failed, name: "failed" });
  const kind = (part, index) =>
    part.name === "failed" ? "failed" : `reason-${Math.min(index, 3)}`;
  bar.replaceChildren(
    ...parts.map((part, index) => {
      const node = document.createElement("i");
      node.className = kind(part, index);
      node.style.flexGrow = part.number;
      return node;
    }),
  );
  at("flush-reasons").replaceChildren(
    ...parts.map((part, index) => {
      const node = document.createElement("li");
      node.className = kind(part, index);
      const number = document.createElement("b");
      number.textContent = count(part.number);
      node.append(part.name.replaceAll("_", " "), " ", number);
      return node;
    }),
  );
}

/** The law of conservation as an equation; it is computed here, not taken on trust. */
function showAccount(metrics) {
  const dropped = sum(metrics.dropped);
  const {
    offered = 0,
    accepted = 0,
    refused = 0,
    delivered = 0,
    quarantined = 0,
    pending = 0,
  } = metrics;
  for (const [name, value] of Object.entries({
    accepted,
    delivered,
    dropped,
    quarantined,
    pending,
  })) {
    say(`a-${name}`, count(value));
  }
  at("a-dropped").parentNode.classList.toggle("problem", dropped > 0);
  at("a-quarantined").parentNode.classList.toggle("problem", quarantined > 0);
  at("a-dropped").title = Object.entries(metrics.dropped ?? {})
    .map(([policy, number]) => `${policy.replaceAll("_", " ")}: ${count(number)}`)
    .join("\n");
  const difference = accepted - delivered - dropped - quarantined - pending;
  const holds = difference === 0 && offered === accepted + refused;
  const tile = document.querySelector(".account");
  tile.dataset.holds = String(holds);
  const offers =
    refused > 0 ? `${count(offered)} offered, ${count(refused)} refused` : "none refused";
  say(
    "a-verdict",
    holds ? `holds · ${offers}` : `off by ${count(difference || offered - accepted - refused)}`,
  );
}

function showHealth(health) {
  const badge = at("health");
  const status = health?.status ?? "unknown";
  badge.dataset.status = status;
  say("health-text", health ? status : "health unknown");
  const isScored = Number.isFinite(health?.score);
  say("health-score", isScored ? String(Math.round(health.score)) : "");
  at("health-score").hidden = !isScored;
  const panel = at("health-panel");
  const shape = JSON.stringify(health);
  if (panel.dataset.shape === shape) return;
  panel.dataset.shape = shape;
  panel.replaceChildren(...healthPanel(health));
}

function healthPanel(health) {
  const make = (name, text, kind = "") => {
    const node = document.createElement(name);
    node.textContent = text;
    node.className = kind;
    return node;
  };
  if (!health) return [make("p", "The server does not answer.")];
  if (!health.reasons) return [make("p", health.status, "panel-head"), make("p", UNTOLD)];
  const head = make("p", `${health.status}, ${quantity(health.score)} of 100`, "panel-head");
  if (!health.reasons?.length) return [head, make("p", "Nothing to report: every check passes.")];
  const list = document.createElement("ul");
  list.append(
    ...health.reasons.map((reason) => {
      const item = document.createElement("li");
      item.dataset.code = reason.code;
      const points = make("b", `−${reason.points}`, "points");
      points.setAttribute("aria-label", `costs ${reason.points} points`);
      const words = document.createElement("div");
      words.append(
        make("strong", reason.message),
        ...(reason.hint ? [make("p", reason.hint)] : []),
      );
      item.append(points, words);
      return item;
    }),
  );
  return [head, list];
}

function startHealthPanel() {
  const badge = at("health");
  const panel = at("health-panel");
  const show = (open) => {
    panel.hidden = !open;
    badge.setAttribute("aria-expanded", String(open));
  };
  badge.onclick = () => show(panel.hidden);
  document.addEventListener(
    "pointerdown",
    (event) => !event.target.closest(".health-anchor") && show(false),
  );
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    show(false);
    badge.focus();
  });
}
