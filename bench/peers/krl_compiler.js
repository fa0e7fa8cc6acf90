// `krl-compiler` alone, for bench/compile.py and bench/others.py.
//
//     node krl_compiler.js FOLDER
//
// FOLDER has node_modules/krl-compiler in it. In: on each line the path of a file. Out: for each line
// {"ms", "cpu_ms", "chars"}: the time to compile it, without reading it, and the length of the result.
const fs = require("fs");
const { createRequire } = require("module");
const compile = createRequire(process.argv[2] + "/")("krl-compiler");

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (path) => {
    const text = fs.readFileSync(path, "utf8");
    const cpu = process.cpuUsage();
    const start = process.hrtime.bigint();
    let answer;
    try {
      const { code } = compile(text);
      const ms = Number(process.hrtime.bigint() - start) / 1e6;
      const { user, system } = process.cpuUsage(cpu);
      answer = { ms, cpu_ms: (user + system) / 1000, chars: code.length };
    } catch (error) {
      answer = { wrong: String(error) };
    }
    console.log(JSON.stringify(answer));
  });
