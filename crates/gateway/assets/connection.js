// The WebSocket: it reconnects by itself, repeats its subscriptions, and says what it knows about
// the age of the data. States: "reconnecting" (no connection), "live", "stale" (connected, but
// nothing arrived lately). Events: state, welcome, changes, removed, reset, notification, refused,
// time, denied. A subscription to every value goes on where it stopped, if the server still knows
// what came since. A `pong` that names a commit this page has not seen, though nothing comes, is a
// gap: what is subscribed is then asked for again.

const SUBPROTOCOL = "forebay.v1.json";
const PROTOCOL = 1;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;
const STALE_AFTER_MS = 3_000;
const PING_EVERY_MS = 5_000;
const CONNECT_WITHIN_MS = 8_000;
const GAP_AFTER_MS = { first: 5_000, most: 60_000 };
const UNAUTHORIZED = 4401;

export class Connection extends EventTarget {
  #socket = null;
  #subscriptions = new Map();
  /** The commit that each subscription has seen last, of the server that had this instance. */
  #seqs = new Map();
  #instance = null;
  #seen = true;
  #attempts = 0;
  #openedAt = 0;
  #lastDataAt = null;
  #lastFrameAt = 0;
  #unanswered = 0;
  /** How long nothing may come before a gap is looked for, and whose answers only fill gaps. */
  #gapAfterMs = GAP_AFTER_MS.first;
  #checking = new Set();
  #timers = { retry: 0, ping: 0, stale: 0, connect: 0 };
  #state = "reconnecting";
  #denied = false;

  /** `token()` gives what the server is told first, or `null`. */
  constructor(url, token) {
    super();
    this.url = url;
    this.token = token;
    /** The number by which the server knows this connection. */
    this.id = null;
    /** When the next attempt starts, by the page's monotonic clock, or `null` while it runs. */
    this.retryAt = null;
    /** Whether there was a connection before. */
    this.everOpen = false;
    addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => !document.hidden && this.#retryNow());
  }

  get state() {
    return this.#state;
  }

  /** Seconds since data arrived, or `null` if none ever did. */
  get dataAge() {
    return this.#lastDataAt === null ? null : (performance.now() - this.#lastDataAt) / 1000;
  }

