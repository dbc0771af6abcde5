// The official OpenAI SDK for Node, every call as a developer would write it.
"use strict";

const { Attempts, check, collect, fault, header, load, main, raised, same } =
  require("./harness.js");
const OpenAI = load("openai");

const MODEL = "gpt-4o-mini";
const messages = [{ role: "user", content: "hello" }];
const TEXT = "tok ".repeat(16);
const COST = 0.000010637;
const FUNCTION = { name: "look_up", parameters: { type: "object", properties: {} } };

function client(side, key = "GOOD_KEY", options = {}) {
  return new OpenAI({ baseURL: `${side.base}/v1`, apiKey: side.key(key), ...options });
}

function priced(side, usage) {
  same(usage.cost_usd, side.direct ? undefined : COST, usage);
}

function requestId(error) {
  return error.requestID ?? error.request_id;
}

async function models(side) {
  const names = (await collect(client(side).models.list())).map((model) => model.id);
  check(names.includes(MODEL) && names.includes("gpt-4o"), names);
  same((await client(side).models.retrieve(MODEL)).id, MODEL);
}

async function chat(side) {
  const good = client(side);
  const answer = await good.chat.completions.create({ model: MODEL, messages });
  same([answer.choices[0].message.content, answer.choices[0].finish_reason], [TEXT, "stop"]);
  same([answer.usage.prompt_tokens, answer.usage.completion_tokens], [5, 16]);
  check(answer._request_id.startsWith("req_"), answer._request_id);
  priced(side, answer.usage);
  const asked = { model: MODEL, messages, n: 2, max_tokens: 3 };
  const short = await good.chat.completions.create(asked);
  same(short.choices.map((choice) => choice.finish_reason), ["length", "length"]);
}

async function streamedChat(side) {
  const good = client(side);
  const asked = { model: MODEL, messages, stream: true };
  const chunks = await collect(good.chat.completions.create(asked));
  same(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), TEXT);
  check(chunks.every((chunk) => !("usage" in chunk)), chunks);
  const options = { stream_options: { include_usage: true } };
  const told = await collect(good.chat.completions.create({ ...asked, ...options }));
  const last = told.at(-1);
  same([last.choices, last.usage.total_tokens], [[], 21]);
  check(told.slice(0, -1).every((chunk) => chunk.usage === null), told);
  priced(side, last.usage);
}

async function chatTools(side) {
  const good = client(side);
  const asked = { model: MODEL, tools: [{ type: "function", function: FUNCTION }] };
  const answer = await good.chat.completions.create({ messages, ...asked });
  const message = answer.choices[0].message;
  const call = message.tool_calls[0];
  same([call.function.name, JSON.parse(call.function.arguments)], ["look_up", { value: TEXT }]);
  const chunks =
    await collect(good.chat.completions.create({ messages, stream: true, ...asked }));
  const calls = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
  const args = calls.map((piece) => piece.function.arguments).join("");
  same([calls[0].id, JSON.parse(args)], [call.id, { value: TEXT }]);
  const result = { role: "tool", tool_call_id: call.id, content: "42" };
  const history = [...messages, message, result];
  const after = await good.chat.completions.create({ messages: history, ...asked });
  same(after.choices[0].message.content, TEXT);
}

async function responses(side) {
  const good = client(side);
  const asked = { model: MODEL, input: "hello" };
  const answer = await good.responses.create(asked);
  same([answer.output_text, answer.status], [TEXT, "completed"]);
  same([answer.usage.input_tokens, answer.usage.output_tokens], [5, 16]);
  priced(side, answer.usage);
  const events = await collect(good.responses.create({ ...asked, stream: true }));
  same(events.map((event) => event.sequence_number), events.map((_, index) => index));
  same([events[0].type, events.at(-1).type], ["response.created", "response.completed"]);
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  same(deltas.map((event) => event.delta).join(""), TEXT);
  priced(side, events.at(-1).response.usage);
  const tools = [{ type: "function", ...FUNCTION, strict: false }];
  const call = (await good.responses.create({ ...asked, tools })).output[0];
  same([call.name, JSON.parse(call.arguments)], ["look_up", { value: TEXT }]);
  const pieces = await collect(good.responses.create({ ...asked, tools, stream: true }));
  const kind = "response.function_call_arguments.delta";
  const args = pieces.filter((event) => event.type === kind).map((event) => event.delta).join("");
  same(args, call.arguments);
  const result = { type: "function_call_output", call_id: call.call_id, output: "42" };
  const after = await good.responses.create({ ...asked, input: [...messages, call, result], tools });
  same(after.output_text, TEXT);
}

