// Who the page is to the server: the tokens that a person entered, and every request with them.
// They are kept for this tab alone, and go in a header or in the first message of the socket, never
// in an address. Events: `needed` (the server wants a token), `changed` (there is another one).

const STORED_AS = { reader: "forebay.token", admin: "forebay.admin-token" };
const ANSWER_WITHIN_MS = 10_000;

/** The server does not do what it was asked; `status` is 0 where it does not answer at all. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Session extends EventTarget {
  #tokens = { reader: null, admin: null };
  /** The server wants a token, and nobody has entered one: nothing is asked until then. */
  #blocked = false;
  /** The server did not know the token that there was. */
  #refused = false;

  constructor() {
    super();
    for (const role of Object.keys(STORED_AS)) this.#tokens[role] = stored(STORED_AS[role]);
  }

  get isBlocked() {
    return this.#blocked;
  }

  /** The token to read with, or `null`. */
  get token() {
    return this.#tokens.reader;
  }

  /** Whether there is a token that had the right to administer. */
  get hasAdmin() {
    return this.#tokens.admin !== null;
  }

  /** Keeps a token for `role`, "reader" or "admin"; `null` forgets it. */
  keep(role, token) {
    if (this.#tokens[role] === token) return;
    this.#tokens[role] = token;
    store(STORED_AS[role], token);
    if (role !== "reader") return;
    this.#blocked = false;
    this.dispatchEvent(new Event("changed"));
  }

  /** The server wants another token than it was given: none, if it had one, and then a person's. */
  need() {
    if (this.#tokens.reader !== null) {
      this.#refused = true;
      this.keep("reader", null);
      return;
    }
    if (this.#blocked) return;
    this.#blocked = true;
    const refused = this.#refused;
    this.#refused = false;
    this.dispatchEvent(new CustomEvent("needed", { detail: { refused } }));
  }

  /**
   * What is at `path`, as JSON. An error status is a `Refusal`, but for those in `answers`; one for
   * want of a token is told to the page besides.
   */
  async read(path, { answers = [], signal } = {}) {
    if (this.#blocked) throw new Refusal(401, "a token is needed");
    const token = this.#tokens.reader;
    const response = await send("GET", path, { token, signal });
    if (response.status === 401 && token === this.#tokens.reader) this.need();
    if (!response.ok && !answers.includes(response.status)) throw await refusalOf(response);
    return response.json();
  }

  /** Asks for what only an administrator may; the answer as JSON, `null` where there is none. */
  async administer(method, path, body) {
    return this.#answer(await send(method, path, { token: this.#tokens.admin, body }));
  }

  /** Whether the server takes this token for `path`; if not, a `Refusal` says why. */
  async check(token, path) {
    return this.#answer(await send("GET", path, { token }));
  }

  async #answer(response) {
    if (!response.ok) throw await refusalOf(response);
    const text = await response.text();
    return text ? JSON.parse(text) : null;
  }
}

async function send(method, path, { token, body, signal }) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const limits = [AbortSignal.timeout(ANSWER_WITHIN_MS), ...(signal ? [signal] : [])];
  try {
    return await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.any(limits),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(0, "the server does not answer");
  }
}

/** What an answer with an error status says is wrong (RFC 9457). */
async function refusalOf(response) {
  let told = null;
  try {
    told = await response.json();
  } catch {
    // Not every status comes with words.
  }
  const words = told?.detail ?? told?.error ?? `the server answered with status ${response.status}`;
  const mistakes = Array.isArray(told?.mistakes) ? told.mistakes.map(String) : [];
  return new Refusal(response.status, [words, ...mistakes].join(": "));
}

function stored(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

function store(name, token) {
  try {
    if (token === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, token);
  } catch {
    // The token then lasts as long as the page.
  }
}
