// How long updates take from acceptance to delivery, lane by lane: half, 95, 99 of 100 and the
// longest, on one logarithmic scale with each lane's target. The figures stand beside the bars.

import { latency } from "./format.js";

const MOST_SHOWN = 64;
const SCALE_MS = { least: 0.1, most: 100_000 };
const MARKS = ["max", "p99", "p95", "p50"];

const at = (id) => document.getElementById(id);

/** Where a time stands on the scale, in percent. */
function shareOf(ms) {
  const clamped = Math.min(SCALE_MS.most, Math.max(SCALE_MS.least, ms));
  const decades = Math.log10(SCALE_MS.most / SCALE_MS.least);
  return (Math.log10(clamped / SCALE_MS.least) / decades) * 100;
}

const words = (ms) => {
  const { number, unit } = latency(ms);
  return `${number}\u00a0${unit}`;
};

function rowOf(name) {
  const row = document.createElement("tr");
  row.dataset.testid = "latency";
  row.dataset.lane = name;
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  const picture = document.createElement("td");
  picture.className = "bars";
  const track = document.createElement("div");
  track.setAttribute("aria-hidden", "true");
  for (const mark of [...MARKS, "wanted"]) {
    const bar = document.createElement("i");
    bar.className = mark;
    track.append(bar);
  }
  picture.append(track);
  row.append(head, picture);
  for (const key of ["p50", "p95", "p99", "max", "target"]) {
    const cell = document.createElement("td");
    cell.className = `at-${key}`;
    row.append(cell);
  }
  return row;
}

function fill(row, { latency_ms: times = {}, latency_target_ms: target, delivered }) {
  const nothingYet = !(delivered > 0) || !(times.max > 0);
  for (const mark of MARKS) {
    const bar = row.querySelector(`.${mark}`);
    bar.style.setProperty("--to", nothingYet ? "0%" : `${shareOf(times[mark]).toFixed(1)}%`);
    say(row, mark, nothingYet ? "–" : words(times[mark]));
  }
  row.querySelector(".wanted").style.setProperty("--to", `${shareOf(target).toFixed(1)}%`);
  say(row, "target", words(target));
  row.dataset.level = !nothingYet && times.p99 > target ? "late" : "good";
}

function say(row, key, text) {
  const cell = row.querySelector(`.at-${key}`);
  if (cell.textContent !== text) cell.textContent = text;
}

/** Brings the table in line with the lanes, `{name, lane}` each. */
export function showLatencies(lanes) {
  at("latencies").hidden = lanes.length === 0;
  const body = at("latency-rows");
  const rows = lanes.slice(0, MOST_SHOWN).map(({ name, lane }, index) => {
    const old = body.children[index];
    const row = old?.dataset.lane === name ? old : rowOf(name);
    fill(row, lane);
    return row;
  });
  const isSame = rows.length === body.children.length;
  if (!isSame || rows.some((row, index) => row !== body.children[index])) {
    body.replaceChildren(...rows);
  }
}
