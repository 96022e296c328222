// `--version` answers from the installed package (loading the WASM module would take most of a second),
// `--standard-json` reads a compiler input on stdin and writes the output on stdout.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(import.meta.url);
const args = process.argv.slice(2);

if (args.includes("--version")) {
  const { version } = require("solc/package.json");
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${version}+commit.00000000.Emscripten.clang\n`);
} else if (args.includes("--standard-json")) {
  const solc = require("solc");
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  process.stderr.write(`solc-shim: unsupported arguments ${JSON.stringify(args)}\n`);
  process.exitCode = 2;
}
