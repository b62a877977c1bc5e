// The grid of charts. A chart names keys or globs; it draws the numbers of its tags with plotly.js
// and shows texts as text. Only charts on the screen are drawn, at most four times a second, and
// less often where a picture would hardly move or drawing would take over a sixth of the time. The page's own crosshair and
// legends replace plotly's: they stay while the picture moves, and are one for all charts.

import { clock, joinedNames, quantity, shortNames, timeTicks, unitOf, valueAxis, valueText } from "./format.js";

const MARGIN = { l: 64, r: 14, t: 8, b: 24 };
const MOST_TRACES = 32;
const MOST_IN_LEGEND = 6;
const MOST_POINTS_DRAWN = 480;
const SHORTEST_SPAN_MS = 15_000;
const SHORTEST_ROUND_MS = 250;
const SPENT_PER_FRAME_MS = 8;
const SWITCH_AXIS = { low: -0.08, high: 1.15, positions: [0, 1], texts: ["false", "true"] };
const PLOT_OPTIONS = { staticPlot: true, displayModeBar: false, responsive: false };

let plotly = null;
let libraryFailed = false;

/** The chart library loads beside the page, so that the figures above are there at once. */
const library = new Promise((resolve) => {
  const script = document.createElement("script");
  script.src = "/assets/plotly.min.js";
  script.onload = () => resolve((plotly = window.Plotly));
  script.onerror = () => resolve((libraryFailed = true));
  document.head.append(script);
});

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function iconButton(label, path, testid) {
  const button = element("button", { type: "button", class: "icon-button small", "aria-label": label });
  button.title = label;
  button.dataset.testid = testid;
  button.innerHTML = `<svg viewBox="0 0 20 20" aria-hidden="true"><path d="${path}"/></svg>`;
  return button;
}

/** Colours of a chart's traces: a palette for a few, one ramp for many of a kind. */
export function traceColours(number, theme) {
  if (number <= theme.palette.length) return theme.palette.slice(0, number);
  return Array.from({ length: number }, (_, index) => {
    const share = index / (number - 1);
    return `hsl(${Math.round(168 + share * 96)} ${theme.rampSaturation}% ${theme.rampLightness}%)`;
  });
}

/** `colour` is what the browser computes: `rgb(r, g, b)`. */
const withAlpha = (colour, alpha) => colour.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);

class Chart {
  constructor(spec, actions) {
    this.spec = spec;
    this.series = [];
    this.visible = false;
    this.drawn = false;
    /** Where the crosshair stands, 0 to 1 from the left, or `null`. */
    this.share = null;
    this.#build(actions);
  }

