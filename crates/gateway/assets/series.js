// The points of one key, as this page knows them: in time order, bounded, with gaps.
// Invariants: times strictly rise; `null` is a gap; at most MOST_POINTS are kept.

const MOST_POINTS = 20000;
const KEPT_MS = 16 * 60 * 1000;

export const QUALITY = { good: 0, uncertain: 1, bad: 2 };

export class Series {
  constructor(key) {
    this.key = key;
    const slash = key.indexOf("/");
    this.source = key.slice(0, slash);
    this.tag = key.slice(slash + 1);
    this.times = [];
    this.values = [];
    this.qualities = [];
    /** Newest change: `{timestamp, value, quality}`, in ms; it may be text. */
    this.newest = null;
    /** Points received since the page was opened. */
    this.received = 0;
    /** Whether the server chose the points. */
    this.thinned = false;
    /** Why there is nothing to draw, if that is known. */
    this.note = "";
  }

  /** Whether the newest value cannot be drawn, only read. */
  get isText() {
    const value = this.newest?.value;
    return typeof value === "string" || (typeof value === "object" && value !== null);
  }

  get isSwitch() {
    return typeof this.newest?.value === "boolean";
  }

  /** Takes in one change from the socket; a change that is known already counts once. */
  append({ timestamp, value, quality }) {
    const time = timestamp / 1000;
    if (!this.newest || time >= this.newest.time) this.newest = { time, value, quality };
    const last = this.times.length - 1;
    if (last < 0 || time > this.times[last]) {
      this.#insert(this.times.length, time, value, quality);
    } else {
      const at = this.#indexOf(time);
      if (this.times[at] === time) {
        this.values[at] = drawable(value);
        this.qualities[at] = qualityOf(quality);
        return;
      }
      this.#insert(at, time, value, quality);
    }
    this.received += 1;
    if (this.times.length > MOST_POINTS * 1.25) this.#trim();
  }

  /**
   * Lays the server's history over what is here: it wins between its first and its last point.
   * A gap that was marked at a lost connection disappears if the history covers it.
   */
  adopt(points) {
    if (points.length === 0) return;
    const first = points[0].timestamp / 1000;
    const last = points[points.length - 1].timestamp / 1000;
    const from = this.#indexOf(first);
    let to = this.#indexOf(last);
    if (this.times[to] === last) to += 1;
    const known = new Set(this.times.slice(from, to));
    const times = [];
    const values = [];
    const qualities = [];
    for (const { timestamp, value, quality } of points) {
      const time = timestamp / 1000;
      if (times.length > 0 && time <= times[times.length - 1]) continue;
      times.push(time);
      values.push(drawable(value));
      qualities.push(qualityOf(quality));
      if (!known.has(time)) this.received += 1;
    }
    this.thinned = false;
    this.times = this.times.slice(0, from).concat(times, this.times.slice(to));
    this.values = this.values.slice(0, from).concat(values, this.values.slice(to));
    this.qualities = this.qualities.slice(0, from).concat(qualities, this.qualities.slice(to));
    const end = points[points.length - 1];
    if (end.quality && (!this.newest || last >= this.newest.time)) {
      this.newest = { time: last, value: end.value, quality: end.quality };
    }
    this.#trim();
  }

  /** Shows a curve that the server thinned out; what came after its end stays. */
  replace({ timestamps, values }) {
    const times = [];
    const kept = [];
    timestamps.forEach((timestamp, index) => {
      const time = timestamp / 1000;
      if (times.length > 0 && time <= times[times.length - 1]) return;
      times.push(time);
      kept.push(drawable(values[index]));
    });
    if (times.length === 0) return;
    const known = this.times[this.times.length - 1] ?? -Infinity;
    this.received += times.filter((time) => time > known).length;
    const tail = this.#indexOf(times[times.length - 1] + 1e-6);
    this.qualities = times.map(() => QUALITY.good).concat(this.qualities.slice(tail));
    this.values = kept.concat(this.values.slice(tail));
    this.times = times.concat(this.times.slice(tail));
    this.thinned = true;
  }

  /** Holds just these points, of a time that is over. */
  hold(points, isSwitch) {
    this.times = points.map((point) => point.timestamp / 1000);
    this.values = points.map((point) => drawable(point.value));
    this.qualities = points.map((point) => qualityOf(point.quality));
    this.received = points.length;
    const last = points.at(-1);
    if (!last) return;
    // Points that were thinned out say neither whether they are truth values nor how good they are.
    const value = isSwitch && last.value !== null ? Boolean(last.value) : last.value;
    this.newest = { time: last.timestamp / 1000, value, quality: last.quality ?? "good" };
  }

