// A thousand agents: a subscription with patches to their states, at the pace that is chosen, and
// one to their alarms, at once. They are drawn on a canvas, those that matter most are in a list,
// and actions change an agent for everybody who looks on.

const WORLD_M = 1000;
const ROWS_MAX = 40;
const NOTIFICATIONS_MAX = 50;
const ORDER = { alarm: 0, stopped: 1, charging: 2, moving: 3 };
const DELAY_MS = { first: 500, most: 10_000 };

const byId = (id) => document.getElementById(id);
/** What is known of each agent, by its source: `{ state, rev }`. */
const agents = new Map();
/** The sources of those in alarm. */
const alarms = new Set();
const rows = new Map();
const counted = { changes: 0, bytes: 0 };
let socket = null;
let attempts = 0;
let actions = 0;
let chosen = null;

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws`, ["forebay.v1.json"]);
  socket.onmessage = (event) => {
    counted.bytes += event.data.length;
    receive(JSON.parse(event.data));
  };
  socket.onclose = () => {
    show("reconnecting");
    // A random part, so that pages that lost the same server do not come back at once.
    const delay = Math.min(DELAY_MS.first * 2 ** attempts, DELAY_MS.most);
    attempts += 1;
    setTimeout(connect, delay * (0.5 + Math.random() / 2));
  };
}

function show(state) {
  byId("connection").dataset.state = state;
  byId("connection").textContent = state;
}

function send(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function subscribe() {
  const min_interval_ms = Number(byId("pace").value);
  send({ type: "subscribe", id: "agents", channel: "agents", deltas: true, min_interval_ms });
}

function receive(message) {
  switch (message.type) {
    case "welcome":
      attempts = 0;
      document.body.dataset.connection = message.connection_id;
      show("live");
      send({ type: "subscribe", id: "alarms", channel: "alarms" });
      return subscribe();
    case "snapshot":
      if (message.id === "alarms") alarms.clear();
      else agents.clear();
      document.body.dataset.alarmsHeard = 0;
    // What follows is as in an update.
    case "update":
      if (message.id === "alarms") return alarmed(message);
      return changed(message.changes);
    case "action_result":
      return say(message.ok ? `Done: ${message.value.name}.` : message.error);
    case "error":
      return say(message.message);
    case "notification":
      return notify(message);
  }
}

function changed(changes) {
  counted.changes += changes.length;
  for (const change of changes) {
    const known = agents.get(change.source);
    if (change.patch === undefined) {
      agents.set(change.source, { state: change.value, rev: change.rev });
    } else if (known?.rev === change.base) {
      known.state = merged(known.state, change.patch);
      known.rev = change.rev;
    } else {
      return subscribe();
    }
  }
  soon();
}

function alarmed({ type, changes }) {
  for (const { source, value } of changes) {
    if (value.raised) alarms.add(source);
    else alarms.delete(source);
    // Those of the snapshot are old news.
    if (type === "update" && value.raised) {
      document.body.dataset.alarmsHeard = Number(document.body.dataset.alarmsHeard) + 1;
    }
  }
  soon();
}

/** An alarm may be known before the state, which comes at the pace that was chosen. */
function statusOf(source, state) {
  return alarms.has(source) ? "alarm" : state.status;
}

/** A merge patch, RFC 7396. */
function merged(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const isObject = target !== null && typeof target === "object" && !Array.isArray(target);
  const result = isObject ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

function act(name, target, params) {
  actions += 1;
  send({ type: "action", id: `${name}-${actions}`, name, target, params });
}

function say(text) {
  byId("said").textContent = text;
}

function notify({ message, timestamp }) {
  const item = document.createElement("li");
  item.textContent = `${new Date(timestamp / 1000).toLocaleTimeString()} ${message}`;
  const list = byId("notifications");
  list.prepend(item);
  if (list.children.length > NOTIFICATIONS_MAX) list.lastChild.remove();
}

let isDue = false;
/** Draws once per frame of the screen, however many messages came. */
function soon() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    draw();
    list();
  });
}

function draw() {
  const canvas = byId("map");
  const pen = canvas.getContext("2d");
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const colours = dark
    ? { moving: "#58bfd3", charging: "#e5b04f", stopped: "#8fa5ad", alarm: "#ff8a80" }
    : { moving: "#14788f", charging: "#99600c", stopped: "#566a73", alarm: "#b3302c" };
  const scale = canvas.width / WORLD_M;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  // Alarms last, so that nothing lies over them.
  for (const status of ["moving", "stopped", "charging", "alarm"]) {
    const radius = status === "alarm" ? 9 : 3;
    pen.fillStyle = colours[status];
    pen.beginPath();
    for (const [source, { state }] of agents) {
      if (statusOf(source, state) !== status) continue;
      const [x, y] = [state.x * scale, state.y * scale];
      const size = source === chosen ? radius + 4 : radius;
      pen.moveTo(x + size, y);
      pen.arc(x, y, size, 0, 2 * Math.PI);
    }
    pen.fill();
  }
}

/** The agents that matter most: alarms, then what stands, then by number. */
function list() {
  const wanted = byId("find").value.trim().toLowerCase();
  const fits = ([source, { state }]) =>
    !wanted || source.includes(wanted) || state.name.toLowerCase().includes(wanted);
  const first = [...agents].filter(fits).sort(
    ([one, { state: a }], [other, { state: b }]) =>
      ORDER[statusOf(one, a)] - ORDER[statusOf(other, b)] || (one < other ? -1 : 1),
  );
  const shown = first.slice(0, ROWS_MAX);
  const sources = new Set(shown.map(([source]) => source));
  for (const [source, row] of rows) {
    if (!sources.has(source)) {
      row.remove();
      rows.delete(source);
    }
  }
  shown.forEach(([source, { state }], index) => {
    const row = rows.get(source) ?? made(source);
    fill(row, state, statusOf(source, state));
    const list = byId("list");
    // What is in its place stays: a button that is about to be clicked does not move.
    if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
  });
  const moving = [...agents].filter(([source, { state }]) => statusOf(source, state) === "moving");
  byId("count").textContent = agents.size;
  byId("moving").textContent = moving.length;
  byId("alarms").textContent = alarms.size;
}

function made(source) {
  const row = document.createElement("li");
  row.dataset.source = source;
  const add = (kind, part) => {
    const element = document.createElement(kind);
    element.dataset.part = part;
    row.append(element);
    return element;
  };
  const name = add("button", "name");
  name.className = "name";
  name.onclick = () => choose(source);
  add("span", "status");
  add("span", "battery");
  for (const order of ["stop", "resume"]) {
    const button = add("button", order);
    button.textContent = order;
    button.onclick = () => act(order, source);
  }
  rows.set(source, row);
  return row;
}

function fill(row, state, status) {
  const part = (name) => row.querySelector(`[data-part=${name}]`);
  const set = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  row.dataset.status = status;
  row.dataset.x = state.x;
  row.dataset.y = state.y;
  set(part("name"), state.name);
  set(part("status"), status);
  set(part("battery"), `${Math.round(state.battery)} %`);
  for (const order of ["stop", "resume"]) {
    const label = `${order} ${state.name}`;
    if (part(order).ariaLabel !== label) part(order).ariaLabel = label;
  }
}

function choose(source) {
  chosen = source;
  byId("chosen").textContent = source;
  byId("name").value = agents.get(source).state.name;
  byId("name").focus();
  soon();
}

byId("pace").onchange = subscribe;
byId("find").oninput = soon;
byId("rename").onsubmit = (event) => {
  event.preventDefault();
  if (chosen) act("rename", chosen, { name: byId("name").value });
  else say("Choose an agent first.");
};
setInterval(() => {
  byId("rate").textContent = counted.changes;
  byId("kilobytes").textContent = Math.round(counted.bytes / 1000);
  counted.changes = 0;
  counted.bytes = 0;
}, 1000);
connect();
