// The matcher's stream through `select-when` alone, for bench/matcher.py.
//
//     node select_when_stream.js FOLDER CYCLE
//
// FOLDER has node_modules/select-when in it; CYCLE is JSON, [[name, attributes], ...]. In: on each
// line how many events to send. Out: for each line {"cpu_us": all threads, "fired": {rule: times}}.
// Events are 1 ms apart by their own time, which is what `within` looks at.
const { createRequire } = require("module");
const { SelectWhen, e, then, before, count, any, within } =
  createRequire(process.argv[2] + "/")("select-when");
const cycle = JSON.parse(process.argv[3]);

const AMOUNT = /^(\d+)$/;
const SKU = /^([A-Z]{2})-(\d+)$/;
let fired = {};
const on = (name) => () => {
  fired[name] = (fired[name] || 0) + 1;
};
const isOrder = ({ data }, state) => {
  const amount = AMOUNT.exec(data.amount || "");
  const sku = amount && SKU.exec(data.sku || "");
  if (!sku) return { match: false };
  const setting = { amount: amount[1], kind: sku[1], num: sku[2] };
  return { match: true, state: { ...state, setting } };
};
const rules = new SelectWhen();
rules.when(then(e("ex:a"), e("ex:b")), on("a_then_b"));
rules.when(count(5, e("ex:tick")), on("count5"));
rules.when(any(2, e("ex:x"), e("ex:y"), e("ex:z")), on("any2of3"));
rules.when(within(5000, before(e("ex:p"), e("ex:q"))), on("p_before_q"));
rules.when(e("ex:order", isOrder), on("order"));

let sent = 0;
async function stretch(events) {
  fired = {};
  const begin = process.cpuUsage();
  for (let left = events; left > 0; left--) {
    const [name, data] = cycle[sent % cycle.length];
    await rules.send({ domain: "ex", name, data, time: 1700000000000 + sent++ });
  }
  const { user, system } = process.cpuUsage(begin);
  return { cpu_us: user + system, fired };
}

(async () => {
  for await (const line of require("readline").createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await stretch(Number(line))));
  }
})();
