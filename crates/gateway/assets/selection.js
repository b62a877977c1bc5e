// Which charts are on the page: those a person chose, kept in this browser, or else a few that
// suit what the server has. A chart is `{id, title?, keys}`, where a key may be a glob.

const STORED_AS = "forebay.charts";

/** Figures of the pipeline itself, which the page collects; they are no tags of the server. */
export const OWN_KEYS = [
  "@pipeline/rows_per_s",
  "@pipeline/buffer_fill_pct",
  "@pipeline/pending",
  "@pipeline/latency_p50_ms",
  "@pipeline/latency_p99_ms",
];

let counter = 0;
const freshId = () => `chart-${Date.now().toString(36)}-${(counter += 1)}`;

export class Selection {
  /** The charts a person chose, or `null` while the defaults stand. */
  #chosen = null;
  #defaults = [];

  constructor() {
    try {
      const stored = JSON.parse(localStorage.getItem(STORED_AS));
      if (Array.isArray(stored)) this.#chosen = stored.filter(isSpec);
    } catch {
      // Unreadable or forbidden storage: the defaults stand.
    }
  }

  get isDefault() {
    return this.#chosen === null;
  }

  get charts() {
    return this.#chosen ?? this.#defaults;
  }

  /** Works out the defaults from the keys there are; a default that stands is kept. */
  suggest(keys) {
    const standing = new Map(this.#defaults.map((chart) => [chart.id, chart]));
    this.#defaults = defaultsFor(keys).map((chart) => standing.get(chart.id) ?? chart);
  }

  add(keys) {
    this.#store([{ id: freshId(), keys }, ...this.charts]);
  }

  addTo(id, keys) {
    this.#store(
      this.charts.map((chart) =>
        chart.id === id ? { ...chart, keys: [...new Set([...chart.keys, ...keys])] } : chart,
      ),
    );
  }

  remove(id) {
    this.#store(this.charts.filter((chart) => chart.id !== id));
  }

  reset() {
    this.#chosen = null;
    try {
      localStorage.removeItem(STORED_AS);
    } catch {
      // Nothing was stored then.
    }
  }

  #store(charts) {
    this.#chosen = charts;
    try {
      localStorage.setItem(STORED_AS, JSON.stringify(charts));
    } catch {
      // The choice then lasts as long as the page.
    }
  }
}

function isSpec(chart) {
  return (
    chart &&
    typeof chart.id === "string" &&
    Array.isArray(chart.keys) &&
    chart.keys.every((key) => typeof key === "string")
  );
}

/** What a newcomer should see first: this host if it is a source, else the first tags. */
function defaultsFor(entries) {
  const values = new Map(entries.map(({ key, value }) => [key, value]));
  const has = (key) => values.has(key);
  const host = [
    ["CPU", ["host/cpu.total_pct"]],
    ["CPU cores", ["host/cpu.core.*.pct"]],
    ["Memory used", ["host/memory.used_bytes"]],
    ["Load average", ["host/load.1m", "host/load.5m", "host/load.15m"]],
    ["Network", busiest(values, "net", ["rx", "tx"])],
    ["Disk", busiest(values, "disk", ["read", "write"])],
    ["Busiest process", ["host/process.top.1.name", "host/process.top.1.cpu_pct"]],
  ];
  const own = [
    ["Rows written", ["@pipeline/rows_per_s"]],
    ["Buffer fill", ["@pipeline/buffer_fill_pct"]],
  ];
  const there = (keys) =>
    keys.some((key) =>
      key.includes("*") ? has("host/cpu.core.0.pct") : has(key) || key.startsWith("@"),
    );
  const charts = host.filter(([, keys]) => there(keys)).map(named);
  if (charts.length > 0) return [...charts, ...own.map(named)];
  const numbers = entries.filter(
    ({ key, value }) => !key.startsWith("@") && typeof value !== "string",
  );
  return [
    ...numbers.slice(0, 6).map(({ key }) => ({ id: `default-${key}`, keys: [key] })),
    ...own.map(named),
  ];
}

const named = ([title, keys]) => ({ id: `default-${title}`, title, keys });

/** The two rates of the device of a kind that moves most; the loopback only if it is alone. */
function busiest(values, kind, [inward, outward]) {
  let best = null;
  for (const key of values.keys()) {
    const name = key.match(new RegExp(`^host/${kind}\\.(.+)\\.${inward}_bytes_per_s$`))?.[1];
    if (!name) continue;
    const keys = [inward, outward].map((way) => `host/${kind}.${name}.${way}_bytes_per_s`);
    const moved = keys.reduce((total, one) => total + (Number(values.get(one)) || 0), 0);
    const rank = /^(lo|loop)\d*$/.test(name) ? -1 : moved;
    if (!best || rank > best.rank) best = { rank, keys };
  }
  return best?.keys ?? [];
}
