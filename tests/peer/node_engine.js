// The Node pico engine behind a small HTTP server, as tests/peer/node.py drives it.
//
//     node node_engine.js FOLDER RULESETS
//
// FOLDER has node_modules/pico-engine-core in it; its own server is not on npm in this version, so
// the routes here are Node's server and engine reference 5.1 to 5.5: JSON bodies, `_headers`,
// errors with status 200. RULESETS has .krl files. In: on each line one order as JSON. Out: for each
// line one answer, {"wrong": why} when it could not be done.
//
//     {do: "open", data, port}          an engine over a data folder, listening there: {}
//     {do: "install", name}             a ruleset on the root pico: {}
//     {do: "channel", tags}             a channel of the root pico that allows everything: {eci}
//     {do: "requests"}                  what came over HTTP since it was asked last: {requests}
const fs = require("fs");
const http = require("http");
const path = require("path");
const { createRequire } = require("module");

const [folder, rulesets] = process.argv.slice(2);
const load = createRequire(path.resolve(folder) + "/");
const { PicoEngineCore, RulesetRegistryLoaderMem } = load("pico-engine-core");

const JSON_BYTES_MAX = 100 * 1024;
const urlOf = (name) => `http://rulesets.invalid/${name}.krl`;
const root = () => core.picoFramework.rootPico;

let core = null;
let requests = [];

function quiet() {
  const nothing = () => {};
  const error = (...said) => console.error(...said);
  const log = { debug: nothing, error, warn: nothing, info: nothing, klog: nothing, child: () => log };
  return log;
}

// --- Routes --------------------------------------------------------------------------------------

async function answer(request, body, record) {
  const url = new URL(request.url, "http://localhost");
  const parts = url.pathname.split("/").slice(1).map(decodeURIComponent);
  const attrs = Object.fromEntries(url.searchParams);
  if (body.length && /^application\/json/.test(request.headers["content-type"] || "")) {
    if (body.length > JSON_BYTES_MAX) {
      const error = new Error("request entity too large");
      error.name = "PayloadTooLargeError";
      throw error;
    }
    Object.assign(attrs, JSON.parse(body));
  }
  Object.assign(record, { url: request.url, headers: request.headers, attrs: { ...attrs } });
  attrs._headers = request.headers;
  const event = (eci, domain, name) => ({ eci, domain, name, data: { attrs }, time: 0 });
  const [first, second, third, fourth, fifth] = parts;
  if (first === "c" && third === "event") return core.event(event(second, fourth, fifth));
  if (first === "c" && third === "event-wait") return core.eventWait(event(second, fourth, fifth));
  if (first === "c" && third === "query") return core.query({ eci: second, rid: fourth, name: fifth, args: attrs });
  if (first === "sky" && second === "event" && parts.length === 6) {
    if (fourth !== "none" && attrs.__eid === undefined) attrs.__eid = fourth;
    return core.eventWait(event(third, fifth, parts[5]));
  }
  return undefined;
}

function serve(request, response) {
  const pieces = [];
  const record = { at: performance.timeOrigin + performance.now(), method: request.method };
  requests.push(record);
  const reply = (status, type, text) => {
    Object.assign(record, { status, body: text });
    response.writeHead(status, { "content-type": type });
    response.end(text);
  };
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () =>
    answer(request, Buffer.concat(pieces), record).then(
      (value) => {
        if (value === undefined) {
          const text = `<pre>Cannot ${request.method} ${request.url}</pre>`;
          return reply(404, "text/html; charset=utf-8", text);
        }
        const moved = (value.directives || []).find((each) => each.name === "_redirect");
        if (moved && request.url.startsWith("/sky/")) {
          record.status = 302;
          response.writeHead(302, { location: moved.options.url });
          return response.end(`Found. Redirecting to ${moved.options.url}`);
        }
        return reply(200, "application/json; charset=utf-8", JSON.stringify(value));
      },
      (error) => reply(200, "application/json; charset=utf-8", JSON.stringify({ error: String(error) }))
    )
  );
}

// --- Orders --------------------------------------------------------------------------------------

async function open({ data, port }) {
  fs.mkdirSync(data, { recursive: true });
  const read = async (url) =>
    fs.readFileSync(path.join(rulesets, decodeURI(url.split("/").pop())), "utf8");
  core = new PicoEngineCore({
    leveldown: load("leveldown")(path.join(data, "db")),
    rsRegLoader: RulesetRegistryLoaderMem(read),
    log: quiet(),
    getPicoLogs: async () => [],
    base_url: `http://127.0.0.1:${port}`,
  });
  // As the engine's own server does: who asks earlier would hear that there are no such picos.
  await core.start();
  const server = http.createServer(serve);
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {};
}

async function install({ name }) {
  const { ruleset } = await core.rsRegistry.load(urlOf(name));
  await root().install(ruleset, { url: urlOf(name), config: {} });
  return {};
}

async function channel({ tags }) {
  const made = await root().newChannel({
    tags,
    eventPolicy: { allow: [{ domain: "*", name: "*" }], deny: [] },
    queryPolicy: { allow: [{ rid: "*", name: "*" }], deny: [] },
  });
  return { eci: made.id };
}

const ORDERS = {
  open,
  install,
  channel,
  async requests() {
    const found = requests;
    requests = [];
    return { requests: found };
  },
};

(async () => {
  for await (const line of require("readline").createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    let said;
    try {
      said = await ORDERS[order.do](order);
    } catch (error) {
      said = { wrong: String(error) };
    }
    console.log(JSON.stringify(said));
  }
  process.exit(0);
})();