  connect() {
    clearTimeout(this.#timers.retry);
    this.retryAt = null;
    this.#denied = false;
    const socket = new WebSocket(this.url, [SUBPROTOCOL]);
    this.#socket = socket;
    this.#timers.connect = setTimeout(() => this.#lost(socket), CONNECT_WITHIN_MS);
    const isCurrent = () => socket === this.#socket;
    socket.onopen = () => isCurrent() && this.#hello(socket);
    socket.onmessage = (event) => isCurrent() && this.#receive(event.data);
    socket.onclose = (event) => {
      if (isCurrent() && event.code === UNAUTHORIZED) this.#deny();
      this.#lost(socket);
    };
  }

  /** Ends the connection and stays away until `connect` is called. */
  rest() {
    if (this.#socket) this.#lost(this.#socket);
    clearTimeout(this.#timers.retry);
    this.retryAt = null;
  }

  /** Begins a new connection, for instance because there is another token. */
  renew() {
    this.rest();
    this.connect();
  }

  /** Subscribes, or replaces the subscription of the same id; an empty list of keys ends it. */
  subscribe(id, subscription) {
    this.#seqs.delete(id);
    this.#checking.delete(id);
    if (subscription.keys.length === 0) {
      if (this.#subscriptions.delete(id)) this.#send({ type: "unsubscribe", id });
    } else {
      this.#subscriptions.set(id, subscription);
      this.#ask(id, subscription);
    }
    this.#lastFrameAt = performance.now();
    this.#awaitData();
  }

  /** While nobody sees the page the server sends nothing, and keeps what the page has to catch up. */
  setSeen(seen) {
    if (seen === this.#seen) return;
    this.#seen = seen;
    this.#lastFrameAt = performance.now();
    const type = seen ? "unpause" : "pause";
    for (const id of this.#subscriptions.keys()) this.#send({ type, id });
    this.#awaitData();
  }

  /** Asks for a subscription, from where it stopped if it is one to every value. */
  #ask(id, subscription) {
    const seq = this.#seqs.get(id);
    const goesOn = subscription.extract?.kind === "since_last" && seq !== undefined;
    const since = goesOn ? { since: { instance: this.#instance, seq } } : {};
    this.#send({ type: "subscribe", id, ...subscription, ...since });
    if (!this.#seen) this.#send({ type: "pause", id });
  }

  #send(message) {
    if (this.#state !== "reconnecting") this.#socket.send(JSON.stringify(message));
  }

  #hello(socket) {
    const token = this.token();
    if (token) socket.send(JSON.stringify({ type: "hello", token, protocol: PROTOCOL }));
  }

  #receive(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    switch (message.type) {
      case "welcome":
        return this.#welcomed(message);
      case "snapshot":
      case "update":
      case "removed":
        return this.#changed(message);
      case "reset":
        this.#seqs.delete(message.id);
        return this.#emit("reset", message);
      case "pong":
        this.#unanswered = 0;
        this.#findGap(message.seq);
        return this.#emit("time", message);
      case "notification":
        return this.#emit("notification", message);
      case "error":
        return message.code === "unauthorized" ? this.#deny() : this.#emit("refused", message);
      default:
        return undefined;
    }
  }

  #changed(message) {
    if (!this.#subscriptions.has(message.id)) return;
    this.#seqs.set(message.id, message.seq);
    this.#lastFrameAt = performance.now();
    // The answer to a look for gaps may bring nothing new: the data is as old as it was.
    const isLook = this.#checking.delete(message.id);
    if (!isLook || (message.resumed && message.changes.length > 0)) {
      this.#gapAfterMs = GAP_AFTER_MS.first;
      this.#lastDataAt = performance.now();
      this.#awaitData();
    }
    this.#emit(message.type === "removed" ? "removed" : "changes", message);
  }

  /** The server is further than what was seen, and is silent: perhaps a frame was lost. */
  #findGap(seq) {
    if (!this.#seen || this.#subscriptions.size === 0) return;
    if (performance.now() - this.#lastFrameAt < this.#gapAfterMs) return;
    if (!(seq > Math.max(0, ...this.#seqs.values()))) return;
    // Keys that do not change look the same, so it is looked for less and less often.
    this.#gapAfterMs = Math.min(GAP_AFTER_MS.most, this.#gapAfterMs * 2);
    this.#lastFrameAt = performance.now();
    for (const [id, subscription] of this.#subscriptions) {
      this.#checking.add(id);
      this.#ask(id, subscription);
    }
  }

  #welcomed(message) {
    // `hello` is answered too where the server had welcomed the page without it: with new rights.
    const isSecond = this.#state !== "reconnecting";
    this.id = message.connection_id;
    if (!isSecond) {
      clearTimeout(this.#timers.connect);
      this.#openedAt = performance.now();
      this.#lastFrameAt = performance.now();
      this.#unanswered = 0;
      this.#gapAfterMs = GAP_AFTER_MS.first;
      this.#checking.clear();
      this.#timers.ping = setInterval(() => this.#ping(), PING_EVERY_MS);
      this.#enter("live");
      // Listeners may change the subscriptions, so they are told before these are sent.
      this.#emit("welcome", message);
      this.everOpen = true;
    }
    for (const [id, subscription] of this.#subscriptions) this.#ask(id, subscription);
    this.#instance = message.instance;
    this.#awaitData();
  }

  /** A connection that left two pings unanswered is dead, whatever the socket says. */
  #ping() {
    if (this.#unanswered >= 2) return this.#lost(this.#socket);
    this.#unanswered += 1;
    return this.#send({ type: "ping", echo: Math.round(performance.now()) });
  }

  /** Live from now on, stale once nothing has come for a while though something was asked for. */
  #awaitData() {
    clearTimeout(this.#timers.stale);
    if (this.#state === "reconnecting") return;
    this.#enter("live");
    if (this.#subscriptions.size === 0 || !this.#seen) return;
    this.#timers.stale = setTimeout(() => this.#enter("stale"), STALE_AFTER_MS);
  }

  /** The server wants a token, or another one. */
  #deny() {
    if (this.#denied) return;
    this.#denied = true;
    this.#emit("denied", {});
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    socket.close();
    // A connection that held for a while was a good one: begin with the short delay again.
    if (this.#state !== "reconnecting" && performance.now() - this.#openedAt > PING_EVERY_MS) {
      this.#attempts = 0;
    }
    this.#enter("reconnecting");
    if (this.#denied) return;
    const cap = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts);
    // From 0, so that the pages of a server that starts again do not all come in one moment.
    const delay = Math.random() * cap;
    this.#attempts += 1;
    this.retryAt = performance.now() + delay;
    this.#timers.retry = setTimeout(() => this.connect(), delay);
  }

  #retryNow() {
    if (this.retryAt !== null) this.connect();
  }

  #enter(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#emit("state", { state });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
