// The search for tags: a combobox over the keys the server knows. Words narrow the list; a `*`
// makes a pattern, whose matches can be charted together, also those that appear later.

import { unitOf, valueText } from "./format.js";

const MOST_OPTIONS = 60;

/** A glob over "source/tag" as a regular expression: `*` is any run, `?` any one character. */
export function globPattern(glob) {
  const escaped = glob.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`, "i");
}

export const isGlob = (text) => /[*?]/.test(text);

/** What a person reads as the key: the page's own series have no "@". */
const spoken = (key) => key.replace(/^@/, "");

export class Search {
  #active = -1;
  #options = [];
  #target = null;

  /**
   * `keys()` lists `{key, value}`, `charted(keys)` says whether they are on the page, and
   * `choose(keys, target)` puts them there. `opened()` is called when the list opens.
   */
  constructor(root, { keys, charted, choose, opened }) {
    Object.assign(this, { keys, charted, choose, opened });
    this.root = root;
    this.input = root.querySelector("input");
    this.panel = root.querySelector(".options");
    this.list = root.querySelector("ul");
    this.note = root.querySelector(".options-note");
    this.chip = root.querySelector(".target");
    this.chip.querySelector("button").onclick = () => this.aim(null);
    this.input.addEventListener("input", () => this.#open());
    this.input.addEventListener("focus", () => this.#open());
    this.input.addEventListener("click", () => this.#open());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => this.#click(event));
    document.addEventListener(
      "pointerdown",
      (event) => !root.contains(event.target) && this.close(),
    );
    root.addEventListener(
      "focusout",
      (event) => !root.contains(event.relatedTarget) && this.close(),
    );
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input"))
        return;
      event.preventDefault();
      this.input.focus();
    });
  }

  /** From now on a choice goes into this chart instead of a new one. */
  aim(chart) {
    this.#target = chart;
    this.chip.hidden = chart === null;
    this.chip.firstElementChild.textContent = chart ? `into ${chart.title.textContent}` : "";
    if (chart) {
      this.root.scrollIntoView({ block: "nearest" });
      this.input.focus();
      this.#open();
    }
  }

  /** Fills an open list again, for instance because the keys changed. */
  refresh() {
    if (!this.panel.hidden) this.#fill();
  }

  close() {
    this.panel.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.#active = -1;
  }

  #open() {
    if (this.panel.hidden) this.opened();
    this.panel.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.#active = -1;
    this.#fill();
  }

  #fill() {
    const text = this.input.value.trim();
    const all = this.keys();
    const found = isGlob(text) ? byGlob(all, text) : byWords(all, text);
    this.#options = found
      .slice(0, MOST_OPTIONS)
      .map((one) => ({ keys: [one.key], value: one.value }));
    if (isGlob(text) && found.length > 1) {
      const pattern = text.includes("/") || text.startsWith("*") ? text : `*/${text}`;
      this.#options.unshift({ keys: [pattern], number: found.length });
    }
    this.#show(this.#options.map((option, index) => this.#render(option, index, text)));
    this.note.textContent = noteFor(all.length, found.length);
    this.#mark();
  }

  /** An option that is there already stays the same node: it may be about to be clicked. */
  #show(nodes) {
    nodes.forEach((node, index) => {
      const old = this.list.children[index];
      const isSame = old?.dataset.key === node.dataset.key;
      if (isSame) old.replaceChildren(...node.childNodes);
      else if (old) old.replaceWith(node);
      else this.list.append(node);
    });
    while (this.list.children.length > nodes.length) this.list.lastElementChild.remove();
  }

  #render(option, index, text) {
    const node = document.createElement("li");
    node.id = `tag-option-${index}`;
    node.dataset.testid = "tag-option";
    node.dataset.key = option.keys[0];
    node.dataset.index = index;
    node.setAttribute("role", "option");
    node.setAttribute("aria-selected", "false");
    const name = document.createElement("span");
    name.className = "option-name";
    const value = document.createElement("span");
    value.className = "option-value";
    if (option.number) {
      name.append(`All ${option.number} in one chart: `, strong(option.keys[0]));
    } else {
      const key = option.keys[0];
      const slash = key.indexOf("/");
      const source = document.createElement("span");
      source.className = "option-source";
      source.textContent = spoken(key.slice(0, slash + 1));
      name.append(source, ...highlighted(key.slice(slash + 1), text));
      value.textContent = valueText(option.value, unitOf(key));
    }
    node.append(name, value);
    if (this.charted(option.keys)) {
      value.append(" ✓");
      value.title = "already on the page";
    }
    return node;
  }

  #mark() {
    [...this.list.children].forEach((node, index) => {
      node.setAttribute("aria-selected", String(index === this.#active));
    });
    const node = this.list.children[this.#active];
    if (!node) return this.input.removeAttribute("aria-activedescendant");
    this.input.setAttribute("aria-activedescendant", node.id);
    return node.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const last = this.#options.length - 1;
    const moves = { ArrowDown: this.#active + 1, ArrowUp: this.#active - 1 };
    if (event.key in moves) {
      event.preventDefault();
      if (this.panel.hidden) return this.#open();
      const next = moves[event.key];
      this.#active = next > last ? 0 : next < 0 ? last : next;
      return this.#mark();
    }
    if (event.key === "Enter" && !this.panel.hidden && last >= 0) {
      event.preventDefault();
      return this.#take(Math.max(0, this.#active));
    }
    if (event.key === "Escape") {
      if (!this.panel.hidden) return this.close();
      this.input.value = "";
      return this.aim(null);
    }
    return undefined;
  }

  #click(event) {
    const node = event.target.closest("li");
    if (node) this.#take(Number(node.dataset.index));
  }

  #take(index) {
    this.choose(this.#options[index].keys, this.#target);
    if (this.#target) return this.#fill();
    this.input.value = "";
    return this.close();
  }
}

function byGlob(all, text) {
  const whole = globPattern(text);
  const tagOnly = globPattern(`*/${text}`);
  return all.filter(
    ({ key }) => whole.test(spoken(key)) || (!text.includes("/") && tagOnly.test(spoken(key))),
  );
}

function byWords(all, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const scored = [];
  for (const one of all) {
    const name = spoken(one.key).toLowerCase();
    if (!words.every((word) => name.includes(word))) continue;
    // A hit at the start of a part of the name is what a person usually means.
    const starts = words.filter((word) =>
      /[./_\s]/.test(name[name.indexOf(word) - 1] ?? "/"),
    ).length;
    scored.push({ one, score: starts });
  }
  if (words.length > 0) scored.sort((a, b) => b.score - a.score);
  return scored.map(({ one }) => one);
}

function noteFor(all, found) {
  if (all === 0) return "The server has no tags yet.";
  if (found === 0) return "No tag matches. Words narrow the list, * stands for anything.";
  const shown = Math.min(found, MOST_OPTIONS);
  const number = shown < found ? `${shown} of ${found} matches` : `${found} of ${all} tags`;
  return `${number} · ↑↓ choose · Enter adds`;
}

function strong(text) {
  const node = document.createElement("b");
  node.textContent = text;
  return node;
}

/** The tag with the first place of the searched word set in bold. */
function highlighted(tag, text) {
  const word = isGlob(text)
    ? ""
    : (text
        .toLowerCase()
        .split(/\s+/)
        .find((one) => tag.toLowerCase().includes(one)) ?? "");
  const at = word ? tag.toLowerCase().indexOf(word) : -1;
  if (at < 0) return [tag];
  return [tag.slice(0, at), strong(tag.slice(at, at + word.length)), tag.slice(at + word.length)];
}
