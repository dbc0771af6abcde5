// What the suites share; the same course as that of the Python suites: directly against the mock
// upstream, through the gateway, then without a policy server.
"use strict";

const { createRequire } = require("node:module");
const path = require("node:path");

// Packages of the set that is tested.
const load = createRequire(path.join(process.env.PACKAGES, "package.json"));

let passed = 0;

class Side {
  constructor(direct) {
    this.direct = direct;
    this.base = direct ? process.env.UPSTREAM : process.env.GATEWAY;
  }

  // A key from the environment. The mock upstream takes anything.
  key(name = "GOOD_KEY") {
    return this.direct ? "sk-anything" : process.env[name];
  }
}

// Counts requests that leave a client; give `fetch` to it.
class Attempts {
  constructor() {
    this.count = 0;
    this.fetch = (url, init) => {
      this.count += 1;
      return fetch(url, init);
    };
  }
}

function check(condition, what) {
  if (!condition) {
    const text = what instanceof Error ? what : JSON.stringify(what);
    throw new Error(`not so: ${text}`);
  }
  passed += 1;
}

function same(found, expected, what = found) {
  check(JSON.stringify(found) === JSON.stringify(expected), { found, expected, what });
}

// The exception of a call, which must be of exactly this class.
async function raised(kind, call) {
  const begun = Date.now();
  let error;
  try {
    await call();
  } catch (caught) {
    error = caught;
  }
  check(error !== undefined, `no ${kind.name}`);
  check(error.constructor === kind, error);
  error.waited = (Date.now() - begun) / 1000;
  return error;
}

// The header with which the mock upstream is told to fail.
function fault(words) {
  return { headers: { "x-mock-fault": words } };
}

function header(error, name) {
  const headers = error.headers;
  return typeof headers.get === "function" ? headers.get(name) : headers[name];
}

async function collect(stream) {
  const items = [];
  for await (const item of await stream) items.push(item);
  return items;
}

async function main(suite, away) {
  try {
    for (const direct of [true, false]) await suite(new Side(direct));
    console.log("served");
    await new Promise((resolve) => process.stdin.once("data", resolve).once("end", resolve));
    await away(new Side(false));
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
  console.log(`${passed} checks passed`);
  process.exit(0);
}

module.exports = { Attempts, check, collect, fault, header, load, main, raised, same };
