// The table of connected clients. A row stays the same node as long as its client is there, so that
// a button keeps the focus while the figures change.

import { age, count, quantity } from "./format.js";

const MOST_SHOWN = 100;

const CELLS = {
  name: ({ name }) => name,
  address: ({ address }) => address,
  age: ({ connected_s }) => age(connected_s),
  subscriptions: ({ subscriptions }) => count(subscriptions),
  lag: ({ lag }) => count(lag),
  conflated: ({ conflated }) => count(conflated),
  missed: ({ missed }) => count(missed),
  bytes: ({ bytes }) => quantity(bytes, "bytes"),
};

export class Clients {
  /** `disconnect(client)` is called for the client whose button is pressed. */
  constructor(root, disconnect) {
    this.body = root.querySelector("tbody");
    this.heading = root.querySelector(".clients-title");
    this.more = root.querySelector(".clients-more");
    this.disconnect = disconnect;
  }

  /** Shows these clients, those that are furthest behind if there are too many. */
  show(answer, ownId) {
    const all = Array.isArray(answer) ? answer : (answer?.connections ?? []);
    this.heading.textContent = `Connected clients (${count(all.length)})`;
    const chosen = [...all].sort((a, b) => b.lag - a.lag).slice(0, MOST_SHOWN);
    chosen.sort((a, b) => a.connection_id - b.connection_id);
    this.more.hidden = all.length <= MOST_SHOWN;
    this.more.textContent = `The ${MOST_SHOWN} that are furthest behind, of ${count(all.length)}.`;
    const old = new Map([...this.body.children].map((row) => [row.dataset.client, row]));
    const rows = chosen.map((client) => {
      const row = old.get(String(client.connection_id)) ?? this.#rowOf(client);
      old.delete(row.dataset.client);
      fill(row, client, ownId);
      return row;
    });
    const lost = [...old.values()].find((row) => row.contains(document.activeElement));
    const next = lost?.nextElementSibling ?? lost?.previousElementSibling;
    for (const row of old.values()) row.remove();
    rows.forEach((row, index) => {
      if (this.body.children[index] !== row) {
        this.body.insertBefore(row, this.body.children[index] ?? null);
      }
    });
    // The focus does not fall back to the top of the page with its row.
    if (lost) (next?.querySelector("button") ?? this.heading).focus();
  }

  #rowOf(client) {
    const row = document.createElement("tr");
    row.dataset.testid = "client";
    row.dataset.client = client.connection_id;
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = client.connection_id;
    row.append(head);
    for (const name of Object.keys(CELLS)) {
      const cell = document.createElement("td");
      cell.className = name;
      row.append(cell);
    }
    const button = document.createElement("button");
    button.type = "button";
    button.className = "action small";
    button.textContent = "Disconnect";
    button.setAttribute("aria-label", `Disconnect client ${client.connection_id}, ${client.name}`);
    button.onclick = () => this.disconnect(client);
    const cell = document.createElement("td");
    cell.append(button);
    row.append(cell);
    return row;
  }
}

function fill(row, client, ownId) {
  for (const [name, textOf] of Object.entries(CELLS)) {
    const cell = row.querySelector(`.${name}`);
    const isOwn = name === "name" && client.connection_id === ownId;
    const text = isOwn ? `${textOf(client)} (this page)` : textOf(client);
    if (cell.textContent !== text) cell.textContent = text;
  }
  row.dataset.level = client.blocked_s > 1 ? "blocked" : "good";
  row.title = client.blocked_s > 1 ? `takes nothing since ${age(client.blocked_s)}` : "";
}