  /** The server has no value any more. */
  clear() {
    this.breakLine();
    this.newest = null;
  }

  /** Ends the line here, so that nothing is drawn across a time that nobody observed. */
  breakLine() {
    const last = this.times.length - 1;
    if (last < 0 || this.values[last] === null) return;
    this.times.push(this.times[last] + 0.001);
    this.values.push(null);
    this.qualities.push(QUALITY.good);
  }

  /** The newest value as it is drawn, or `null` if there is none yet. */
  get now() {
    if (!this.newest) return null;
    return {
      value: drawable(this.newest.value),
      quality: qualityOf(this.newest.quality),
    };
  }

  /** The value at `time`: that of the last point before it, `null` in a gap. */
  at(time) {
    const index = this.#indexOf(time + 1e-6) - 1;
    return index < 0 ? null : { value: this.values[index], quality: this.qualities[index] };
  }

  /** The smallest and the largest value between two times. */
  extent(start, end) {
    let [low, high] = [Infinity, -Infinity];
    for (let i = this.#indexOf(start); i < this.times.length && this.times[i] <= end; i += 1) {
      const value = this.values[i];
      if (value === null) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return { low, high };
  }

  /**
   * At most about `most` points between `start` and `end`. Where there are more, each bucket of
   * time keeps its smallest and its largest value, so that no peak is lost. Buckets lie at fixed
   * times, so that the picture does not flicker while it moves. `marks` holds pairs: the index of
   * a point whose quality is not good, and that quality.
   */
  window(start, end, most) {
    let from = Math.max(0, this.#indexOf(start) - 1);
    let to = this.#indexOf(end);
    if (this.times[to] === end) to += 1;
    const out = { x: [], y: [], marks: [], low: Infinity, high: -Infinity };
    if (this.thinned || to - from <= most) {
      for (let i = from; i < to; i += 1) this.#emit(out, i);
    } else {
      const width = 2 ** Math.ceil(Math.log2(((end - start) / most) * 2));
      while (from < to) from = this.#emitBucket(out, from, to, width);
    }
    return out;
  }

  #emitBucket(out, from, to, width) {
    const bucket = Math.floor(this.times[from] / width);
    let smallest = -1;
    let largest = -1;
    let gap = -1;
    let index = from;
    for (; index < to && Math.floor(this.times[index] / width) === bucket; index += 1) {
      const value = this.values[index];
      if (value === null) gap = index;
      else if (smallest < 0) smallest = largest = index;
      else if (value < this.values[smallest]) smallest = index;
      else if (value >= this.values[largest]) largest = index;
    }
    const chosen = [...new Set([smallest, largest, gap])].filter((i) => i >= 0);
    for (const i of chosen.sort((a, b) => a - b)) this.#emit(out, i);
    return index;
  }

  #emit(out, index) {
    const value = this.values[index];
    out.x.push(this.times[index]);
    out.y.push(value);
    if (this.qualities[index] !== QUALITY.good)
      out.marks.push(out.x.length - 1, this.qualities[index]);
    if (value === null) return;
    if (value < out.low) out.low = value;
    if (value > out.high) out.high = value;
  }

  #insert(at, time, value, quality) {
    this.times.splice(at, 0, time);
    this.values.splice(at, 0, drawable(value));
    this.qualities.splice(at, 0, qualityOf(quality));
  }

  /** Index of the first point that is not before `time`. */
  #indexOf(time) {
    let low = 0;
    let high = this.times.length;
    if (high > 0 && this.times[high - 1] < time) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #trim() {
    const newest = this.times[this.times.length - 1];
    const extra = Math.max(this.times.length - MOST_POINTS, this.#indexOf(newest - KEPT_MS));
    if (extra <= 0) return;
    this.times.splice(0, extra);
    this.values.splice(0, extra);
    this.qualities.splice(0, extra);
  }
}

/** Points that were thinned out carry none: their bad ones are gaps. */
function qualityOf(quality) {
  return quality === undefined ? QUALITY.good : (QUALITY[quality] ?? QUALITY.bad);
}

/** A number to draw, or `null` for a gap: text has no place on an axis. */
function drawable(value) {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  return typeof value === "boolean" ? Number(value) : null;
}
