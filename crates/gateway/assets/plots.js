// What the charts ask for in a long range: curves that the server thinned out, no more points than
// a chart has pixels, and only for charts on the screen. Each chart is a subscription of its own.

import { age } from "./format.js";

const FRESH_EVERY_MS = { least: 1000, most: 5000, unknown: 2000 };
const SETTLED_AFTER_MS = 150;
/** A client may have 32 subscriptions. */
const MOST_PLOTS = 30;

/** The ranges to choose from. Of a short one the page gets every value. */
export const RANGES = [
  { name: "60", seconds: 60, thinned: false },
  { name: "600", seconds: 600, thinned: true },
  { name: "3600", seconds: 3600, thinned: true },
  { name: "all", seconds: Infinity, thinned: true },
];

/** Keys are quoted for the server's globs, so that a `*` in a tag's own name stays itself. */
export const quoted = (key) => key.replace(/[*?[\]{}\\]/g, "[$&]");

export const isOwn = (key) => key.startsWith("@");

export class Plots {
  /** What is subscribed, by id, as JSON. */
  #asked = new Map();
  /** A short name for each chart. */
  #numbers = new Map();
  #timer = 0;

  constructor(connection) {
    this.connection = connection;
  }

  /** Asks for what these charts show in `range`, once they have come to rest. */
  show(charts, range) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(charts, range), SETTLED_AFTER_MS);
  }

  /** Whether this is one of the subscriptions. */
  has(id) {
    return this.#asked.has(id);
  }

  /** Asks for nothing. */
  end() {
    clearTimeout(this.#timer);
    this.#ask([], RANGES[0]);
  }

  #ask(charts, range) {
    const wanted = new Map();
    const visible = range.thinned ? charts.filter((chart) => chart.visible) : [];
    for (const chart of visible.slice(0, MOST_PLOTS)) {
      const keys = chart.shown.map((one) => one.key).filter((key) => !isOwn(key));
      if (keys.length > 0 && chart.pixels >= 2) {
        wanted.set(this.#idOf(chart), subscription(keys, range, chart.pixels));
      }
    }
    for (const id of [...this.#asked.keys()]) {
      if (!wanted.has(id)) this.connection.subscribe(id, { keys: [] });
    }
    for (const [id, asked] of wanted) {
      if (this.#asked.get(id) !== JSON.stringify(asked)) this.connection.subscribe(id, asked);
    }
    this.#asked = new Map([...wanted].map(([id, asked]) => [id, JSON.stringify(asked)]));
  }

  #idOf({ spec }) {
    if (!this.#numbers.has(spec.id)) this.#numbers.set(spec.id, this.#numbers.size);
    return `plot-${this.#numbers.get(spec.id)}`;
  }
}

function subscription(keys, { seconds }, points) {
  const all = seconds === Infinity;
  const { least, most, unknown } = FRESH_EVERY_MS;
  // As often as the picture moves by a pixel.
  const interval = all ? unknown : Math.min(most, Math.max(least, (seconds * 1000) / points));
  return {
    keys: keys.map(quoted),
    extract: { kind: "downsampled", points, ...(all ? {} : { seconds }) },
    min_interval_ms: Math.round(interval),
  };
}

/** How far the server's memory reaches back, where that is less than the range; "" where not. */
export function reachText(series, { seconds, thinned }, now) {
  if (!thinned) return "";
  const numbers = series.filter((one) => !one.isText && one.thinned && one.times.length > 0);
  const reaches = numbers.map((one) => (now - one.times[0]) / 1000);
  const [shortest, longest] = [Math.min(...reaches), Math.max(...reaches)];
  if (reaches.length === 0 || shortest >= seconds * 0.97) return "";
  const [from, to] = [age(shortest), age(Math.min(longest, seconds))];
  const span = from === to ? from : `${from} to ${to}, depending on the tag`;
  return `In memory: the last ${span}. Older values are in the database: choose Past.`;
}
