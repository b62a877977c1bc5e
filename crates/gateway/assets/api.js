// The page of the interface: lists what /api/openapi.json describes, and tries what only reads.
// Text goes into the page as text alone, and an answer is read up to a limit, so an export that
// never ends does no harm.

const SHOWN_MAX = 20_000;
const METHODS = ["get", "post", "put", "delete"];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function cells(...texts) {
  const [head, ...rest] = texts;
  const row = element("tr", {}, element("th", { scope: "row" }, head));
  for (const text of rest) row.append(element("td", {}, text));
  return row;
}

function table(caption, rows) {
  return element("table", {}, element("caption", {}, caption), element("tbody", {}, ...rows));
}

/** What a schema is, in a word. */
function kind(schema = {}) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.type === "array") return `array of ${kind(schema.items)}`;
  return [schema.type ?? "JSON"].flat().filter((word) => word !== "null").join(" or ");
}

/** The fields of a schema of the description, those it takes over from others included. */
function fields(description, schema = {}) {
  if (schema.$ref) return fields(description, description.components.schemas[kind(schema)]);
  const own = Object.entries(schema.properties ?? {});
  const taken = [schema.allOf, schema.oneOf].flatMap((parts) => parts ?? []);
  return taken.flatMap((part) => fields(description, part)).concat(own);
}

function answers(description, operation) {
  return Object.entries(operation.responses).map(([status, response]) => {
    const bodies = Object.entries(response.content ?? {});
    const types = bodies.map(([type, body]) => {
      const names = fields(description, body.schema).map(([name]) => name);
      return names.length ? `${type}: ${names.join(", ")}` : type;
    });
    return cells(status, response.description, types.join("; "));
  });
}

/** The beginning of an answer, without waiting for its end. */
async function beginning(response) {
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  let text = "";
  while (reader && text.length < SHOWN_MAX) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += decoder.decode(value, { stream: true });
  }
  await reader?.cancel();
  return `${text.slice(0, SHOWN_MAX)}\n…`;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The address that a form asks for. */
function address(path, inputs) {
  const query = new URLSearchParams();
  let filled = path;
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") {
      filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    } else if (parameter.in === "query" && input.value) {
      query.set(parameter.name, input.value);
    }
  }
  return query.size ? `${filled}?${query}` : filled;
}

function form(path, inputs) {
  const shown = element("pre", { hidden: "", tabindex: "0", "aria-live": "polite" });
  const made = element("form", {}, element("button", {}, "Try it"), shown);
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    const asked = address(path, inputs);
    const token = document.querySelector("#token").value.trim();
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    shown.hidden = false;
    shown.textContent = `GET ${asked}\n…`;
    try {
      const response = await fetch(asked, { headers });
      const text = pretty(await beginning(response));
      shown.textContent = `GET ${asked}\n${response.status} ${response.statusText}\n\n${text}`;
    } catch (error) {
      shown.textContent = `GET ${asked}\n${error.message}`;
    }
  });
  return made;
}

function operationOf(description, path, method, operation) {
  const inputs = (operation.parameters ?? []).map((parameter) => {
    const name = `${parameter.name} for ${method} ${path}`;
    const input = element("input", { "aria-label": name, spellcheck: "false" });
    if (parameter.required) input.required = true;
    return { parameter, input };
  });
  const tried = method === "get" && !path.startsWith("/ws");
  const rows = inputs.map(({ parameter, input }) => {
    const need = parameter.required ? "" : ", optional";
    const said = `${parameter.in}, ${kind(parameter.schema)}${need}`;
    return cells(parameter.name, said, parameter.description ?? "", tried ? input : "");
  });
  const body = element("div");
  if (operation.description) body.append(element("p", {}, operation.description));
  if (rows.length) body.append(table("Parameters", rows));
  const sent = Object.keys(operation.requestBody?.content ?? {});
  if (sent.length) {
    body.append(element("p", {}, `Body: ${sent.join(" or ")}`));
  }
  body.append(table("Answers", answers(description, operation)));
  if (tried) {
    const made = form(path, inputs);
    const id = `try ${path}`.replace(/[^a-z]+/gi, "-");
    made.id = id;
    for (const { input } of inputs) input.setAttribute("form", id);
    body.append(made);
  }
  const summary = element(
    "summary",
    {},
    element("span", { class: "method", "data-method": method }, method.toUpperCase()),
    element("code", {}, path),
    element("span", {}, operation.summary ?? ""),
  );
  return element("details", { class: "operation" }, summary, body);
}

async function show() {
  const about = document.querySelector("#about");
  const response = await fetch("/api/openapi.json");
  if (!response.ok) throw new Error(`the description cannot be read: ${response.status}`);
  const description = await response.json();
  about.textContent = description.info.description;
  const operations = Object.entries(description.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => [path, method, item[method]]),
  );
  const main = document.querySelector("#operations");
  for (const { name, description: text } of description.tags) {
    const small = element("small", {}, text ?? "");
    main.append(element("h2", {}, `${name} `, small));
    for (const [path, method, operation] of operations) {
      if (operation.tags?.includes(name)) {
        main.append(operationOf(description, path, method, operation));
      }
    }
  }
}

show().catch((error) => {
  document.querySelector("#about").textContent = error.message;
});
