// The WebSocket: it reconnects by itself, repeats its subscriptions, and says what it knows about
// the age of the data. States: "reconnecting" (no connection), "live", "stale" (connected, but
// nothing arrived lately). Events: state, welcome, changes, notification, refused.
// A subscription to every value goes on where it stopped, if the server still knows what came since.

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;
const STALE_AFTER_MS = 3_000;
const PING_EVERY_MS = 5_000;
const CONNECT_WITHIN_MS = 8_000;

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
  #unanswered = 0;
  #timers = { retry: 0, ping: 0, stale: 0, connect: 0 };
  #state = "reconnecting";

  constructor(url) {
    super();
    this.url = url;
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
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    this.#timers.connect = setTimeout(() => this.#lost(socket), CONNECT_WITHIN_MS);
    socket.onmessage = (event) => socket === this.#socket && this.#receive(event.data);
    socket.onclose = () => this.#lost(socket);
  }

  /** Subscribes, or replaces the subscription of the same id; an empty list of keys ends it. */
  subscribe(id, subscription) {
    if (subscription.keys.length === 0) {
      this.#seqs.delete(id);
      if (this.#subscriptions.delete(id)) this.#send({ type: "unsubscribe", id });
    } else {
      this.#subscriptions.set(id, subscription);
      this.#seqs.delete(id);
      this.#ask(id, subscription, {});
    }
    this.#awaitData();
  }

  /** While nobody sees the page the server sends nothing, and keeps what the page has to catch up. */
  setSeen(seen) {
    if (seen === this.#seen) return;
    this.#seen = seen;
    const type = seen ? "unpause" : "pause";
    for (const id of this.#subscriptions.keys()) this.#send({ type, id });
    this.#awaitData();
  }

  #ask(id, subscription, since) {
    this.#send({ type: "subscribe", id, ...subscription, ...since });
    if (!this.#seen) this.#send({ type: "pause", id });
  }

  #send(message) {
    if (this.#state !== "reconnecting") this.#socket.send(JSON.stringify(message));
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
        this.#lastDataAt = performance.now();
        if (this.#subscriptions.has(message.id)) this.#seqs.set(message.id, message.seq);
        this.#awaitData();
        return this.#emit("changes", message);
      case "pong":
        this.#unanswered = 0;
        return this.#emit("time", message);
      case "notification":
        return this.#emit("notification", message);
      case "error":
        return this.#emit("refused", message);
      default:
        return undefined;
    }
  }

  #welcomed(message) {
    clearTimeout(this.#timers.connect);
    this.#openedAt = performance.now();
    this.#unanswered = 0;
    this.#timers.ping = setInterval(() => this.#ping(), PING_EVERY_MS);
    this.#enter("live");
    // Listeners may change the subscriptions, so they are told before these are sent.
    this.#emit("welcome", message);
    this.everOpen = true;
    for (const [id, subscription] of this.#subscriptions) {
      const seq = this.#seqs.get(id);
      const goesOn = subscription.extract?.kind === "since_last" && seq !== undefined;
      this.#ask(id, subscription, goesOn ? { since: { instance: this.#instance, seq } } : {});
    }
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

  #lost(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    socket.close();
    // A connection that held for a while was a good one: begin with the short delay again.
    if (this.#state !== "reconnecting" && performance.now() - this.#openedAt > PING_EVERY_MS) {
      this.#attempts = 0;
    }
    const cap = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts);
    const delay = FIRST_DELAY_MS + Math.random() * (cap - FIRST_DELAY_MS);
    this.#attempts += 1;
    this.retryAt = performance.now() + delay;
    this.#timers.retry = setTimeout(() => this.connect(), delay);
    this.#enter("reconnecting");
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