async function completions(side) {
  const asked = { model: "gpt-3.5-turbo-instruct", prompt: ["hello", "you"], max_tokens: 3 };
  const good = client(side);
  const answer = await good.completions.create(asked);
  same(answer.choices.map((choice) => choice.text), ["tok tok tok ", "tok tok tok "]);
  const chunks = await collect(good.completions.create({ ...asked, stream: true }));
  same(chunks.map((chunk) => chunk.choices[0].text).join(""), "tok ".repeat(6));
}

async function embeddings(side) {
  const good = client(side);
  const asked = { model: "text-embedding-3-small", input: ["hello", "you"] };
  // Newer majors ask for base64 by default and decode it.
  const packed = await good.embeddings.create(asked);
  const plain = await good.embeddings.create({ ...asked, encoding_format: "float" });
  const vectors = packed.data.map((item) => Array.from(item.embedding));
  same([vectors.length, vectors[0].length], [2, 8]);
  same(vectors, plain.data.map((item) => item.embedding));
  same(packed.usage.prompt_tokens, 8);
}

async function azure(side) {
  const resource = new OpenAI.AzureOpenAI({
    endpoint: side.base,
    apiKey: side.key(),
    apiVersion: "2024-10-21",
  });
  const answer = await resource.chat.completions.create({ model: MODEL, messages });
  same(answer.choices[0].message.content, TEXT);
  priced(side, answer.usage);
  const asked = { model: MODEL, messages, stream: true };
  const chunks = await collect(resource.chat.completions.create(asked));
  same([chunks[0].choices, chunks.at(-1).choices[0].finish_reason], [[], "stop"]);
  const vectors =
    await resource.embeddings.create({ model: "text-embedding-3-small", input: "hello" });
  same(vectors.data[0].embedding.length, 8);
  const response = await resource.responses.create({ model: MODEL, input: "hello" });
  same(response.output_text, TEXT);
}

async function upstreamErrors(side) {
  for (const [status, kind, words, tries, wait] of [
    [400, OpenAI.BadRequestError, "", 1, 0],
    [401, OpenAI.AuthenticationError, "", 1, 0],
    [402, OpenAI.APIError, "", 1, 0],
    [403, OpenAI.PermissionDeniedError, "", 1, 0],
    [404, OpenAI.NotFoundError, "", 1, 0],
    [429, OpenAI.RateLimitError, ",retry_after=1", 2, 1],
    [429, OpenAI.RateLimitError, ",retry_after=1,no_retry", 1, 0],
    [503, OpenAI.InternalServerError, "", 2, 0],
  ]) {
    const attempts = new Attempts();
    const patient = client(side, "GOOD_KEY", { maxRetries: 1, fetch: attempts.fetch });
    const error = await raised(kind, () =>
      patient.chat.completions.create({ model: MODEL, messages }, fault(`status=${status}${words}`)),
    );
    same([error.status, error.code, attempts.count], [status, "mock_fault", tries], words);
    check(error.waited >= wait, [status, error.waited]);
  }
}

async function refused(side, kind, status, code, { call, key, options } = {}) {
  const attempts = new Attempts();
  const asking = client(side, key, { fetch: attempts.fetch, ...options });
  const ask = call ?? ((it) => it.chat.completions.create({ model: MODEL, messages }));
  const error = await raised(kind, () => ask(asking));
  same([error.status, error.code, attempts.count], [status, code, 1]);
  check(requestId(error)?.startsWith("req_"), error);
  return error;
}

