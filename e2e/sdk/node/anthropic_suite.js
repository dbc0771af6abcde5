// The official Anthropic SDK for Node, every call as a developer would write it.
"use strict";

const { Attempts, check, collect, fault, header, load, main, raised, same } =
  require("./harness.js");
const loaded = load("@anthropic-ai/sdk");
const Anthropic = loaded.default ?? loaded;

const MODEL = "claude-mock";
const messages = [{ role: "user", content: "hello" }];
const ASKED = { model: MODEL, messages, max_tokens: 100 };
const TEXT = "tok ".repeat(16);
const COST = 0.000010637;
const TOOLS = [{ name: "look_up", input_schema: { type: "object", properties: {} } }];

function client(side, key = "GOOD_KEY", options = {}) {
  return new Anthropic({ baseURL: side.base, apiKey: side.key(key), ...options });
}

// The class in which an error of this status is raised; some are new since 1.0.
function classOf(status) {
  return Anthropic.APIError.generate(status, {}, "", new Headers()).constructor;
}

function priced(side, usage) {
  same(usage.cost_usd, side.direct ? undefined : COST, usage);
}

function requestId(error) {
  return error.requestID ?? error.request_id;
}

async function models(side) {
  const good = client(side);
  // Pages of two, which the SDK turns by itself.
  const names = (await collect(good.models.list({ limit: 2 }))).map((model) => model.id);
  check(names.includes(MODEL) && new Set(names).size === names.length, names);
  same((await good.models.retrieve(MODEL)).id, MODEL);
}

async function plain(side) {
  const good = client(side);
  const message = await good.messages.create(ASKED);
  same([message.content[0].text, message.stop_reason], [TEXT, "end_turn"]);
  same([message.usage.input_tokens, message.usage.output_tokens], [5, 16]);
  check(message._request_id.startsWith("req_"), message._request_id);
  priced(side, message.usage);
  const short = await good.messages.create({ ...ASKED, max_tokens: 3 });
  same([short.content[0].text, short.stop_reason], ["tok ".repeat(3), "max_tokens"]);
}

async function streamed(side) {
  const good = client(side);
  const events = await collect(good.messages.create({ ...ASKED, stream: true }));
  same([events[0].type, events.at(-1).type], ["message_start", "message_stop"]);
  const deltas = events.filter((event) => event.type === "content_block_delta");
  same(deltas.map((event) => event.delta.text).join(""), TEXT);
  same(events.at(-2).usage.output_tokens, 16);
  priced(side, events.at(-2).usage);
  const message = await good.messages.stream(ASKED).finalMessage();
  same([message.content[0].text, message.usage.output_tokens], [TEXT, 16]);
}

async function tools(side) {
  const good = client(side);
  const message = await good.messages.create({ ...ASKED, tools: TOOLS });
  const use = message.content[0];
  same([use.name, use.input, message.stop_reason], ["look_up", { value: TEXT }, "tool_use"]);
  const final = await good.messages.stream({ ...ASKED, tools: TOOLS }).finalMessage();
  same([final.content[0].id, final.content[0].input], [use.id, { value: TEXT }]);
  const result = { type: "tool_result", tool_use_id: use.id, content: "42" };
  const history = [
    ...messages,
    { role: "assistant", content: message.content },
    { role: "user", content: [result] },
  ];
  const after = await good.messages.create({ ...ASKED, messages: history, tools: TOOLS });
  same(after.content[0].text, TEXT);
}

async function thinking(side) {
  const good = client(side);
  const budget = { type: "enabled", budget_tokens: 1024 };
  const asked = { ...ASKED, max_tokens: 2000, thinking: budget };
  const message = await good.messages.create(asked);
  same(message.content[0].thinking, "tok ".repeat(4));
  const final = await good.messages.stream(asked).finalMessage();
  same(final.content, message.content);
}

async function counting(side) {
  const counted = await client(side).messages.countTokens({ model: MODEL, messages });
  same(counted.input_tokens, 5);
}

async function otherWays(side) {
  const token = new Anthropic({ baseURL: side.base, apiKey: null, authToken: side.key() });
  same((await token.messages.create(ASKED)).content[0].text, TEXT);
  if (!side.direct) {
    const mounted = client(side, "GOOD_KEY", { baseURL: `${side.base}/anthropic` });
    same((await mounted.messages.create(ASKED)).content[0].text, TEXT);
  }
}

