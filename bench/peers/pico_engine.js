// The Node pico engine as bench/peer.py drives it: one engine, one workload, orders by lines.
//
//     node --expose-gc pico_engine.js FOLDER RULESETS
//
// FOLDER has node_modules/pico-engine-core in it, RULESETS the benchmark's .krl files. In: on each
// line one order as JSON. Out: for each line one answer, {"wrong": why} when work was not done right.
//
//     {do: "open", data, storage, plan}   an engine in a new folder, made ready for a plan; {}
//     {do: "run", count, flight}          {per_second, cpu_us, p50_us, p99_us, rss_mb}
//     {do: "verify"}                      what is left behind is right: {}
//     {do: "serve"}                       HTTP on a free port of loopback: {port, ecis}
//     {do: "start-up", data}              open a folder that has picos: {open_ms, picos, rss_mb}
//     {do: "close"}                       {}
//
// Every answer of the engine is checked within the measured stretch. CPU is that of all threads, so
// LevelDB's and the collector's too. Logging is off. What a plan holds: bench/plans.py.
const fs = require("fs");
const http = require("http");
const path = require("path");
const { createRequire } = require("module");

const [folder, rulesets] = process.argv.slice(2);
const load = createRequire(path.resolve(folder) + "/");
const { PicoEngineCore, RulesetRegistryLoaderMem } = load("pico-engine-core");

const OPEN = {
  eventPolicy: { allow: [{ domain: "*", name: "*" }], deny: [] },
  queryPolicy: { allow: [{ rid: "*", name: "*" }], deny: [] },
};
const urlOf = (name) => `http://rulesets.invalid/${name}.krl`;
const nowUs = () => Number(process.hrtime.bigint()) / 1000;
const residentMb = () => process.memoryUsage().rss / 1048576;

class Wrong extends Error {}
const insist = (isRight, what) => {
  if (!isRight) throw new Wrong(what);
};

// --- The engine ----------------------------------------------------------------------------------

// Transactions that have ended, and who waits for how many.
const ended = { count: 0, failed: null, wanted: Infinity, tell: null };

function quiet() {
  const nothing = () => {};
  const debug = (name, about) => {
    if (name !== "txnDone" && name !== "txnError") return;
    ended.count += 1;
    if (name === "txnError") ended.failed = about.error;
    if (ended.count >= ended.wanted && ended.tell) ended.tell();
  };
  const error = (name, about) => {
    ended.failed = ended.failed || `${name} ${about && about.error}`;
  };
  const log = { debug, error, warn: nothing, info: nothing, klog: nothing, child: () => log };
  return log;
}

let core = null;
const framework = () => core.picoFramework;

async function start(storage, data, useEventInputTime) {
  const leveldown =
    storage === "memory" ? load("memdown")() : load("leveldown")(path.join(data, "db"));
  const read = async (url) =>
    fs.readFileSync(path.join(rulesets, decodeURI(url.split("/").pop())), "utf8");
  core = new PicoEngineCore({
    leveldown,
    rsRegLoader: RulesetRegistryLoaderMem(read),
    log: quiet(),
    getPicoLogs: async () => [],
    useEventInputTime,
  });
  await core.start();
}

const compiled = async (name) => (await core.rsRegistry.load(urlOf(name))).ruleset;
const settings = (name) => ({ url: urlOf(name), config: {} });
const channel = async (pico) => (await pico.newChannel({ tags: ["bench"], ...OPEN })).id;

async function install(name) {
  await framework().rootPico.install(await compiled(name), settings(name));
}

async function child(name) {
  const rs = await compiled(name);
  const family = await framework().rootPico.newPico({
    rulesets: [{ rs, config: settings(name) }],
  });
  return framework().getPico(family);
}

const send = (eci, domain, name, attrs, time) =>
  core.eventWait({ eci, domain, name, data: { attrs }, time });
const query = (eci, rid, name, args) => core.query({ eci, rid, name, args });

// --- Subjects: each has start(), which does one operation and checks it; and verify() ------------