async function refusals(side) {
  const create = (more) => (asking) =>
    asking.chat.completions.create({ model: MODEL, messages, ...more });
  const bad = OpenAI.BadRequestError;
  await refused(side, bad, 400, "unknown_model", { call: create({ model: "nope" }) });
  const tier = create({ service_tier: "priority" });
  await refused(side, bad, 400, "unsupported_parameter", { call: tier });
  await refused(side, bad, 400, "invalid_value", { call: create({ max_tokens: -1 }) });
  const unauthorised = OpenAI.AuthenticationError;
  const options = { defaultHeaders: { Authorization: null } };
  await refused(side, unauthorised, 401, "missing_api_key", { options });
  for (const [key, code] of [
    ["UNKNOWN_KEY", "invalid_api_key"],
    ["REVOKED_KEY", "key_revoked"],
    ["DISABLED_KEY", "key_disabled"],
    ["EXPIRED_KEY", "key_expired"],
  ]) {
    await refused(side, unauthorised, 401, code, { key });
  }
  // The SDK has no class of its own for 402 and 413.
  const other = OpenAI.APIError;
  const poor = await refused(side, other, 402, "budget_exceeded", { key: "POOR_KEY" });
  same([poor.type, poor.param], ["billing_error", "key"]);
  const large = create({ messages: [{ role: "user", content: "x".repeat(11 << 20) }] });
  await refused(side, other, 413, "body_too_large", { call: large });
  const narrow = { key: "NARROW_KEY", call: create({ model: "gpt-4o" }) };
  await refused(side, OpenAI.PermissionDeniedError, 403, "model_not_allowed", narrow);
  const missing = OpenAI.NotFoundError;
  const files = (asking) => asking.files.list();
  await refused(side, missing, 404, "unknown_endpoint", { call: files });
  const model = (asking) => asking.models.retrieve("nope");
  await refused(side, missing, 404, "unknown_model", { call: model });
  const limited = OpenAI.RateLimitError;
  await create({})(client(side, "LIMITED_KEY"));
  const once = { key: "LIMITED_KEY", options: { maxRetries: 0 } };
  const soon = await refused(side, limited, 429, "rpm_exceeded", once);
  const wait = Number(header(soon, "retry-after"));
  check(wait >= 1 && wait <= 60, wait);
  // Nobody waits for hours: the SDK is told not to try again.
  await create({})(client(side, "DAILY_KEY"));
  const late = await refused(side, limited, 429, "rpd_exceeded", { key: "DAILY_KEY" });
  check(Number(header(late, "retry-after")) > 3600, "too soon");
}

async function endedStreams(side) {
  const words = side.direct ? "error_after=5" : "tokens=50,chunk_delay=20";
  const code = side.direct ? "mock_fault" : "output_bound_exceeded";
  let shown = "";
  const error = await raised(OpenAI.APIError, async () => {
    const asked = { model: MODEL, messages, stream: true, max_tokens: 5 };
    for await (const chunk of await client(side).chat.completions.create(asked, fault(words))) {
      shown += chunk.choices[0].delta.content ?? "";
    }
  });
  same([shown, error.code], ["tok ".repeat(5), code]);
}

async function suite(side) {
  for (const part of [
    models, chat, streamedChat, chatTools, responses, completions, embeddings, azure,
    upstreamErrors, endedStreams,
  ]) {
    await part(side);
  }
  if (!side.direct) await refusals(side);
}

async function away(side) {
  const attempts = new Attempts();
  const stranger = client(side, "STRANGER_KEY", { maxRetries: 1, fetch: attempts.fetch });
  const error = await raised(OpenAI.InternalServerError, () =>
    stranger.chat.completions.create({ model: MODEL, messages }),
  );
  same([error.status, error.code, attempts.count], [503, "policy_unavailable", 2]);
  check(Number(header(error, "retry-after")) >= 1, "no time to wait");
}

main(suite, away);
