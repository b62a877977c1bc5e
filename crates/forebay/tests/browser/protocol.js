(async () => {
  const { Connection } = await import("/assets/connection.js");
  const real = { WebSocket: window.WebSocket, now: performance.now, random: Math.random };
  let clock = performance.now();
  performance.now = () => clock;
  /** A socket whose server is this script. */
  class Socket {
    static last = null;
    sent = [];
    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      Socket.last = this;
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close() {
      this.closed = true;
    }
    say(message) {
      this.onmessage({ data: JSON.stringify(message) });
    }
    /** What the page said since this was asked last. */
    heard() {
      return this.sent.splice(0);
    }
  }
  window.WebSocket = Socket;
  const said = {};
  const events = [];
  let token = "one";
  const connection = new Connection("ws://example.test/ws", () => token);
  for (const type of ["changes", "removed", "reset", "denied", "refused", "welcome"]) {
    connection.addEventListener(type, () => events.push(type));
  }
  try {
    connection.connect();
    let socket = Socket.last;
    said.protocols = socket.protocols;
    said.url = socket.url;
    socket.onopen();
    said.hello = socket.heard();
    connection.subscribe("c", { keys: ["a/*"], extract: { kind: "since_last" } });
    said.beforeWelcome = socket.heard();
    socket.say({ type: "welcome", instance: "i1", connection_id: 7, timestamp: 1 });
    said.subscribed = socket.heard();
    said.id = connection.id;
    socket.say({ type: "snapshot", id: "c", seq: 5, changes: [] });

    // A pong that is ahead means nothing while frames come, and a gap once they do not.
    socket.say({ type: "pong", seq: 9, timestamp: 1 });
    said.ahead = socket.heard();
    clock += 5_001;
    socket.say({ type: "pong", seq: 5, timestamp: 1 });
    said.equal = socket.heard();
    socket.say({ type: "pong", seq: 9, timestamp: 1 });
    said.gap = socket.heard();
    socket.say({ type: "update", id: "c", seq: 9, resumed: true, changes: [] });
    said.ageAfterNothing = Math.round(connection.dataAge * 1000);
    clock += 5_001;
    socket.say({ type: "pong", seq: 12, timestamp: 1 });
    said.notSoSoon = socket.heard();
    clock += 5_001;
    socket.say({ type: "pong", seq: 12, timestamp: 1 });
    said.later = socket.heard();
    // While nobody sees the page the server is silent on purpose.
    connection.setSeen(false);
    clock += 120_000;
    said.paused = socket.heard();
    socket.say({ type: "pong", seq: 40, timestamp: 1 });
    said.unseen = socket.heard();
    connection.setSeen(true);
    said.unpaused = socket.heard();

    // Keys that are gone, and a state that cannot be continued.
    socket.say({ type: "removed", id: "c", seq: 13, keys: [{ source: "a", tag: "b" }] });
    socket.say({ type: "reset", id: "c", reason: "the server is another one" });
    socket.say({ type: "no such type" });
    Math.random = () => 0.25;
    socket.onclose({ code: 1006 });
    said.firstWait = connection.retryAt - clock;
    connection.connect();
    socket = Socket.last;
    socket.onopen();
    socket.say({ type: "welcome", instance: "i2", connection_id: 8, timestamp: 1 });
    said.anew = socket.heard();
    socket.say({ type: "snapshot", id: "c", seq: 2, changes: [] });
    socket.onclose({ code: 1001 });
    said.secondWait = connection.retryAt - clock;
    connection.connect();
    socket = Socket.last;
    token = null;
    socket.onopen();
    socket.say({ type: "welcome", instance: "i2", connection_id: 9, timestamp: 1 });
    said.resumed = socket.heard();
    socket.onclose({ code: 4401 });
    said.retryAfterDenial = connection.retryAt;
    said.events = events;
    return said;
  } finally {
    connection.rest();
    window.WebSocket = real.WebSocket;
    performance.now = real.now;
    Math.random = real.random;
  }
})()