  #build(actions) {
    this.title = element("h3");
    this.path = element("span", { class: "chart-path" });
    this.now = element("p", { class: "chart-now" });
    const add = iconButton("Add a tag to this chart", "M10 4.5v11M4.5 10h11", "chart-add");
    const remove = iconButton("Remove this chart", "m5.5 5.5 9 9m0-9-9 9", "chart-remove");
    add.onclick = () => actions.addTo(this);
    remove.onclick = () => actions.remove(this);
    const heading = element("div", { class: "chart-heading" }, this.title, this.path);
    const buttons = element("div", { class: "chart-actions" }, add, remove);
    this.legend = element("ul", { class: "legend" });
    this.texts = element("dl", { class: "texts" });
    this.canvas = element("div", { class: "canvas" });
    this.crosshair = element("div", { class: "crosshair", hidden: "" }, element("span"));
    this.plot = element("div", { class: "plot", role: "img", tabindex: "0" }, this.canvas, this.crosshair);
    this.note = element("p", { class: "chart-note" });
    this.node = element(
      "figure",
      { class: "chart", "data-testid": "chart" },
      element("figcaption", {}, heading, this.now, buttons),
      this.legend,
      this.texts,
      this.plot,
      this.note,
    );
  }

  /** Gives the chart the series its keys and globs stand for now. */
  assign(series, hidden) {
    const keys = series.map((one) => one.key).join(",");
    if (keys === this.node.dataset.keys) return;
    this.series = series;
    this.node.dataset.keys = keys;
    const tags = series.map((one) => one.tag);
    this.names = shortNames(tags);
    const same = new Set(series.map((one) => one.source.replace(/^@/, ""))).size === 1;
    const pattern = joinedNames(this.spec.keys.map((key) => key.replace(/^@/, "")));
    this.title.textContent = this.spec.title ?? (series.length === 1 ? tags[0] : pattern);
    this.path.textContent = this.spec.title || !same ? pattern : series[0].source.replace(/^@/, "");
    this.path.title = keys.replaceAll(",", "\n");
    this.hiddenNote = hidden > 0 ? `${hidden} more match and are not drawn` : "";
    this.node.setAttribute("aria-label", `Chart of ${this.title.textContent}`);
    this.shape = null;
  }

  /** Tells how many points the chart was given, drawn or not. */
  countPoints() {
    this.node.dataset.points = String(this.series.reduce((sum, one) => sum + one.received, 0));
  }

  get shown() {
    return this.series.filter((one) => !one.isText);
  }

  /** Draws the window that ends at `now`, and the figures beside it. */
  draw(frame, theme) {
    const numbers = this.shown;
    const texts = this.series.filter((one) => one.isText);
    this.#drawTexts(texts);
    this.plot.hidden = numbers.length === 0;
    this.node.classList.toggle("only-text", numbers.length === 0 && texts.length > 0);
    this.unit = numbers.length > 0 ? unitOf(numbers[0].tag) : "";
    const colours = traceColours(numbers.length, theme);
    this.#shapeLegend(numbers, colours);
    this.frame = this.#frameFor(frame, numbers);
    if (numbers.length > 0 && plotly) this.#drawPlot(numbers, colours, theme);
    this.readout();
  }

  /** The time shown: the common window, or the last one in which these tags had data. */
  #frameFor({ start, end }, numbers) {
    const newest = Math.max(...numbers.map((one) => one.newest?.time ?? -Infinity));
    const away = Number.isFinite(newest) && (newest < start || newest > end + 5000);
    this.note.textContent = [
      libraryFailed ? "the chart library did not load: only the newest values are shown" : "",
      away ? `not in this window: newest data ${clock(newest)}` : "",
      this.hiddenNote,
    ].filter(Boolean).join(" · ");
    return away ? { start: newest - (end - start), end: newest } : { start, end };
  }

  #drawPlot(numbers, colours, theme) {
    const { start, end } = this.frame;
    const width = this.canvas.clientWidth;
    const height = this.canvas.clientHeight;
    if (width === 0) return;
    const most = Math.min(MOST_POINTS_DRAWN, width);
    const traces = [];
    const marks = { x: [], y: [], colour: [] };
    let low = Infinity;
    let high = -Infinity;
    numbers.forEach((series, index) => {
      const points = series.window(start, end, numbers.length > MOST_IN_LEGEND ? most / 2 : most);
      low = Math.min(low, points.low);
      high = Math.max(high, points.high);
      for (let i = 0; i < points.marks.length; i += 2) {
        marks.x.push(points.x[points.marks[i]]);
        marks.y.push(points.y[points.marks[i]]);
        marks.colour.push(points.marks[i + 1] === 2 ? theme.bad : theme.warn);
      }
      traces.push(lineTrace(points, series, colours[index], numbers.length));
    });
    this.axis = numbers.every((one) => one.isSwitch) ? SWITCH_AXIS : valueAxis(low, high, this.unit);
    traces.push({
      type: "scatter", mode: "markers", x: marks.x, y: marks.y, hoverinfo: "skip", cliponaxis: true,
      marker: { symbol: "x-thin", size: 6, line: { width: 1.5, color: marks.colour } },
    });
    const ticks = timeTicks(start, end, width / 90);
    plotly.react(this.canvas, traces, layoutOf(this, ticks, width, height, theme), PLOT_OPTIONS);
    this.drawn = true;
    this.plot.setAttribute(
      "aria-label",
      `${this.title.textContent}, ${clock(start)} to ${clock(end)}, between ` +
        `${quantity(low, this.unit)} and ${quantity(high, this.unit)}. Left and right arrows read values.`,
    );
  }

  #drawTexts(series) {
    this.texts.hidden = series.length === 0;
    const rows = series.map((one) => {
      const value = valueText(one.newest.value, "");
      const mark = one.newest.quality === "good" ? "" : one.newest.quality;
      const name = this.series.length > 1 ? this.names[this.series.indexOf(one)] : "";
      return { name, value, mark };
    });
    const shape = JSON.stringify(rows);
    if (shape === this.textShape) return;
    this.textShape = shape;
    this.texts.replaceChildren(
      ...rows.map(({ name, value, mark }) => {
        const words = element("dd", { title: value }, value);
        if (mark) words.append(element("em", { class: `quality ${mark}` }, mark));
        return element("div", {}, element("dt", {}, name), words);
      }),
    );
  }

  /** Rebuilds the legend's entries if the traces changed; the figures are filled by `readout`. */
  #shapeLegend(numbers, colours) {
    const shape = numbers.map((one) => one.key).join() + colours.join();
    if (shape === this.shape) return;
    this.shape = shape;
    this.legendKeys = numbers.map((one) => one.key).join();
    const many = numbers.length > MOST_IN_LEGEND;
    this.legend.hidden = numbers.length < 2;
    this.now.hidden = numbers.length !== 1;
    this.figures = [];
    if (numbers.length === 1) this.figures = [this.now];
    else if (many) this.#shapeRamp(numbers, colours);
    else this.#shapeEntries(numbers, colours);
  }

  #shapeEntries(numbers, colours) {
    this.legend.replaceChildren(
      ...numbers.map((series, index) => {
        const figure = element("b");
        this.figures.push(figure);
        const swatch = element("i", { "aria-hidden": "true" });
        swatch.style.background = colours[index];
        const name = this.names[this.series.indexOf(series)];
        const entry = element("li", {}, swatch, element("span", {}, name), figure);
        entry.title = series.key.replace(/^@/, "");
        return entry;
      }),
    );
  }

  /** Many traces of a kind: one strip of small bars, and the lowest and highest in words. */
  #shapeRamp(numbers, colours) {
    this.cells = numbers.map((series, index) => {
      const level = element("i");
      level.style.background = colours[index];
      const cell = element("span", { class: "cell" }, level);
      cell.title = series.tag;
      return level;
    });
    this.summary = element("b");
    const strip = element("li", { class: "cells", "aria-hidden": "true" });
    strip.append(...this.cells.map((level) => level.parentNode));
    this.legend.replaceChildren(strip, element("li", { class: "summary" }, this.summary));
  }

  /** Shows the values at the crosshair, or the newest ones where there is none. */
  readout() {
    const numbers = this.shown;
    if (!this.frame || numbers.map((one) => one.key).join() !== this.legendKeys) return;
    const { start, end } = this.frame;
    const at = this.share === null ? null : start + this.share * (end - start);
    const found = numbers.map((one) => (at === null ? one.now : one.at(at)));
    if (numbers.length > MOST_IN_LEGEND) this.#fillRamp(found);
    else found.forEach((value, index) => this.#fillFigure(index, value, numbers[index]));
    this.#moveCrosshair(at);
  }

  #fillFigure(index, found, series) {
    const figure = this.figures?.[index];
    if (!figure) return;
    const bad = found && found.quality > 0;
    const state = bad ? (found.quality === 1 ? "uncertain" : "bad") : "";
    const value = found && series.isSwitch && found.value !== null ? found.value === 1 : found?.value;
    const text = valueText(value, unitOf(series.tag));
    if (figure.dataset.text === text + state) return;
    figure.dataset.text = text + state;
    figure.dataset.quality = state || "good";
    figure.replaceChildren(text);
    if (bad) figure.append(element("em", { class: `quality ${state}` }, state));
  }

  #fillRamp(found) {
    const known = found.map((one, index) => ({ value: one?.value, index }));
    const numbers = known.filter((one) => typeof one.value === "number");
    const top = this.axis?.high ?? 1;
    const bottom = this.axis?.low ?? 0;
    found.forEach((one, index) => {
      const share = typeof one?.value === "number" ? (one.value - bottom) / (top - bottom || 1) : 0;
      this.cells[index].style.transform = `scaleY(${Math.max(0.04, Math.min(1, share)).toFixed(2)})`;
    });
    if (numbers.length === 0) return this.summary.replaceChildren("–");
    numbers.sort((a, b) => a.value - b.value);
    const [least, most] = [numbers[0], numbers[numbers.length - 1]];
    const name = (one) => this.names[this.series.indexOf(this.shown[one.index])];
    return this.summary.replaceChildren(
      `${quantity(least.value, this.unit)} to ${quantity(most.value, this.unit)}`,
      element("span", {}, `highest ${name(most)}`),
    );
  }

  #moveCrosshair(at) {
    const hidden = at === null || this.plot.hidden;
    this.crosshair.hidden = hidden;
    if (hidden) return;
    const inner = this.plot.clientWidth - MARGIN.l - MARGIN.r;
    this.crosshair.style.transform = `translateX(${MARGIN.l + this.share * inner}px)`;
    this.crosshair.firstChild.textContent = clock(at);
    this.crosshair.classList.toggle("left", this.share > 0.75);
  }

  release() {
    if (this.drawn) plotly.purge(this.canvas);
    this.node.remove();
  }
}