function problemOf(answer, expected) {
  const got = answer.directives;
  if (got.length === expected.length) {
    let at = 0;
    for (; at < got.length; at++) {
      const options = JSON.stringify(got[at].options || {});
      if (got[at].name !== expected[at][0] || options !== expected[at][1]) break;
    }
    if (at === got.length) return;
  }
  const shown = JSON.stringify(got).slice(0, 300);
  throw new Wrong(`an event was answered with ${shown}, and should have ${expected}`);
}

async function events(plan) {
  let ecis;
  if (plan.picos) {
    ecis = [];
    for (let made = 0; made < plan.picos; made++) ecis.push(await channel(await child(plan.ruleset)));
  } else {
    await install(plan.ruleset);
    ecis = [await channel(framework().rootPico)];
  }
  for (const [domain, name, attrs] of plan.before || []) {
    for (const eci of ecis) await send(eci, domain, name, attrs, 0);
  }
  const requests = plan.requests.map((each) => ({
    ...each,
    expected: each.expected.map(([name, options]) => [name, JSON.stringify(options)]),
  }));
  let count = 0;
  return {
    ecis,
    async start() {
      const number = count++;
      const { domain, name, attrs, expected } = requests[number % requests.length];
      const eci = ecis[number % ecis.length];
      problemOf(await send(eci, domain, name, attrs, 1700000000000 + number), expected);
    },
    async verify() {
      if (!plan.counter) return;
      let sum = 0;
      for (const eci of ecis) sum += (await query(eci, ...plan.counter, {})) || 0;
      insist(sum === count, `the counters sum up to ${sum}, and should to ${count}`);
    },
  };
}

async function queries(plan) {
  await install(plan.ruleset);
  const eci = await channel(framework().rootPico);
  for (const [domain, name, attrs] of plan.before) await send(eci, domain, name, attrs, 0);
  const ask = () => query(eci, plan.ruleset, plan.name, plan.args);
  const wanted = JSON.stringify(plan.value);
  const first = JSON.stringify(await ask());
  insist(first === wanted, `a query was answered with ${first.slice(0, 300)}`);
  // The whole answer was compared once; each of the others has to have as many entries.
  const size = Object.keys(plan.value).length;
  return {
    ecis: [eci],
    async start() {
      const got = await ask();
      insist(got && Object.keys(got).length === size, "a query was answered with something else");
    },
    async verify() {},
  };
}

// One operation makes picos send to each other; it is over when so many transactions have ended.
function cascade(begin, transactions, verify) {
  return {
    start: () =>
      new Promise((resolve, reject) => {
        ended.wanted = ended.count + transactions;
        ended.tell = () => {
          ended.tell = null;
          if (ended.failed) reject(new Wrong(`a transaction failed: ${ended.failed}`));
          else resolve();
        };
        begin().catch(reject);
      }),
    async verify() {
      // What was sent beside what should have been would still be on its way.
      const before = ended.count;
      await new Promise((resolve) => setTimeout(resolve, 50));
      insist(ended.count === before, `${ended.count - before} events more than there should be`);
      if (verify) await verify();
    },
  };
}

async function broadcast(plan) {
  await install("bench.controller");
  const picos = [];
  for (let made = 0; made < plan.kids; made++) picos.push(await child("bench.controlled"));
  const eci = await channel(framework().rootPico);
  let level = 0;
  const begin = () =>
    core.event({ eci, domain: "control", name: "broadcast", data: { attrs: { level: ++level } } });
  return cascade(begin, plan.kids + 1, async () => {
    for (const pico of picos) {
      const got = await pico.getEnt("bench.controlled", "level");
      insist(got === level, `a level is ${got}, and should be ${level}`);
    }
  });
}

async function ring(plan) {
  const ecis = [];
  for (let made = 0; made < plan.size; made++) ecis.push(await channel(await child("bench.ring")));
  for (let at = 0; at < plan.size; at++) {
    await send(ecis[at], "ring", "link", { next: ecis[(at + 1) % plan.size] }, 0);
  }
  const begin = () =>
    Promise.all(
      ecis.slice(0, plan.starts).map((eci) =>
        core.event({ eci, domain: "ring", name: "hop", data: { attrs: { left: plan.hops } } })
      )
    );
  return cascade(begin, plan.starts * plan.hops);
}

