"""The official Anthropic SDK, every call as a developer would write it."""

import asyncio

import anthropic
from harness import Attempts, check, fault, main, raised

MODEL = "claude-mock"
MESSAGES = [{"role": "user", "content": "hello"}]
ASKED = {"model": MODEL, "messages": MESSAGES, "max_tokens": 100}
TEXT = "tok " * 16
COST = 0.000010637
TOOLS = [{"name": "look_up", "input_schema": {"type": "object", "properties": {}}}]
# One class has a name only since 2.0.
PAYMENT = getattr(anthropic, "PaymentRequiredError", None)


def client(side, key="GOOD_KEY", path="", **options):
    return anthropic.Anthropic(base_url=side.base + path, api_key=side.key(key), **options)


def kind_of(*names):
    """The first of these classes that this major has."""
    return next(getattr(anthropic, name) for name in names if hasattr(anthropic, name))


def class_of(status):
    """The class in which an error of this status is raised; some are new since 2.0."""
    probe = anthropic.Anthropic(api_key="x")
    http = probe._client
    request = http.build_request("GET", "http://localhost/")
    return type(probe._make_status_error("", body=None, response=_answer(status, request)))


def _answer(status, request):
    module = __import__(type(request).__module__.split(".")[0])
    return module.Response(status, request=request)


def priced(side, usage):
    check(getattr(usage, "cost_usd", None) == (None if side.direct else COST), usage)


def models(side):
    good = client(side)
    # Pages of two, which the SDK turns by itself.
    names = [model.id for model in good.models.list(limit=2)]
    check(MODEL in names and len(names) == len(set(names)) >= 3, names)
    model = good.models.retrieve(MODEL)
    check((model.id, model.type) == (MODEL, "model"), model)


def plain(side):
    good = client(side)
    message = good.messages.create(system="ab", **ASKED)
    check((message.content[0].text, message.stop_reason) == (TEXT, "end_turn"), message)
    check((message.usage.input_tokens, message.usage.output_tokens) == (7, 16), message)
    check(message._request_id.startswith("req_"), message._request_id)
    message = good.messages.create(**ASKED)
    priced(side, message.usage)
    message = good.messages.create(**{**ASKED, "max_tokens": 3})
    check((message.content[0].text, message.stop_reason) == ("tok " * 3, "max_tokens"), message)
    cached = good.messages.create(extra_headers=fault("cached=3,cache_write=1"), **ASKED)
    usage = cached.usage
    counts = (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens)
    check(counts == (1, 3, 1), usage)


def streamed(side):
    good = client(side)
    events = list(good.messages.create(stream=True, **ASKED))
    kinds = [event.type for event in events]
    check((kinds[0], kinds[-1]) == ("message_start", "message_stop"), kinds)
    check(events[0].message.usage.input_tokens == 5, events[0])
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    check("".join(deltas) == TEXT, deltas)
    check(events[-2].usage.output_tokens == 16, events[-2])
    priced(side, events[-2].usage)
    with good.messages.stream(**ASKED) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    check(text == message.content[0].text == TEXT, message)
    check((message.usage.output_tokens, message.stop_reason) == (16, "end_turn"), message)


