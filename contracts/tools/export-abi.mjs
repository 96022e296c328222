#!/usr/bin/env node
// Writes abi/<Name>.json = {"abi": [...], "bytecode": "0x..."} from forge's out/, for every deployable contract
// and every interface under src/. Interfaces have bytecode "0x".
// With --check nothing is written and the exit status is 1 when a committed file is stale.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const check = process.argv.includes("--check");
const out = join(root, "out");
const target = join(root, "abi");

function artifacts() {
  const found = new Map();
  for (const folder of readdirSync(out).filter((name) => name.endsWith(".sol"))) {
    for (const file of readdirSync(join(out, folder)).filter((name) => name.endsWith(".json"))) {
      const artifact = JSON.parse(readFileSync(join(out, folder, file), "utf8"));
      const entry = Object.entries(artifact.metadata?.settings?.compilationTarget ?? {})[0];
      if (!entry || !entry[0].startsWith("src/") || artifact.abi.length === 0) continue;
      // forge keeps the artifacts of deleted sources: skip them
      if (!existsSync(join(root, entry[0]))) continue;
      const object = artifact.bytecode?.object ?? "0x";
      if (object.includes("__$")) throw new Error(`${entry[1]} needs linking; use internal libraries only`);
      if (entry[0].startsWith("src/libraries/")) continue;
      if (object === "0x" && !entry[0].startsWith("src/interfaces/")) continue;
      found.set(entry[1], { abi: artifact.abi, bytecode: object });
    }
  }
  return found;
}

const found = artifacts();
if (found.size === 0) throw new Error("no artifacts under out/: run `forge build` first");
if (!check) mkdirSync(target, { recursive: true });

let stale = 0;
for (const [name, value] of [...found].sort(([a], [b]) => (a < b ? -1 : 1))) {
  const path = join(target, `${name}.json`);
  const text = `${JSON.stringify(value)}\n`;
  if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
  if (check) {
    stale += 1;
    console.error(`stale: abi/${name}.json`);
  } else {
    writeFileSync(path, text);
    console.log(`wrote abi/${name}.json`);
  }
}
for (const file of existsSync(target) ? readdirSync(target) : []) {
  if (!file.endsWith(".json") || found.has(file.slice(0, -5))) continue;
  if (check) {
    stale += 1;
    console.error(`no source: abi/${file}`);
  } else {
    rmSync(join(target, file));
    console.log(`removed abi/${file}`);
  }
}
if (stale) {
  console.error("run `make contracts` and commit the result");
  process.exitCode = 1;
}
