// Notifications: a short stack in the corner, read aloud, never more than a few. The same message
// again is counted instead of repeated. Errors stay until they are closed.

const MOST_SHOWN = 4;
const SHOWN_FOR_MS = { info: 6000, warning: 15_000, error: Infinity };

const LEVELS = new Set(["info", "warning", "error"]);

export class Notifications {
  constructor(node) {
    this.node = node;
  }

  show(level, message) {
    const kind = LEVELS.has(level) ? level : "info";
    const known = [...this.node.children].find(
      (one) => one.dataset.message === message && one.dataset.level === kind,
    );
    if (known) return this.#again(known);
    const item = document.createElement("div");
    item.className = "notification";
    item.dataset.testid = "notification";
    item.dataset.level = kind;
    item.dataset.message = message;
    // The stack is polite; what is broken interrupts.
    if (kind === "error") item.setAttribute("role", "alert");
    const text = document.createElement("p");
    text.textContent = message;
    const number = document.createElement("span");
    number.className = "times";
    const close = document.createElement("button");
    close.type = "button";
    close.className = "icon-button small";
    close.setAttribute("aria-label", "Dismiss");
    close.innerHTML =
      '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="m5.5 5.5 9 9m0-9-9 9"/></svg>';
    close.onclick = () => item.remove();
    item.append(text, number, close);
    this.node.append(item);
    while (this.node.children.length > MOST_SHOWN) this.node.firstElementChild.remove();
    return this.#expire(item);
  }

  #again(item) {
    item.times = (item.times ?? 1) + 1;
    item.querySelector(".times").textContent = `×${item.times}`;
    this.#expire(item);
  }

  #expire(item) {
    clearTimeout(item.timer);
    const time = SHOWN_FOR_MS[item.dataset.level];
    if (time === Infinity) return;
    item.timer = setTimeout(
      () => (item.matches(":hover, :focus-within") ? this.#expire(item) : item.remove()),
      time,
    );
  }
}