async function family(plan) {
  await install("bench.family");
  const eci = await channel(framework().rootPico);
  const attrs = { url1: urlOf("bench.hello"), url2: urlOf("bench.counter") };
  const made = [];
  const create = async () => {
    const { directives } = await send(eci, "family", "create", attrs, 0);
    insist(directives.length === 1 && directives[0].options.eci, "no child was created");
    made.push(directives[0].options.eci);
  };
  const remove = () => send(eci, "family", "delete", { eci: made.pop() }, 0);
  return {
    async prepare(count) {
      while (plan.deletes && made.length < count) await create();
    },
    start: plan.deletes ? remove : create,
    grows: !plan.deletes,
    async verify() {
      const there = framework().numberOfPicos();
      insist(there === made.length + 1, `${there} picos, and should be ${made.length + 1}`);
    },
  };
}

const SUBJECTS = { events, queries, broadcast, ring, family };

// --- Orders --------------------------------------------------------------------------------------

let subject = null;

async function stretch({ count, flight }) {
  if (subject.prepare) await subject.prepare(count);
  const waits = new Float64Array(count);
  let begun = 0;
  const lane = async () => {
    while (begun < count) {
      const number = begun++;
      const at = nowUs();
      await subject.start();
      waits[number] = nowUs() - at;
    }
  };
  const cpu = process.cpuUsage();
  const begin = nowUs();
  await Promise.all(Array.from({ length: Math.min(flight, count) }, lane));
  const wall = nowUs() - begin;
  const { user, system } = process.cpuUsage(cpu);
  waits.sort();
  // Where memory per pico is asked for, what is garbage must not count; not within the stretch.
  if (subject.grows) global.gc();
  const part = (share) => waits[Math.min(count - 1, Math.floor(count * share))];
  return {
    per_second: (count / wall) * 1e6,
    cpu_us: (user + system) / count,
    p50_us: part(0.5),
    p99_us: part(0.99),
    rss_mb: residentMb(),
  };
}

// The engine's own server is not on npm in this version: Node's server, and nothing but two routes.
async function serve() {
  const answer = async (request) => {
    const url = new URL(request.url, "http://localhost");
    const [, , eci, kind, first, second] = url.pathname.split("/").map(decodeURIComponent);
    const attrs = Object.fromEntries(url.searchParams);
    if (kind === "query") return query(eci, first, second, attrs);
    if (kind === "event") return core.event({ eci, domain: first, name: second, data: { attrs } });
    return send(eci, first, second, attrs, 0);
  };
  const server = http.createServer((request, response) => {
    const reply = (status, value) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(value === undefined ? null : value));
    };
    request.resume();
    answer(request).then(
      (value) => reply(200, value),
      (error) => reply(500, { error: String(error) })
    );
  });
  // While other sides are measured nobody asks; the connections are to stay.
  server.keepAliveTimeout = 0;
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: server.address().port, ecis: subject.ecis };
}

async function startUp({ data }) {
  const begin = nowUs();
  await start("disk", data, false);
  return { open_ms: (nowUs() - begin) / 1000, picos: framework().numberOfPicos(), rss_mb: residentMb() };
}

const ORDERS = {
  async open({ data, storage, plan }) {
    await start(storage, data, Boolean(plan.has_times));
    subject = await SUBJECTS[plan.kind](plan);
    return {};
  },
  run: stretch,
  async verify() {
    await subject.verify();
    return {};
  },
  serve,
  "start-up": startUp,
  async close() {
    await framework().db.close();
    return {};
  },
};

(async () => {
  for await (const line of require("readline").createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    let answer;
    try {
      answer = await ORDERS[order.do](order);
    } catch (error) {
      if (!(error instanceof Wrong)) console.error(error);
      answer = { wrong: error instanceof Wrong ? error.message : String(error) };
    }
    console.log(JSON.stringify(answer));
  }
  process.exit(0);
})();