def tools(side):
    good = client(side)
    message = good.messages.create(tools=TOOLS, **ASKED)
    use = message.content[0]
    check((use.name, use.input) == ("look_up", {"value": TEXT}), message)
    check(message.stop_reason == "tool_use", message)
    with good.messages.stream(tools=TOOLS, **ASKED) as stream:
        final = stream.get_final_message()
    check(final.content[0].input == {"value": TEXT} and final.content[0].id == use.id, final)
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "42"}
    history = [
        *MESSAGES,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    answer = good.messages.create(tools=TOOLS, **{**ASKED, "messages": history})
    check(answer.content[0].text == TEXT, answer)


def thinking(side):
    good = client(side)
    asked = {**ASKED, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    message = good.messages.create(**asked)
    thought, text = message.content
    check((thought.thinking, text.text) == ("tok " * 4, "tok " * 12), message)
    check(message.usage.output_tokens == 16, message)
    with good.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    check((final.content[0].thinking, final.content[1].text) == ("tok " * 4, "tok " * 12), final)
    check(final.content[0].signature == thought.signature, final)


def counting(side):
    counted = client(side).messages.count_tokens(model=MODEL, messages=MESSAGES, system="ab")
    check(counted.input_tokens == 7, counted)


def other_ways(side):
    """A token instead of a key, and the mount that a gateway may have."""
    token = anthropic.Anthropic(base_url=side.base, api_key=None, auth_token=side.key())
    check(token.messages.create(**ASKED).content[0].text == TEXT, "with a token")
    if not side.direct:
        mounted = client(side, path="/anthropic")
        check(mounted.messages.create(**ASKED).content[0].text == TEXT, "at the mount")
        check(mounted.messages.count_tokens(model=MODEL, messages=MESSAGES).input_tokens == 5, "")
        check(MODEL in [model.id for model in mounted.models.list()], "models at the mount")


async def asynchronous(side):
    good = anthropic.AsyncAnthropic(base_url=side.base, api_key=side.key())
    message = await good.messages.create(**ASKED)
    check(message.content[0].text == TEXT, message)
    async with good.messages.stream(**ASKED) as stream:
        check((await stream.get_final_message()).content[0].text == TEXT, "streamed")
    await good.close()


def upstream_errors(side):
    """What the upstream answers reaches the client as it is, and is tried again as it says."""
    for status, words, tries, wait in [
        (400, "", 1, 0),
        (401, "", 1, 0),
        (402, "", 1, 0),
        (403, "", 1, 0),
        (404, "", 1, 0),
        (413, "", 1, 0),
        (429, ",retry_after=1", 2, 1),
        (429, ",retry_after=1,no_retry", 1, 0),
        (503, "", 2, 0),
        (529, ",no_retry", 1, 0),
    ]:
        attempts = Attempts()
        http = anthropic.DefaultHttpxClient(event_hooks=attempts.hooks)
        patient = client(side, max_retries=1, http_client=http)
        headers = fault(f"status={status}{words}")
        error = raised(
            class_of(status), lambda: patient.messages.create(extra_headers=headers, **ASKED)
        )
        check(error.status_code == status and error.body["type"] == "error", error)
        check(attempts.count == tries and error.waited >= wait, (status, words, attempts.count))


def refused(side, status, kind, code, call=None, key="GOOD_KEY", asking=None, **options):
    """A refusal of the gateway, in Anthropic's envelope, which the SDK takes at its word."""
    attempts = Attempts()
    http = anthropic.DefaultHttpxClient(event_hooks=attempts.hooks)
    asking = client(side, key, http_client=http, **options)
    call = call or (lambda asking: asking.messages.create(**ASKED))
    error = raised(class_of(status), lambda: call(asking))
    check(error.status_code == status, error)
    told = error.body["error"]
    check((told["type"], told["details"]["error_code"]) == (kind, code), error.body)
    check(error.body["request_id"] == error.request_id, (error.body, error.request_id))
    check(error.request_id.startswith("req_"), error.request_id)
    check(attempts.count == 1, (code, attempts.count))
    return error


def refusals(side):
    def create(**more):
        return lambda asking: asking.messages.create(**{**ASKED, **more})

    bad = "invalid_request_error"
    refused(side, 400, bad, "unknown_model", create(model="nope"))
    refused(side, 400, bad, "unsupported_parameter", create(extra_body={"speed": "fast"}))
    refused(side, 400, bad, "invalid_value", create(max_tokens=-1))
    kind = "authentication_error"
    gone = {"X-Api-Key": anthropic.Omit(), "Authorization": anthropic.Omit()}
    refused(
        side, 401, kind, "missing_api_key", lambda asking: asking.messages.create(
            extra_headers=gone, **ASKED
        ),
    )
    for key, code in [
        ("UNKNOWN_KEY", "invalid_api_key"),
        ("REVOKED_KEY", "key_revoked"),
        ("DISABLED_KEY", "key_disabled"),
        ("EXPIRED_KEY", "key_expired"),
    ]:
        refused(side, 401, kind, code, key=key)
    refused(side, 402, "billing_error", "budget_exceeded", key="POOR_KEY")
    refused(side, 403, "permission_error", "model_not_allowed", key="NARROW_KEY")
    refused(
        side, 404, "not_found_error", "unknown_endpoint",
        lambda asking: asking.messages.batches.list(),
    )
    refused(
        side, 404, "not_found_error", "unknown_model",
        lambda asking: asking.models.retrieve("nope"),
    )
    large = [{"role": "user", "content": "x" * (11 << 20)}]
    refused(side, 413, "request_too_large", "body_too_large", create(messages=large))
    kind = "rate_limit_error"
    client(side, "LIMITED_KEY").messages.create(**ASKED)
    error = refused(side, 429, kind, "rpm_exceeded", key="LIMITED_KEY", max_retries=0)
    check(1 <= int(error.response.headers["retry-after"]) <= 60, error.response.headers)
    client(side, "DAILY_KEY").messages.create(**ASKED)
    error = refused(side, 429, kind, "rpd_exceeded", key="DAILY_KEY")
    check(int(error.response.headers["retry-after"]) > 3600, error.response.headers)


def ended_streams(side):
    words = "error_after=5" if side.direct else "tokens=50,chunk_delay=20"
    shown = ""
    try:
        stream = client(side).messages.create(
            stream=True, extra_headers=fault(words), **{**ASKED, "max_tokens": 5}
        )
        for event in stream:
            shown += event.delta.text if event.type == "content_block_delta" else ""
        raise AssertionError("the stream ended well")
    except anthropic.APIStatusError as error:
        check(shown == "tok " * 5 and error.body["error"]["type"] == "api_error", (shown, error))
        if not side.direct:
            told = error.body["error"]["details"]["error_code"]
            check(told == "output_bound_exceeded", error.body)


def suite(side):
    for part in [
        models, plain, streamed, tools, thinking, counting, other_ways, upstream_errors,
        ended_streams,
    ]:
        part(side)
    asyncio.run(asynchronous(side))
    if not side.direct:
        refusals(side)


def away(side):
    attempts = Attempts()
    http = anthropic.DefaultHttpxClient(event_hooks=attempts.hooks)
    stranger = client(side, "STRANGER_KEY", max_retries=1, http_client=http)
    error = raised(class_of(503), lambda: stranger.messages.create(**ASKED))
    code = error.body["error"]["details"]["error_code"]
    check((error.status_code, code) == (503, "policy_unavailable"), error.body)
    check(int(error.response.headers["retry-after"]) >= 1 and attempts.count == 2, attempts.count)


main(suite, away)
