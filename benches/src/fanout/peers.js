// The peers of Node: `ws` and Socket.IO, as their documentation has them, published from inside.
//
// usage: node peers.js ws|socketio
// It speaks with the benchmark as the other servers do: see plan.rs.
"use strict";

const http = require("http");
const readline = require("readline");

const nowUs = () => Number(process.hrtime.bigint() / 1000n);
const digits = (number) => String(number).padStart(16, "0");

/** Updates in the order in which they are due. */
function* updates(plan) {
  let next = 0;
  let nextCritical = 0;
  for (;;) {
    const normal = plan.start_us + next * plan.interval_us;
    const critical = plan.start_us + nextCritical * plan.critical_interval_us;
    if (nextCritical < plan.critical_count && (critical <= normal || next === plan.count)) {
      nextCritical += 1;
      yield { atUs: critical, agent: plan.agents + (nextCritical % plan.agents), mark: "!" };
    } else if (next < plan.count) {
      yield { atUs: normal, agent: next % plan.agents, mark: "=" };
      next += 1;
    } else {
      return;
    }
  }
}

/** One update as an object that is as long in JSON as all others. */
function update(due, bytes) {
  const object = {
    source: `agent-${String(due.agent).padStart(3, "0")}`,
    tag: "state",
    timestamp: Date.now() * 1000,
    value: { at: `@${due.mark}${digits(due.atUs)}`, pad: "" },
    quality: "good",
    priority: due.mark === "!" ? "critical" : "normal",
  };
  // All of it is ASCII.
  object.value.pad = "x".repeat(bytes - JSON.stringify(object).length);
  return object;
}

function plain(server) {
  const { WebSocketServer } = require("ws");
  const sockets = new WebSocketServer({ server, path: "/ws" });
  return (object) => {
    // Encoded once for all.
    const text = Buffer.from(JSON.stringify(object));
    for (const client of sockets.clients) {
      if (client.readyState === 1) client.send(text, { binary: false });
    }
  };
}

function socketIo(server) {
  const { Server } = require("socket.io");
  const sockets = new Server(server, { transports: ["websocket"], serveClient: false });
  return (object) => sockets.emit("update", object);
}

const server = http.createServer((request, response) => response.writeHead(404).end());
const publish = (process.argv[2] === "ws" ? plain : socketIo)(server);

/** Publishes all that is due, as often as timers come. */
function follow(plan) {
  const all = updates(plan);
  let { value: due } = all.next();
  const publishDue = () => {
    const now = nowUs();
    while (due && due.atUs <= now) {
      publish(update(due, plan.bytes));
      due = all.next().value;
    }
    if (due) setTimeout(publishDue, Math.max(0, (due.atUs - nowUs()) / 1000));
  };
  publishDue();
}

server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 }, () => {
  console.log(JSON.stringify({ port: server.address().port }));
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", (line) => follow(JSON.parse(line)));
  lines.on("close", () => process.exit(0));
});
