// What Node sees in request bodies: reads each behind its length (4 bytes), answers in the same way.
//
// The first argument is the list of paths in JSON. Values are written as fuzz/src/agreement/view.rs says.
"use strict";

const fs = require("node:fs");

const PATHS = JSON.parse(process.argv[2]).map((path) => path.split("."));

function canonical(value) {
  if (value === null) return "null";
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    const isWhole = Number.isInteger(value) && Math.abs(value) < 1e37;
    return isWhole ? `i:${BigInt(value)}` : `f:${value}`;
  }
  if (typeof value === "string") return "s:" + Buffer.from(value, "utf8").toString("hex");
  return Array.isArray(value) ? "[]" : "{}";
}

function at(value, [name, ...rest]) {
  if (name === undefined) return canonical(value);
  if (name === "*") {
    if (!Array.isArray(value)) return undefined;
    return "[" + value.map((item) => at(item, rest) ?? "").join(",") + "]";
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) return undefined;
  // Inherited members count: that is what a program sees.
  return value[name] === undefined ? undefined : at(value[name], rest);
}

const text = (body) => new TextDecoder("utf-8").decode(body);

const PARSERS = {
  // The byte order mark is dropped, what is no UTF-8 replaced: what `Response.json` does.
  "node fetch": (body) => JSON.parse(text(body)),
  "node buffer": (body) => JSON.parse(body.toString("utf8")),
  "node latin1": (body) => JSON.parse(body.toString("latin1")),
  // Options laid over defaults, as programs do it.
  "node assigned": (body) => Object.assign({}, JSON.parse(text(body))),
};

function views(body) {
  return Object.entries(PARSERS).map(([parser, parse]) => {
    let value;
    try {
      value = parse(body);
    } catch (error) {
      return { parser, error: error.name };
    }
    if (value === null || typeof value !== "object" || Array.isArray(value)) {
      return { parser, error: "no object" };
    }
    const seen = {};
    for (const path of PATHS) {
      const one = at(value, path);
      if (one !== undefined) seen[path.join(".")] = one;
    }
    return { parser, seen };
  });
}

// Blocking reads: one body, one answer. No end but that of the input.
function exactly(length) {
  const bytes = Buffer.alloc(length);
  let have = 0;
  while (have < length) {
    let count;
    try {
      count = fs.readSync(0, bytes, have, length - have, null);
    } catch (error) {
      if (error.code === "EAGAIN") continue;
      if (error.code === "EOF") return null;
      throw error;
    }
    if (count === 0) return null;
    have += count;
  }
  return bytes;
}

for (let head = exactly(4); head !== null; head = exactly(4)) {
  const answer = Buffer.from(JSON.stringify(views(exactly(head.readUInt32BE()))));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(answer.length);
  fs.writeSync(1, Buffer.concat([length, answer]));
}
