// Turns numbers, times and tag names into what a person reads. Pure functions only.

const SPACE = "\u00a0";
const MINUS = "\u2212";

/** The unit that a tag carries in its last suffix, or "" if it names none. */
export function unitOf(tag) {
  if (/[._]bytes_per_s$/.test(tag)) return "bytes_per_s";
  if (/[._]bytes$/.test(tag)) return "bytes";
  if (/[._]pct$/.test(tag)) return "pct";
  if (/[._]per_s$/.test(tag)) return "per_s";
  if (/[._]c$/.test(tag)) return "celsius";
  if (/[._]ms$/.test(tag)) return "ms";
  if (/[._]s$/.test(tag)) return "s";
  if (/(^|\/)load\./.test(tag)) return "load";
  return "";
}

const SUFFIX = { pct: "%", celsius: "°C", ms: "ms", s: "s", per_s: "/s" };
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Scale, suffix and decimals that suit every value up to `largest` in `unit`. */
function scaleFor(largest, unit) {
  if (unit !== "bytes" && unit !== "bytes_per_s") return { divisor: 1, suffix: SUFFIX[unit] ?? "" };
  let power = 0;
  while (power < BYTES.length - 1 && Math.abs(largest) >= 0.9 * 1024 ** (power + 1)) power += 1;
  return { divisor: 1024 ** power, suffix: BYTES[power] + (unit === "bytes_per_s" ? "/s" : "") };
}

function fixed(value, decimals) {
  const text = value.toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
  return text.replace("-", MINUS);
}

/** Decimals that keep about three significant digits, so that a live figure does not jump about. */
function decimalsFor(value) {
  const size = Math.abs(value);
  if (size >= 100 || size === 0) return 0;
  if (size >= 10) return 1;
  if (size >= 0.1) return 2;
  return 3;
}

/** A number with its unit: `12.5 %`, `6.4 GiB`, `1,204`. */
export function quantity(value, unit = "") {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Math.abs(value) >= 1e15) return value.toExponential(3).replace("-", MINUS);
  const { divisor, suffix } = scaleFor(value, unit);
  const scaled = value / divisor;
  let decimals = decimalsFor(scaled);
  if (unit === "pct" || unit === "celsius")
    decimals = scaled !== 0 && Math.abs(scaled) < 0.1 ? 2 : 1;
  else if (Number.isInteger(scaled)) decimals = 0;
  else if (suffix === "B" || suffix === "B/s") decimals = 0;
  else if (unit === "" && Math.abs(scaled) >= 100) decimals = 1;
  return suffix ? `${fixed(scaled, decimals)}${SPACE}${suffix}` : fixed(scaled, decimals);
}

/** Any value of a record, as text; `null` is a dash because nothing could be read. */
export function valueText(value, unit) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return quantity(value, unit);
  if (typeof value === "boolean") return value ? "true" : "false";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A count with thousands separators. */
export function count(value) {
  return Number.isFinite(value) ? fixed(value, 0) : "–";
}

/** `1 tag`, `8 tags`. */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** A short age: `0.4 s`, `12 s`, `3 min`, `2 h`. */
export function age(seconds) {
  if (seconds < 0.95) return `${Math.max(0, seconds).toFixed(1)}${SPACE}s`;
  if (seconds < 90) return `${Math.round(seconds)}${SPACE}s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)}${SPACE}min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)}${SPACE}h`;
  return `${Math.round(seconds / 86400)}${SPACE}days`;
}