function lineTrace(points, series, colour, total) {
  const trace = {
    type: "scatter",
    mode: points.x.length === 1 ? "lines+markers" : "lines",
    x: points.x,
    y: points.y,
    connectgaps: false,
    hoverinfo: "skip",
    line: { color: colour, width: total > MOST_IN_LEGEND ? 1 : 1.6, shape: series.isSwitch ? "hv" : "linear" },
    marker: { size: 4, color: colour },
  };
  if (total === 1 && points.low >= 0) {
    trace.fill = "tozeroy";
    trace.fillcolor = withAlpha(colour, 0.12);
  }
  return trace;
}

function layoutOf(chart, ticks, width, height, theme) {
  return {
    width,
    height,
    margin: MARGIN,
    showlegend: false,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme.font, size: 11, color: theme.muted },
    xaxis: {
      type: "linear", range: [chart.frame.start, chart.frame.end], autorange: false, fixedrange: true,
      tickmode: "array", tickvals: ticks.positions, ticktext: ticks.texts,
      showgrid: false, zeroline: false, showline: true, linecolor: theme.line, linewidth: 1,
      ticks: "outside", ticklen: 4, tickcolor: theme.line, tickangle: 0,
    },
    yaxis: {
      type: "linear", range: [chart.axis.low, chart.axis.high], autorange: false, fixedrange: true,
      tickmode: "array", tickvals: chart.axis.positions, ticktext: chart.axis.texts,
      gridcolor: theme.grid, gridwidth: 1, zeroline: false,
      ticks: "outside", ticklen: 5, tickcolor: "rgba(0,0,0,0)",
    },
  };
}

