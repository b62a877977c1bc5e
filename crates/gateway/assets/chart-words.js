// A chart in words, for those who do not see it: a table of what it draws, and what stands at the
// crosshair. The table is hidden from the eye alone; it is no live region, so it may change.

import { clock, unitOf, valueText } from "./format.js";

const RENEWED_AFTER_MS = 2000;
const MOST_SAID = 6;

export class ChartWords {
  #renewedAt = -Infinity;
  #frame = "";

  constructor() {
    this.node = document.createElement("table");
    this.node.className = "sr-only chart-words";
    this.node.dataset.testid = "chart-words";
  }

  /** Tells what `chart` draws, as often as anybody could read it. */
  show(chart) {
    const { start, end } = chart.frame;
    const frame = `${chart.node.dataset.keys} ${Math.round(end - start)} ${chart.note.textContent}`;
    const now = performance.now();
    if (frame === this.#frame && now - this.#renewedAt < RENEWED_AFTER_MS) return;
    this.#frame = frame;
    this.#renewedAt = now;
    const caption = document.createElement("caption");
    caption.textContent = `${chart.title.textContent}, ${clock(start)} to ${clock(end)}`;
    const rows = chart.series.map((one) => rowOf(one, start, end));
    this.node.replaceChildren(caption, head(), ...rows);
  }
}

function head() {
  const row = document.createElement("tr");
  for (const name of ["Tag", "Newest value", "At", "Lowest", "Highest"]) {
    row.append(cell("th", name));
  }
  return row;
}

function rowOf(series, start, end) {
  const row = document.createElement("tr");
  const { newest } = series;
  const unit = unitOf(series.tag);
  const { low, high } = series.isText ? {} : series.extent(start, end);
  const name = cell("th", series.key.replace(/^@/, ""));
  name.scope = "row";
  const value = newest ? valueText(newest.value, unit) : "none";
  row.append(
    name,
    cell("td", newest && newest.quality !== "good" ? `${value}, ${newest.quality}` : value),
    cell("td", newest ? clock(newest.time) : "–"),
    cell("td", low <= high ? valueText(low, unit) : "–"),
    cell("td", low <= high ? valueText(high, unit) : "–"),
  );
  return row;
}

function cell(kind, text) {
  const node = document.createElement(kind);
  node.textContent = text;
  return node;
}

/** The values at a time, as a sentence; of many traces the first few. */
export function readingsAt(time, found, numbers) {
  const said = numbers.slice(0, MOST_SAID).map((series, index) => {
    const value = valueText(found[index]?.value, unitOf(series.tag));
    return numbers.length > 1 ? `${series.tag} ${value}` : value;
  });
  const more = numbers.length > MOST_SAID ? `, and ${numbers.length - MOST_SAID} more` : "";
  return `${clock(time)}: ${said.join(", ")}${more}`;
}