async function upstreamErrors(side) {
  for (const [status, words, tries, wait] of [
    [400, "", 1, 0],
    [401, "", 1, 0],
    [402, "", 1, 0],
    [403, "", 1, 0],
    [404, "", 1, 0],
    [413, "", 1, 0],
    [429, ",retry_after=1", 2, 1],
    [429, ",retry_after=1,no_retry", 1, 0],
    [503, "", 2, 0],
    [529, ",no_retry", 1, 0],
  ]) {
    const attempts = new Attempts();
    const patient = client(side, "GOOD_KEY", { maxRetries: 1, fetch: attempts.fetch });
    const error = await raised(classOf(status), () =>
      patient.messages.create(ASKED, fault(`status=${status}${words}`)),
    );
    same([error.status, error.error.type, attempts.count], [status, "error", tries], words);
    check(error.waited >= wait, [status, error.waited]);
  }
}

async function refused(side, status, type, code, { call, key, options } = {}) {
  const attempts = new Attempts();
  const asking = client(side, key, { fetch: attempts.fetch, ...options });
  const ask = call ?? ((it) => it.messages.create(ASKED));
  const error = await raised(classOf(status), () => ask(asking));
  const told = error.error.error;
  const found = [error.status, told.type, told.details.error_code, attempts.count];
  same(found, [status, type, code, 1]);
  same(requestId(error), error.error.request_id);
  check(requestId(error).startsWith("req_"), error);
  return error;
}

async function refusals(side) {
  const create = (more) => (asking) => asking.messages.create({ ...ASKED, ...more });
  const bad = "invalid_request_error";
  await refused(side, 400, bad, "unknown_model", { call: create({ model: "nope" }) });
  await refused(side, 400, bad, "unsupported_parameter", { call: create({ speed: "fast" }) });
  await refused(side, 400, bad, "invalid_value", { call: create({ max_tokens: -1 }) });
  const bare = { defaultHeaders: { "X-Api-Key": null, Authorization: null } };
  await refused(side, 401, "authentication_error", "missing_api_key", { options: bare });
  for (const [key, code] of [
    ["UNKNOWN_KEY", "invalid_api_key"],
    ["REVOKED_KEY", "key_revoked"],
    ["DISABLED_KEY", "key_disabled"],
    ["EXPIRED_KEY", "key_expired"],
  ]) {
    await refused(side, 401, "authentication_error", code, { key });
  }
  await refused(side, 402, "billing_error", "budget_exceeded", { key: "POOR_KEY" });
  await refused(side, 403, "permission_error", "model_not_allowed", { key: "NARROW_KEY" });
  const batches = (asking) => asking.messages.batches.list();
  await refused(side, 404, "not_found_error", "unknown_endpoint", { call: batches });
  const model = (asking) => asking.models.retrieve("nope");
  await refused(side, 404, "not_found_error", "unknown_model", { call: model });
  const large = create({ messages: [{ role: "user", content: "x".repeat(11 << 20) }] });
  await refused(side, 413, "request_too_large", "body_too_large", { call: large });
  await create({})(client(side, "LIMITED_KEY"));
  const once = { key: "LIMITED_KEY", options: { maxRetries: 0 } };
  const soon = await refused(side, 429, "rate_limit_error", "rpm_exceeded", once);
  const wait = Number(header(soon, "retry-after"));
  check(wait >= 1 && wait <= 60, wait);
  await create({})(client(side, "DAILY_KEY"));
  const daily = { key: "DAILY_KEY" };
  const late = await refused(side, 429, "rate_limit_error", "rpd_exceeded", daily);
  check(Number(header(late, "retry-after")) > 3600, "too soon");
}

async function endedStreams(side) {
  const words = side.direct ? "error_after=5" : "tokens=50,chunk_delay=20";
  let shown = "";
  const error = await raised(Anthropic.APIError, async () => {
    const asked = { ...ASKED, max_tokens: 5, stream: true };
    for await (const event of await client(side).messages.create(asked, fault(words))) {
      shown += event.type === "content_block_delta" ? event.delta.text : "";
    }
  });
  same(shown, "tok ".repeat(5));
  const told = error.error.error;
  same(told.type, "api_error", error);
  if (!side.direct) same(told.details.error_code, "output_bound_exceeded");
}

async function suite(side) {
  for (const part of [
    models, plain, streamed, tools, thinking, counting, otherWays, upstreamErrors, endedStreams,
  ]) {
    await part(side);
  }
  if (!side.direct) await refusals(side);
}

async function away(side) {
  const attempts = new Attempts();
  const stranger = client(side, "STRANGER_KEY", { maxRetries: 1, fetch: attempts.fetch });
  const error = await raised(classOf(503), () => stranger.messages.create(ASKED));
  const code = error.error.error.details.error_code;
  same([error.status, code, attempts.count], [503, "policy_unavailable", 2]);
  check(Number(header(error, "retry-after")) >= 1, "no time to wait");
}

main(suite, away);