/** All charts: which there are, when they are drawn, and the crosshair they share. */
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
    /** The server's time now, in ms; set by the page. */
    this.now = () => Date.now();
    this.theme = null;
    this.observer = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "80px" });
    this.sizes = new ResizeObserver(() => this.redraw());
    this.sizes.observe(node);
    document.addEventListener("visibilitychange", () => this.redraw());
    node.addEventListener("pointermove", (event) => this.#point(event));
    node.addEventListener("pointerleave", () => this.#setShare(null));
    node.addEventListener("keydown", (event) => this.#key(event));
    node.addEventListener("focusout", () => this.#setShare(null));
    library.then(() => this.redraw());
  }

  get charts() {
    return this.#charts;
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
    this.node.classList.toggle("stale", paused);
    this.redraw();
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
    if (document.hidden || this.paused) return;
    const passed = performance.now() - began;
    this.#timer = setTimeout(() => this.#round(false), Math.max(50, SHORTEST_ROUND_MS - passed));
  }

  /** The time in which the picture moves by about three pixels. */
  #worthDrawing() {
    const width = this.#charts.find((chart) => chart.visible)?.plot.clientWidth || 400;
    return Math.min(2000, (this.windowMs / width) * 3);
  }

  /** The last window; while there is less data than that, as much as there is. */
  #frame() {
    if (!this.paused || !this.end) this.end = this.now();
    const drawn = this.#charts.flatMap((chart) => chart.shown.map((one) => one.times[0]));
    const first = Math.min(...drawn.filter((time) => time > this.end - this.windowMs), this.end);
    const full = drawn.some((time) => time <= this.end - this.windowMs);
    const span = full ? this.windowMs : Math.min(this.windowMs, Math.max(SHORTEST_SPAN_MS, this.end - first));
    return { start: this.end - span, end: this.end };
  }

  #seen(entries) {
    for (const entry of entries) {
      const chart = this.#charts.find((one) => one.node === entry.target);
      if (chart) chart.visible = entry.isIntersecting;
    }
    this.redraw();
  }

  #point(event) {
    const plot = event.target.closest?.(".plot");
    if (!plot) return this.#setShare(null);
    const box = plot.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.l) / (box.width - MARGIN.l - MARGIN.r);
    return this.#setShare(share < 0 || share > 1 ? null : share);
  }

  #key(event) {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (!event.target.classList?.contains("plot") || (!step && event.key !== "Escape")) return;
    event.preventDefault();
    const from = this.#share ?? 1;
    this.#setShare(step ? Math.min(1, Math.max(0, from + step)) : null);
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
