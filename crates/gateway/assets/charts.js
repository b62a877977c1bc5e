// The grid of charts: which there are, when they are drawn, and the crosshair they share. Only
// charts on the screen are drawn, at most four times a second, and less often where a picture
// would hardly move or drawing would take over a sixth of the time.

import { Chart } from "./chart.js";
import { library, MARGIN, SHORTEST_SPAN_MS } from "./plot.js";

const MOST_TRACES = 32;
const SHORTEST_ROUND_MS = 250;
const SPENT_PER_FRAME_MS = 8;
/** How far a key moves the crosshair. */
const STEP = 0.02;

export class ChartGrid {
  #charts = [];
  #timer = 0;
  #rounds = 0;
  #drawAt = 0;
  #share = null;

  constructor(node, actions) {
    this.node = node;
    this.actions = actions;
    this.windowMs = 60_000;
    this.paused = false;
    /** A time that is over, `{start, end}`, in the place of the live one; or `null`. */
    this.past = null;
    /** The server's time now, in ms; set by the page. */
    this.now = () => Date.now();
    this.theme = null;
    this.observer = new IntersectionObserver((entries) => this.#seen(entries), {
      rootMargin: "80px",
    });
    this.sizes = new ResizeObserver(() => {
      this.redraw();
      this.actions.moved();
    });
    this.sizes.observe(node);
    document.addEventListener("visibilitychange", () => this.redraw());
    node.addEventListener("pointermove", (event) => this.#point(event));
    node.addEventListener("pointerleave", () => this.#setShare(null));
    node.addEventListener("keydown", (event) => this.#key(event));
    node.addEventListener("focusout", () => this.#setShare(null));
    library.loading.then(() => this.redraw());
  }

  get charts() {
    return this.#charts;
  }

  /** How many points a chart of this page can show. */
  get pixels() {
    return Math.max(...this.#charts.map((chart) => chart.pixels), 0) || 300;
  }

  /** Shows exactly these charts, in this order; charts that stay keep their node. */
  show(specs) {
    const old = new Map(this.#charts.map((chart) => [chart.spec.id, chart]));
    this.#charts = specs.map((spec) => {
      const chart = old.get(spec.id) ?? new Chart(spec, this.actions);
      old.delete(spec.id);
      chart.spec = spec;
      chart.share = this.#share;
      return chart;
    });
    for (const chart of old.values()) {
      this.observer.unobserve(chart.node);
      chart.release();
    }
    this.#charts.forEach((chart, index) => {
      if (this.node.children[index] !== chart.node) {
        this.node.insertBefore(chart.node, this.node.children[index] ?? null);
        this.observer.observe(chart.node);
      }
    });
  }

  /** Gives each chart the series that its keys stand for: `resolve(keys)` answers with them. */
  assign(resolve) {
    for (const chart of this.#charts) {
      const series = resolve(chart.spec.keys);
      chart.assign(series.slice(0, MOST_TRACES), series.length - MOST_TRACES);
    }
    this.redraw();
  }

  setPaused(paused) {
    this.paused = paused;
    this.#showState();
    this.redraw();
  }

  /** Shows a time that is over, or the live one again. */
  setPast(frame) {
    this.past = frame;
    this.#setShare(null);
    this.#showState();
    this.redraw();
  }

  #showState() {
    this.node.classList.toggle("stale", this.paused && !this.past);
    this.node.classList.toggle("is-past", this.past !== null);
  }

  /** Draws soon, even while paused: the theme, the size or the selection changed. */
  redraw() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#round(true), 30);
  }

  async #round(once) {
    clearTimeout(this.#timer);
    const round = (this.#rounds += 1);
    const began = performance.now();
    let busy = 0;
    let spent = 0;
    if (!document.hidden && this.theme && (once || !this.paused)) {
      const frame = this.#frame();
      const all = once || began >= this.#drawAt;
      for (const chart of this.#charts) chart.countPoints();
      for (const chart of this.#charts.filter((one) => one.visible)) {
        if (!all) {
          chart.readout();
          continue;
        }
        // A frame holds as many charts as leave scrolling smooth; a newer round takes over.
        if (spent === 0 || spent > SPENT_PER_FRAME_MS) {
          await new Promise(requestAnimationFrame);
          if (round !== this.#rounds) return;
          spent = 0;
        }
        const started = performance.now();
        chart.draw(frame, this.theme);
        spent += performance.now() - started;
        busy += performance.now() - started;
      }
      if (all) this.#drawAt = began + Math.max(this.#worthDrawing(), busy * 6);
    }
    if (document.hidden || this.paused || this.past) return;
    const passed = performance.now() - began;
    this.#timer = setTimeout(() => this.#round(false), Math.max(50, SHORTEST_ROUND_MS - passed));
  }

  /** The time in which the picture moves by about three pixels. */
  #worthDrawing() {
    const width = this.#charts.find((chart) => chart.visible)?.plot.clientWidth || 400;
    return Math.min(2000, (this.windowMs / width) * 3);
  }

  /**
   * The last window; while there is less data than that, as much as there is. A window without a
   * start is all that each chart has.
   */
  #frame() {
    if (this.past) return { ...this.past, isPast: true };
    if (!this.paused || !this.end) this.end = this.now();
    if (this.windowMs === Infinity) return { start: -Infinity, end: this.end };
    const drawn = this.#charts.flatMap((chart) => chart.shown.map((one) => one.times[0]));
    const first = Math.min(...drawn.filter((time) => time > this.end - this.windowMs), this.end);
    const full = drawn.some((time) => time <= this.end - this.windowMs);
    const span = full
      ? this.windowMs
      : Math.min(this.windowMs, Math.max(SHORTEST_SPAN_MS, this.end - first));
    return { start: this.end - span, end: this.end };
  }

  #seen(entries) {
    for (const entry of entries) {
      const chart = this.#charts.find((one) => one.node === entry.target);
      if (chart) chart.visible = entry.isIntersecting;
    }
    this.redraw();
    this.actions.moved();
  }

  #point(event) {
    const plot = event.target.closest?.(".plot");
    if (!plot) return this.#setShare(null);
    const box = plot.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.l) / (box.width - MARGIN.l - MARGIN.r);
    return this.#setShare(share < 0 || share > 1 ? null : share);
  }

  #key(event) {
    if (!event.target.classList?.contains("plot")) return;
    const from = this.#share ?? 1;
    const to = {
      ArrowLeft: from - STEP,
      ArrowDown: from - STEP,
      ArrowRight: from + STEP,
      ArrowUp: from + STEP,
      PageDown: from - STEP * 5,
      PageUp: from + STEP * 5,
      Home: 0,
      End: 1,
      Escape: null,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#setShare(to === null ? null : Math.min(1, Math.max(0, to)));
  }

  #setShare(share) {
    if (share === this.#share) return;
    this.#share = share;
    for (const chart of this.#charts) {
      chart.share = share;
      if (chart.visible) chart.readout();
    }
  }
}
