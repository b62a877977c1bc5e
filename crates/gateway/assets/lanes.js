// The lanes of each route and the sinks they lead to, as /api/metrics tells them. A row stays the
// same node as long as its lane is there, so that what a reader points at does not jump about.

import { count, latency } from "./format.js";
import { showLatencies } from "./latency.js";

const MOST_SHOWN = 64;

const at = (id) => document.getElementById(id);

const sum = (object) => Object.values(object ?? {}).reduce((total, value) => total + value, 0);

/** What every cell of a row says, and whether it is a problem. */
function cellsOf(lane) {
  const { p99 } = lane.latency_ms ?? {};
  const target = lane.latency_target_ms;
  const took = latency(p99);
  const wanted = latency(target);
  const dropped = sum(lane.dropped);
  const fill = lane.buffer ?? {};
  const nothingYet = !(lane.delivered > 0);
  return {
    state: {
      text: lane.high ? `${lane.state}, high` : lane.state,
      title: lane.state === "running" ? "" : (lane.last_error ?? ""),
      level: LEVEL_OF[lane.state] ?? (lane.high ? "warn" : "good"),
    },
    pending: {
      text: count(lane.pending),
      title: `${count(fill.current_size)} of ${count(fill.max_size)} places are taken`,
      level: lane.high ? "warn" : "",
    },
    p99: {
      text: nothingYet ? "–" : `${took.number} ${took.unit}`,
      title: `from acceptance to delivery; it should be ${wanted.number} ${wanted.unit}`,
      level: !nothingYet && p99 > target ? "warn" : "",
    },
    goal: { text: `${wanted.number} ${wanted.unit}` },
    batch: {
      text: count(lane.batch_size),
      title: `written: half up to ${count(lane.batch_rows?.p50)} rows, the largest ${count(lane.batch_rows?.max)}`,
    },
    rate: { text: count(lane.rows_per_s) },
    dropped: {
      text: count(dropped),
      title: Object.entries(lane.dropped ?? {})
        .filter(([, number]) => number > 0)
        .map(([policy, number]) => `${policy.replaceAll("_", " ")}: ${count(number)}`)
        .join("\n"),
      level: dropped > 0 ? "bad" : "",
    },
  };
}

const LEVEL_OF = { waiting: "warn", retrying: "warn", restarting: "bad", ended: "bad" };

function rowOf(name, cells) {
  const row = document.createElement("tr");
  row.dataset.testid = "lane";
  row.dataset.lane = name;
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  row.append(head);
  for (const key of Object.keys(cells)) {
    const cell = document.createElement("td");
    cell.className = key;
    row.append(cell);
  }
  return row;
}

function fill(row, cells) {
  for (const [key, { text, title = "", level = "" }] of Object.entries(cells)) {
    const cell = row.querySelector(`.${key}`);
    if (cell.textContent !== text) cell.textContent = text;
    if (cell.title !== title) cell.title = title;
    cell.dataset.level = level;
  }
}

/** A lane's name, with its route and sink where there are several. */
function nameOf(route, lane, several) {
  const path = [route.route, several ? route.sink : ""].filter(Boolean).join(" → ");
  return path ? `${lane.lane} · ${path}` : lane.lane;
}

/** Brings the table and the list of sinks in line with the metrics. */
export function showLanes(metrics) {
  const routes = metrics.routes ?? [];
  const sinks = metrics.sinks ?? [];
  const several = sinks.length > 1;
  const lanes = routes.flatMap((route) =>
    route.lanes.map((lane) => ({ name: nameOf(route, lane, several), lane })),
  );
  at("lanes").hidden = lanes.length === 0;
  const body = at("lane-rows");
  const rows = lanes.slice(0, MOST_SHOWN).map(({ name, lane }, index) => {
    const cells = cellsOf(lane);
    const old = body.children[index];
    const row = old?.dataset.lane === name ? old : rowOf(name, cells);
    fill(row, cells);
    return row;
  });
  const isSame = rows.length === body.children.length;
  if (!isSame || rows.some((row, index) => row !== body.children[index])) body.replaceChildren(...rows);
  at("lanes-more").hidden = lanes.length <= MOST_SHOWN;
  at("lanes-more").textContent = `and ${count(lanes.length - MOST_SHOWN)} more in /api/metrics`;
  showSinks(sinks);
  showLatencies(lanes);
}

function showSinks(sinks) {
  const list = at("sinks");
  const shown = sinks.slice(0, MOST_SHOWN).map((sink) => {
    const breaker = sink.breaker ? `breaker ${sink.breaker.replaceAll("_", " ")}` : "no breaker";
    return {
      name: sink.sink === sink.kind ? sink.sink : `${sink.sink} (${sink.kind})`,
      detail: sink.lost ? "lost" : `${breaker}, ${sink.in_flight} of ${sink.concurrency} writing`,
      title: sink.lost ?? "",
      level: sink.lost || sink.breaker === "open" ? "bad" : BREAKER_LEVEL[sink.breaker] ?? "good",
    };
  });
  const shape = JSON.stringify(shown);
  if (list.dataset.shape === shape) return;
  list.dataset.shape = shape;
  list.replaceChildren(
    ...shown.map(({ name, detail, title, level }) => {
      const item = document.createElement("li");
      item.dataset.testid = "sink";
      item.dataset.level = level;
      item.title = title;
      const label = document.createElement("b");
      label.textContent = name;
      item.append(label, ` ${detail}`);
      return item;
    }),
  );
}

const BREAKER_LEVEL = { half_open: "warn" };
