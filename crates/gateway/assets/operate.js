// The section for administrators: deliver now, close breakers, throw away what waits, read the
// configuration again, and who is connected. Its controls are there only while the server accepts a
// token that may do this; what came of an act is said in a live region.

import { Clients } from "./clients.js";
import { count, plural } from "./format.js";
import { reasonOf } from "./sign-in.js";

const POLL_EVERY_MS = 2000;
/** Changes of a reload that are told one by one. */
const MOST_NAMED = 5;

const at = (id) => document.getElementById(id);

const NEEDED =
  "These need a token with the right to administer. The server says at its start where the one " +
  "of this run is; others are made by “forebay token --admin”.";

export class Operate {
  #controls = null;
  #busy = false;
  #clients = null;
  #waiting = {};

  /** `ownId()` is the number of this page's own connection. */
  constructor(session, ownId) {
    this.session = session;
    this.ownId = ownId;
    this.input = at("admin-input");
    at("unlock").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#unlock(this.input.value.trim());
    });
    session.addEventListener("changed", () => this.#tryReader());
    setInterval(() => this.#poll(), POLL_EVERY_MS);
    this.#lock(NEEDED);
    this.#tryAnew();
  }

  /** What waits in lanes, by class, so that a purge can say what it costs. */
  showMetrics(metrics) {
    const waiting = { all: 0 };
    for (const { lane, pending } of (metrics.routes ?? []).flatMap((route) => route.lanes)) {
      waiting[lane] = (waiting[lane] ?? 0) + pending;
      waiting.all += pending;
    }
    this.#waiting = waiting;
  }

  /** There is a connection again: a token that could not be tried then is tried now. */
  welcomed() {
    if (!this.#controls) this.#tryAnew();
  }

  /** Unlocks by the token that is there already. */
  async #tryAnew() {
    if (!this.session.hasAdmin) return;
    try {
      this.#open(await this.session.administer("GET", "/api/connections"));
    } catch (refusal) {
      this.#refused(refusal);
    }
  }

  /** A token that a person entered to read with may have this right too: that is tried once. */
  async #tryReader() {
    const { token, hasAdmin } = this.session;
    if (token === null || hasAdmin) return;
    try {
      const connections = await this.session.check(token, "/api/connections");
      this.session.keep("admin", token);
      this.#open(connections);
    } catch {
      // It is one to read with, as most are.
    }
  }

  async #unlock(token) {
    this.#fail("");
    if (token === "") return this.#fail("Enter the token first.");
    let connections;
    try {
      connections = await this.session.check(token, "/api/connections");
    } catch (refusal) {
      this.input.select();
      return this.#fail(
        refusal.status === 403
          ? "This token does not have the right to administer."
          : reasonOf(refusal),
      );
    }
    this.input.value = "";
    this.session.keep("admin", token);
    this.#open(connections);
    this.#say("Unlocked.");
    return this.#controls.querySelector("button").focus();
  }

  #fail(text) {
    at("unlock-error").textContent = text;
    if (text) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
  }

  #open(connections) {
    if (!this.#controls) {
      const controls = at("operate-controls").content.cloneNode(true).firstElementChild;
      this.#controls = controls;
      this.#bind(controls);
      at("operate-body").append(controls);
      at("unlock").hidden = true;
      at("operate-needs").hidden = true;
      at("operate").dataset.state = "unlocked";
    }
    this.#clients.show(connections, this.ownId());
  }

  #lock(why) {
    const hadFocus = this.#controls?.contains(document.activeElement);
    this.#controls?.remove();
    this.#controls = null;
    this.#clients = null;
    at("unlock").hidden = false;
    at("operate-needs").hidden = false;
    at("operate-needs").textContent = why;
    at("operate").dataset.state = "locked";
    if (hadFocus) this.input.focus();
  }

  #bind(controls) {
    const on = (name, act) => {
      controls.querySelector(`[data-act=${name}]`).onclick = act;
    };
    on("flush", () =>
      this.#act("Flushing", "POST", "/api/flush", undefined, ({ flushed }) =>
        flushed > 0 ? `Delivered ${plural(flushed, "update")}.` : "Nothing was waiting.",
      ),
    );
    on("breaker", () =>
      this.#act("Closing breakers", "POST", "/api/breaker/reset", undefined, ({ reset }) =>
        reset > 0 ? `Closed ${plural(reset, "breaker")}.` : "No sink has a breaker.",
      ),
    );
    on("reload", () =>
      this.#act("Reading the configuration", "POST", "/api/reload", undefined, reloaded),
    );
    on("purge", () => this.#askToPurge(controls.querySelector("select").value));
    on("lock", () => {
      this.session.keep("admin", null);
      this.#lock(NEEDED);
      this.#say("Locked.");
      this.input.focus();
    });
    this.#clients = new Clients(controls, (client) =>
      this.#act(
        `Disconnecting ${client.connection_id}`,
        "DELETE",
        `/api/connections/${client.connection_id}`,
        undefined,
        () => `Disconnected client ${client.connection_id} (${client.name}).`,
      ),
    );
  }

  #askToPurge(lane) {
    const dialog = at("purge-dialog");
    const waiting = this.#waiting[lane] ?? 0;
    const which = lane === "all" ? "all lanes" : `the lane “${lane}”`;
    at("purge-title").textContent = `Purge ${which}?`;
    at("purge-text").textContent =
      `What waits in ${which} is thrown away for good: it reaches no sink. ` +
      (waiting > 0 ? `Now that is ${plural(waiting, "update")}.` : "Now nothing waits there.");
    at("purge-yes").textContent = `Purge ${lane === "all" ? "all lanes" : lane}`;
    at("purge-yes").onclick = () => {
      dialog.close();
      this.#act("Purging", "POST", "/api/purge", { lane }, ({ purged }) =>
        purged > 0 ? `Threw away ${plural(purged, "update")} of ${which}.` : `Nothing waited in ${which}.`,
      );
    };
    at("purge-no").onclick = () => dialog.close();
    dialog.showModal();
    at("purge-no").focus();
  }

  async #act(doing, method, path, body, told) {
    if (this.#busy) return;
    this.#busy = true;
    this.#say(`${doing} …`);
    try {
      const answer = await this.session.administer(method, path, body);
      this.#say(told(answer ?? {}));
    } catch (refusal) {
      this.#say("");
      this.#refused(refusal);
    } finally {
      this.#busy = false;
    }
    this.#poll();
  }

  /** A refusal for want of the right locks the section; any other is told. */
  #refused(refusal) {
    if (refusal.status === 401) {
      this.session.keep("admin", null);
      return this.#lock(
        this.#controls
          ? `The server no longer knows the token: it makes a new one for each run. ${NEEDED}`
          : NEEDED,
      );
    }
    if (refusal.status === 403) return this.#lock(NEEDED);
    if (this.#controls) at("operate-failed").textContent = reasonOf(refusal);
    return undefined;
  }

  #say(text) {
    at("operate-said").textContent = text;
    at("operate-failed").textContent = "";
  }

  async #poll() {
    if (!this.#controls || document.hidden || this.#busy) return;
    try {
      const connections = await this.session.administer("GET", "/api/connections");
      this.#clients?.show(connections, this.ownId());
    } catch (refusal) {
      if (refusal.status === 401 || refusal.status === 403) this.#refused(refusal);
    }
  }
}

/** What a reload did, in one sentence. */
function reloaded({ changes = [] }) {
  const named = changes.slice(0, MOST_NAMED).map(String).join("; ");
  const more = changes.length > MOST_NAMED ? `; and ${count(changes.length - MOST_NAMED)} more` : "";
  return `The configuration was read again: ${named ? named + more : "nothing changed"}.`;
}