/** An uptime in two parts: `42 s`, `3 min 05 s`, `2 h 07 min`, `4 d 03 h`. */
export function uptime(seconds) {
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${two((seconds % 86400) / 3600)} h`;
}

/** Milliseconds for a latency: `0.42 ms`, `251 ms`, `1.2 s`. */
export function latency(ms) {
  if (!Number.isFinite(ms)) return { number: "–", unit: "" };
  if (ms >= 1000) return { number: fixed(ms / 1000, ms >= 10000 ? 1 : 2), unit: "s" };
  return { number: fixed(ms, ms >= 10 ? 0 : ms >= 1 ? 1 : 2), unit: "ms" };
}

/** The wall-clock time of `ms` in the reader's time zone, with the date if it is not today. */
export function clock(ms) {
  const time = new Date(ms);
  const text = time.toLocaleTimeString("en-GB");
  return time.toDateString() === new Date().toDateString()
    ? text
    : `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())} ${text}`;
}

const pad = (number) => String(number).padStart(2, "0");

const niceStep = (rough) => {
  const power = 10 ** Math.floor(Math.log10(rough));
  const ratio = rough / power;
  return (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 2.5 ? 2.5 : ratio <= 5 ? 5 : 10) * power;
};

/**
 * The value axis for data between `low` and `high`: its range, tick positions and tick texts.
 * Quantities that have a natural zero start there; a percentage ends at 100 at the latest.
 */
export function valueAxis(low, high, unit) {
  if (!(high >= low)) [low, high] = [0, 1];
  const fromZero = unit !== "celsius" && low >= 0 && (unit !== "" || low <= high * 0.6);
  if (fromZero) low = 0;
  if (high === low)
    high = low + (unit === "pct" ? 1 : Math.max(Math.abs(low) * 0.02, 1e-9, unit ? 1 : 0));
  const { divisor, suffix } = scaleFor(Math.max(Math.abs(low), Math.abs(high)), unit);
  const step = niceStep((high - low) / divisor / 3) * divisor;
  const first = Math.floor(low / step) * step;
  let last = Math.ceil((high + (high - low) * 0.04) / step) * step;
  if (unit === "pct" && high <= 100) last = Math.min(last, 100);
  const decimals = (String(+(step / divisor).toPrecision(3)).split(".")[1] ?? "").length;
  const positions = [];
  const texts = [];
  for (let index = 0; first + index * step <= last + step * 1e-6 && index < 12; index += 1) {
    const value = first + index * step;
    positions.push(value);
    if (Math.abs(value) < step * 1e-6) texts.push("0");
    else texts.push(`${fixed(value / divisor, decimals)}${suffix && SPACE}${suffix}`);
  }
  return { low: first, high: last, positions, texts };
}

const TIME_STEPS_S = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200];
const DAY_S = 86400;

/** Round wall-clock times inside a window, at most `most` of them. */
export function timeTicks(start, end, most) {
  const rough = (end - start) / 1000 / Math.max(1, most);
  const days = Math.ceil(rough / DAY_S) * DAY_S;
  const step = (TIME_STEPS_S.find((candidate) => candidate >= rough) ?? days) * 1000;
  const zone = new Date(end).getTimezoneOffset() * 60000;
  const positions = [];
  const texts = [];
  for (let at = Math.ceil((start - zone) / step) * step + zone; at <= end; at += step) {
    const time = new Date(at);
    positions.push(at);
    const seconds = step < 60000 ? `:${pad(time.getSeconds())}` : "";
    texts.push(
      step < DAY_S * 1000
        ? `${pad(time.getHours())}:${pad(time.getMinutes())}${seconds}`
        : `${pad(time.getMonth() + 1)}-${pad(time.getDate())}`,
    );
  }
  return { positions, texts };
}

/** What tells tags of one chart apart: their names without the common start and end. */
export function shortNames(names) {
  if (names.length < 2) return names.slice();
  const head = commonEdge(names, (name) => name);
  const tail = commonEdge(names, (name) => [...name].reverse().join(""));
  return names.map((name) => name.slice(head, name.length - tail) || name);
}

/** Several keys in one text: `host/net.eth0.{rx, tx}_bytes_per_s`. */
export function joinedNames(names) {
  if (names.length < 2) return names.join();
  const short = shortNames(names);
  const at = names[0].indexOf(
    short[0],
    commonEdge(names, (name) => name),
  );
  const tail = names[0].slice(at + short[0].length);
  const head = names[0].slice(0, at);
  return head || tail ? `${head}{${short.join(", ")}}${tail}` : names.join(", ");
}

/** Length of the common start of all names, cut back to the last separator. */
function commonEdge(names, view) {
  const [first, ...rest] = names.map(view);
  let length = 0;
  while (length < first.length && rest.every((name) => name[length] === first[length])) length += 1;
  while (length > 0 && !/[./_]/.test(first[length - 1])) length -= 1;
  // Nothing may be taken from both ends, so leave room for at least one character.
  return Math.min(length, Math.min(...names.map((name) => name.length)) - 1);
}
