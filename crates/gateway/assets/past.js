// The charts of a time that is over: between two times that a person chose, from the server's
// memory and, further back, from its database. What is live goes on meanwhile, and is not shown.

import { clock, count, plural } from "./format.js";
import { isOwn } from "./plots.js";
import { Series } from "./series.js";

const HOUR_S = 3600;
const ASKED_AT_A_TIME = 4;
/** Of what is no curve, such as texts, only the last value is shown. */
const FEWEST_POINTS = 50;
const LOADING = "loading";

const at = (id) => document.getElementById(id);

export class Past {
  /** What is shown, as `{start, end}` in ms, or `null` while the charts are live. */
  frame = null;
  #series = new Map();
  #wanted = new Map();
  #loading = null;

  /**
   * `session` answers, `now()` is the server's time in ms, `points()` is how many points a chart
   * can show. `changed()` is called when charts begin or end to show the past, or another part of
   * it; `drawn()` when there is more to draw.
   */
  constructor({ session, now, points, changed, drawn }) {
    Object.assign(this, { session, now, points, changed, drawn });
    this.form = at("past");
    this.from = at("past-from");
    this.until = at("past-until");
    this.error = at("past-error");
    at("mode").addEventListener("change", ({ target }) =>
      target.value === "past" ? this.#open() : this.leave(),
    );
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#showChosen();
    });
    for (const button of this.form.querySelectorAll("[data-seconds]")) {
      button.onclick = () => this.#showLast(Number(button.dataset.seconds));
    }
    at("past-earlier").onclick = () => this.#shift(-1);
    at("past-later").onclick = () => this.#shift(1);
    at("past-back").onclick = () => {
      this.leave();
      at("mode").querySelector(":checked").focus();
    };
  }

  /** The past of these series, those of the live charts. */
  of(live) {
    return live.map((one) => this.#pastOf(one));
  }

  /** Loads the past of these series, where it is not there yet. */
  load(live) {
    if (!this.frame) return;
    const wanted = new Map(live.map((one) => [one.key, one]));
    const isSame = this.#wanted.size === wanted.size && this.#wanted.frame === this.frame;
    if (isSame && [...wanted.keys()].every((key) => this.#wanted.has(key))) return;
    this.#wanted = Object.assign(wanted, { frame: this.frame });
    this.#ask();
  }

  /** Loads all of it again. */
  again() {
    this.#enter(this.frame);
  }

  /** Back to live. */
  leave() {
    if (!this.frame) return;
    this.#loading?.abort();
    this.frame = null;
    this.#series.clear();
    this.#say("");
    this.#show();
    this.changed();
  }

  #open() {
    if (!this.frame) this.#showLast(HOUR_S);
  }

  #showLast(seconds) {
    const end = Math.floor(this.now() / 1000) * 1000;
    this.#enter({ start: end - seconds * 1000, end });
  }

  #shift(times) {
    if (!this.frame) return;
    const { start, end } = this.frame;
    const step = (end - start) * times;
    this.#enter({ start: start + step, end: end + step });
  }

  #showChosen() {
    const start = new Date(this.from.value).getTime();
    const end = new Date(this.until.value).getTime();
    if (!Number.isFinite(start)) return this.#refuse(this.from, "From needs a date and a time.");
    if (!Number.isFinite(end)) return this.#refuse(this.until, "Until needs a date and a time.");
    if (start >= end) return this.#refuse(this.from, "From must be earlier than until.");
    return this.#enter({ start, end });
  }

  #refuse(field, text) {
    this.error.textContent = text;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }

  #enter(frame) {
    this.#loading?.abort();
    this.frame = { ...frame };
    this.#series.clear();
    this.from.value = forInput(frame.start);
    this.until.value = forInput(frame.end);
    this.error.textContent = "";
    this.from.removeAttribute("aria-invalid");
    this.until.removeAttribute("aria-invalid");
    this.#show();
    this.changed();
  }

  #show() {
    const isPast = this.frame !== null;
    this.form.hidden = !isPast;
    at("window").hidden = isPast;
    at("charts-title").textContent = isPast ? "Past" : "Live";
    document.querySelector(".charts").dataset.state = isPast ? "past" : "live";
    at("mode").querySelector(`[value="${isPast ? "past" : "live"}"]`).checked = true;
  }

  #pastOf(live) {
    let one = this.#series.get(live.key);
    if (!one) {
      one = new Series(live.key);
      one.note = isOwn(live.key) ? "the pipeline's own figures are not kept" : LOADING;
      this.#series.set(live.key, one);
    }
    return one;
  }

  async #ask() {
    this.#loading?.abort();
    const loading = new AbortController();
    this.#loading = loading;
    const missing = [...this.#wanted.values()].filter((one) => this.#pastOf(one).note === LOADING);
    if (missing.length > 0) this.#say(`Loading ${span(this.frame)} …`);
    const told = { memory: 0, sink: 0, warnings: new Set(), failed: 0 };
    const work = async () => {
      for (let one = missing.shift(); one && !loading.signal.aborted; one = missing.shift()) {
        await this.#fetch(one, loading.signal, told);
      }
    };
    const some = missing.length > 0;
    await Promise.all(Array.from({ length: ASKED_AT_A_TIME }, work));
    if (some && !loading.signal.aborted) this.#say(summary(this.frame, told));
  }

  async #fetch(live, signal, told) {
    const past = this.#pastOf(live);
    const { start, end } = this.frame;
    const path = `/api/history/${encodeURIComponent(live.source)}/${encodeURIComponent(live.tag)}`;
    const points = Math.max(FEWEST_POINTS, this.points());
    const range = `from=${micros(start)}&until=${micros(end)}&points=${points}`;
    try {
      const answer = await this.session.read(`${path}?${range}`, { signal });
      past.hold(answer.points, live.isSwitch);
      past.note = answer.points.length === 0 ? "no values in this time" : "";
      told.memory += answer.from_memory ?? 0;
      told.sink += answer.from_sink ?? 0;
      if (answer.warning) told.warnings.add(answer.warning);
    } catch (error) {
      if (signal.aborted) return;
      past.note = error.status === 404 ? "no values in this time" : error.message;
      if (error.status !== 404) told.failed += 1;
    }
    this.drawn();
  }

  #say(text) {
    if (at("range-note").textContent !== text) at("range-note").textContent = text;
  }
}

const micros = (ms) => Math.round(ms * 1000);

/** A time as an input of the kind `datetime-local` has it: the reader's own, to the second. */
function forInput(ms) {
  const local = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19);
}

const span = ({ start, end }) => `${clock(start)} to ${clock(end)}`;

function summary(frame, { memory, sink, warnings, failed }) {
  const from = [
    memory > 0 ? `${plural(memory, "value")} from memory` : "",
    sink > 0 ? `${plural(sink, "value")} from the database` : "",
  ].filter(Boolean);
  const words = [
    `${span(frame)}${from.length > 0 ? `: ${from.join(", ")}` : ""}.`,
    failed > 0 ? `${count(failed)} could not be loaded.` : "",
    ...[...warnings].map((warning) => `${warning[0].toUpperCase()}${warning.slice(1)}.`),
  ];
  return words.filter(Boolean).join(" ");
}
