// What the header says of the connection. The figures that count along are for the eye; a reader of
// the screen hears only when the state changes, and a lost connection at once.

import { age } from "./format.js";

const at = (id) => document.getElementById(id);

const SAID = { live: "Live", stale: "Data is stale", reconnecting: "Connection lost" };

/** Keeps the header in line with `connection`; `isLocked()` tells that a token is missing. */
export function startStatus(connection, isLocked) {
  const show = () => {
    const state = isLocked() ? "locked" : connection.state;
    at("connection").dataset.state = state;
    const text = textOf(state, connection);
    if (at("connection-text").textContent !== text) at("connection-text").textContent = text;
  };
  connection.addEventListener("state", ({ detail: { state } }) => {
    show();
    const isLost = state === "reconnecting" && !isLocked();
    at("connection-lost").textContent = isLost ? SAID.reconnecting : "";
    at("connection-said").textContent = state === "reconnecting" ? "" : SAID[state];
  });
  setInterval(show, 1000);
  show();
  return show;
}

function textOf(state, { dataAge, retryAt, everOpen }) {
  if (state === "live") return "live";
  if (state === "locked") return "a token is needed";
  if (state === "stale") {
    return dataAge === null ? "stale · no data yet" : `stale · last data ${age(dataAge)} ago`;
  }
  if (!everOpen) return "connecting";
  const wait = retryAt === null ? 0 : Math.ceil((retryAt - performance.now()) / 1000);
  return wait > 1 ? `reconnecting in ${wait} s` : "reconnecting";
}
