// One chart: it names keys or globs, draws the numbers of its tags, shows texts as text, and tells
// the newest values or those at the crosshair. The page's own crosshair and legends stand in for
// the library's: they stay while the picture moves.

import { ChartWords, readingsAt } from "./chart-words.js";
import {
  clock,
  joinedNames,
  plural,
  quantity,
  shortNames,
  timeTicks,
  unitOf,
  valueAxis,
  valueText,
} from "./format.js";
import {
  draw,
  layoutOf,
  library,
  lineTrace,
  MARGIN,
  markTrace,
  MOST_IN_LEGEND,
  purge,
  SHORTEST_SPAN_MS,
  traceColours,
} from "./plot.js";
import { isGlob } from "./search.js";
import { QUALITY } from "./series.js";

const MOST_POINTS_DRAWN = 480;
const SWITCH_AXIS = { low: -0.08, high: 1.15, positions: [0, 1], texts: ["false", "true"] };

export class Chart {
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
    this.plot = element(
      "div",
      { class: "plot", role: "slider", tabindex: "0", "aria-valuemin": "0", "aria-valuemax": "100" },
      this.canvas,
      this.crosshair,
    );
    this.note = element("p", { class: "chart-note" });
    this.words = new ChartWords();
    this.node = element(
      "figure",
      { class: "chart", "data-testid": "chart" },
      element("figcaption", {}, heading, this.now, buttons),
      this.legend,
      this.texts,
      this.plot,
      this.note,
      this.words.node,
    );
  }

  /** Gives the chart the series its keys and globs stand for now. */
  assign(series, hidden) {
    const keys = series.map((one) => one.key).join(",");
    const isSame = series.every((one, index) => one === this.series[index]);
    if (keys === this.node.dataset.keys && isSame) return;
    this.series = series;
    this.node.dataset.keys = keys;
    const tags = series.map((one) => one.tag);
    this.names = shortNames(tags);
    const spoken = this.spec.keys.map((key) => key.replace(/^@/, ""));
    const source = spoken[0].slice(0, spoken[0].indexOf("/"));
    const same =
      spoken.every((key) => key.startsWith(`${source}/`) && !key.startsWith(`${source}/*`)) &&
      !isGlob(source);
    const inner = joinedNames(same ? spoken.map((key) => key.slice(source.length + 1)) : spoken);
    this.title.textContent = this.spec.title ?? inner;
    if (this.spec.title) this.path.textContent = joinedNames(spoken);
    else this.path.textContent = same ? source : plural(series.length, "tag");
    this.path.title = keys.replaceAll(",", "\n");
    this.hiddenNote = hidden > 0 ? `${hidden} more match and are not drawn` : "";
    this.node.setAttribute("aria-label", `Chart of ${this.title.textContent}`);
    this.shape = null;
  }

  /** Tells how many points the chart was given, drawn or not. */
  countPoints() {
    this.node.dataset.points = String(this.series.reduce((sum, one) => sum + one.received, 0));
  }

  /** How many points it can show, at most: as many as the plot is wide. */
  get pixels() {
    const inner = Math.min(MOST_POINTS_DRAWN, this.plot.clientWidth - MARGIN.l - MARGIN.r);
    const share = this.shown.length > MOST_IN_LEGEND ? 0.5 : 1;
    // In steps, so that a page that is being resized does not ask anew for each pixel.
    return Math.max(0, Math.floor((inner * share) / 10) * 10);
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
    // One axis has one unit, or none where the tags differ.
    const units = new Set(numbers.map((one) => unitOf(one.tag)));
    this.unit = units.size === 1 ? [...units][0] : "";
    const colours = traceColours(numbers.length, theme);
    this.#shapeLegend(numbers, colours);
    this.frame = this.#frameFor(frame, numbers);
    if (numbers.length > 0 && library.plotly) this.#drawPlot(numbers, colours, theme);
    this.words.show(this);
    this.readout();
  }

  /** The time shown: the common window, or the last one in which these tags had data. */
  #frameFor({ start, end, isPast }, numbers) {
    if (isPast) {
      const notes = new Set(this.series.map((one) => one.note));
      this.note.textContent = [...notes, this.hiddenNote].filter(Boolean).join(" · ");
      return { start, end };
    }
    if (start === -Infinity) {
      start = Math.min(end - SHORTEST_SPAN_MS, ...numbers.map((one) => one.times[0] ?? end));
    }
    const newest = Math.max(...numbers.map((one) => one.newest?.time ?? -Infinity));
    const away = Number.isFinite(newest) && (newest < start || newest > end + 5000);
    this.note.textContent = [
      this.series.length === 0 ? "the server has no such tag now" : "",
      library.failed ? "the chart library did not load: only the newest values are shown" : "",
      away ? `not in this window: newest data ${clock(newest)}` : "",
      this.hiddenNote,
    ]
      .filter(Boolean)
      .join(" · ");
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
        marks.colour.push(points.marks[i + 1] === QUALITY.bad ? theme.bad : theme.warn);
      }
      traces.push(lineTrace(points, series, colours[index], numbers.length));
    });
    this.axis = numbers.every((one) => one.isSwitch)
      ? SWITCH_AXIS
      : valueAxis(low, high, this.unit);
    if (marks.x.length > 0) traces.push(markTrace(marks, this.axis.low));
    const ticks = timeTicks(start, end, width / 90);
    draw(this.canvas, traces, layoutOf(this.frame, this.axis, ticks, width, height, theme));
    this.drawn = true;
    const extent = `${quantity(low, this.unit)} to ${quantity(high, this.unit)}`;
    this.plot.setAttribute(
      "aria-label",
      `${this.title.textContent}, ${clock(start)} to ${clock(end)}: ` +
        `${low <= high ? extent : "no values"}`,
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
        return element("div", {}, ...(name ? [element("dt", {}, name)] : []), words);
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
    this.#sayCrosshair(at, found, numbers);
  }

  #fillFigure(index, found, series) {
    const figure = this.figures?.[index];
    if (!figure) return;
    const bad = found && found.quality > 0;
    const state = bad ? (found.quality === 1 ? "uncertain" : "bad") : "";
    const value =
      found && series.isSwitch && found.value !== null ? found.value === 1 : found?.value;
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
      this.cells[index].style.transform =
        `scaleY(${Math.max(0.04, Math.min(1, share)).toFixed(2)})`;
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

  /** The crosshair is a slider over time: this is what a reader of the screen hears of it. */
  #sayCrosshair(at, found, numbers) {
    const share = at === null ? 100 : Math.round(this.share * 100);
    const text = at === null ? "at the newest values" : readingsAt(at, found, numbers);
    if (this.saidAt === text) return;
    this.saidAt = text;
    this.plot.setAttribute("aria-valuenow", String(share));
    this.plot.setAttribute("aria-valuetext", text);
  }

  release() {
    if (this.drawn) purge(this.canvas);
    this.node.remove();
  }
}

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function iconButton(label, path, testid) {
  const button = element("button", {
    type: "button",
    class: "icon-button small",
    "aria-label": label,
  });
  button.title = label;
  button.dataset.testid = testid;
  button.innerHTML = `<svg viewBox="0 0 20 20" aria-hidden="true"><path d="${path}"/></svg>`;
  return button;
}
