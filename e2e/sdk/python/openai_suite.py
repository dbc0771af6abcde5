"""The official OpenAI SDK, every call as a developer would write it."""

import asyncio
import json

import openai
from harness import Attempts, check, fault, main, raised

MODEL = "gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "hello"}]
TEXT = "tok " * 16
COST = 0.000010637
FUNCTION = {"name": "look_up", "parameters": {"type": "object", "properties": {}}}


def client(side, key="GOOD_KEY", path="/v1", **options):
    return openai.OpenAI(base_url=side.base + path, api_key=side.key(key), **options)


def priced(side, usage):
    """The usage block says what the call cost, where a gateway is there to say it."""
    check(getattr(usage, "cost_usd", None) == (None if side.direct else COST), usage)


def models(side):
    names = [model.id for model in client(side).models.list()]
    check({MODEL, "gpt-4o", "text-embedding-3-small"} <= set(names), names)
    model = client(side).models.retrieve(MODEL)
    check((model.id, model.object) == (MODEL, "model"), model)


def chat(side):
    good = client(side)
    answer = good.chat.completions.create(model=MODEL, messages=MESSAGES)
    choice = answer.choices[0]
    check((choice.message.content, choice.finish_reason) == (TEXT, "stop"), answer)
    check((answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 16), answer)
    check(answer._request_id.startswith("req_"), answer._request_id)
    priced(side, answer.usage)
    answer = good.chat.completions.create(model=MODEL, messages=MESSAGES, n=2, max_tokens=3)
    check([choice.finish_reason for choice in answer.choices] == ["length"] * 2, answer)
    check(answer.usage.completion_tokens == 6, answer)


def streamed_chat(side):
    good = client(side)
    chunks = list(good.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    check(text == TEXT and all(chunk.usage is None for chunk in chunks), chunks)
    check(chunks[-1].choices[0].finish_reason == "stop", chunks[-1])
    chunks = list(
        good.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    check(chunks[-1].usage.total_tokens == 21 and chunks[-1].choices == [], chunks[-1])
    check(all(chunk.usage is None for chunk in chunks[:-1]), chunks)
    priced(side, chunks[-1].usage)


def chat_tools(side):
    good = client(side)
    asked = {"model": MODEL, "tools": [{"type": "function", "function": FUNCTION}]}
    message = good.chat.completions.create(messages=MESSAGES, **asked).choices[0].message
    call = message.tool_calls[0]
    check(call.function.name == "look_up" and message.content is None, message)
    check(json.loads(call.function.arguments) == {"value": TEXT}, call)
    chunks = list(good.chat.completions.create(messages=MESSAGES, stream=True, **asked))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    check(calls[0].function.name == "look_up" and calls[0].id == call.id, calls[0])
    check(json.loads("".join(call.function.arguments for call in calls)) == {"value": TEXT}, calls)
    check(chunks[-1].choices[0].finish_reason == "tool_calls", chunks[-1])
    result = {"role": "tool", "tool_call_id": call.id, "content": "42"}
    answer = good.chat.completions.create(messages=[*MESSAGES, message, result], **asked)
    check(answer.choices[0].message.content == TEXT, answer)


def responses(side):
    good = client(side)
    answer = good.responses.create(model=MODEL, input="hello")
    check((answer.output_text, answer.status) == (TEXT, "completed"), answer)
    check((answer.usage.input_tokens, answer.usage.output_tokens) == (5, 16), answer)
    priced(side, answer.usage)
    events = list(good.responses.create(model=MODEL, input="hello", stream=True))
    check([event.sequence_number for event in events] == list(range(len(events))), events)
    kinds = [event.type for event in events]
    check((kinds[0], kinds[-1]) == ("response.created", "response.completed"), kinds)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    check(text == TEXT and events[-1].response.output_text == TEXT, events)
    priced(side, events[-1].response.usage)
    short = good.responses.create(model=MODEL, input="hello", max_output_tokens=16, stream=True)
    last = list(short)[-1]
    check(last.type == "response.incomplete", last)
    check(last.response.incomplete_details.reason == "max_output_tokens", last)
    tools = [{"type": "function", **FUNCTION, "strict": False}]
    asked = good.responses.create(model=MODEL, input="hello", tools=tools)
    call = asked.output[0]
    check(call.type == "function_call" and call.name == "look_up", call)
    check(json.loads(call.arguments) == {"value": TEXT}, call)
    with good.responses.stream(model=MODEL, input="hello", tools=tools) as stream:
        for _event in stream:
            pass
        check(stream.get_final_response().output[0].arguments == call.arguments, call)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "42"}
    history = [*MESSAGES, call.model_dump(exclude_none=True), result]
    for item in history:
        # The SDK adds what only its own parser needs.
        item.pop("parsed_arguments", None)
    check(good.responses.create(model=MODEL, input=history, tools=tools).output_text == TEXT, "")


def completions(side):
    good = client(side)
    asked = {"model": "gpt-3.5-turbo-instruct", "prompt": ["hello", "you"], "max_tokens": 3}
    answer = good.completions.create(**asked)
    check([choice.text for choice in answer.choices] == ["tok tok tok "] * 2, answer)
    check((answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8, 6), answer)
    chunks = list(good.completions.create(stream=True, **asked))
    check("".join(chunk.choices[0].text for chunk in chunks) == "tok " * 6, chunks)
    check(all(chunk.usage is None for chunk in chunks), chunks)


def embeddings(side):
    good = client(side)
    asked = {"model": "text-embedding-3-small", "input": ["hello", "you"]}
    # By default the SDK asks for base64 and decodes it.
    packed = good.embeddings.create(**asked)
    plain = good.embeddings.create(encoding_format="float", **asked)
    vectors = [item.embedding for item in packed.data]
    check(len(vectors) == 2 and len(vectors[0]) == 8, vectors)
    check(vectors == [item.embedding for item in plain.data], (vectors, plain))
    check(packed.usage.prompt_tokens == 8, packed)
    check(hasattr(packed.usage, "cost_usd") != side.direct, packed)


def azure(side):
    resource = openai.AzureOpenAI(
        azure_endpoint=side.base, api_key=side.key(), api_version="2024-10-21"
    )
    answer = resource.chat.completions.create(model=MODEL, messages=MESSAGES)
    check(answer.choices[0].message.content == TEXT, answer)
    priced(side, answer.usage)
    chunks = list(resource.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    check(chunks[0].choices == [] and chunks[-1].choices[0].finish_reason == "stop", chunks)
    check(all(chunk.usage is None for chunk in chunks), chunks)
    vectors = resource.embeddings.create(model="text-embedding-3-small", input="hello")
    check(len(vectors.data[0].embedding) == 8, vectors)
    check(resource.responses.create(model=MODEL, input="hello").output_text == TEXT, "responses")
    check(MODEL in [model.id for model in resource.models.list()], "models")


def other_bases(side):
    for path in ["/openai/v1", "/api/v1", "/v1beta/openai"]:
        answer = client(side, path=path).chat.completions.create(model=MODEL, messages=MESSAGES)
        check(answer.choices[0].message.content == TEXT, (path, answer))


async def asynchronous(side):
    good = openai.AsyncOpenAI(base_url=side.base + "/v1", api_key=side.key())
    answer = await good.chat.completions.create(model=MODEL, messages=MESSAGES)
    check(answer.choices[0].message.content == TEXT, answer)
    text = ""
    async for chunk in await good.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True
    ):
        text += chunk.choices[0].delta.content or ""
    check(text == TEXT, text)
    await good.close()


def upstream_errors(side):
    """What the upstream answers reaches the client as it is, and is tried again as it says."""
    for status, kind, words, tries, wait in [
        (400, openai.BadRequestError, "", 1, 0),
        (401, openai.AuthenticationError, "", 1, 0),
        (402, openai.APIStatusError, "", 1, 0),
        (403, openai.PermissionDeniedError, "", 1, 0),
        (404, openai.NotFoundError, "", 1, 0),
        (429, openai.RateLimitError, ",retry_after=1", 2, 1),
        (429, openai.RateLimitError, ",retry_after=1,no_retry", 1, 0),
        (503, openai.InternalServerError, "", 2, 0),
    ]:
        attempts = Attempts()
        http = openai.DefaultHttpxClient(event_hooks=attempts.hooks)
        patient = client(side, max_retries=1, http_client=http)
        error = raised(
            kind,
            lambda: patient.chat.completions.create(
                model=MODEL, messages=MESSAGES, extra_headers=fault(f"status={status}{words}")
            ),
        )
        check((error.status_code, error.code) == (status, "mock_fault"), error)
        check(attempts.count == tries and error.waited >= wait, (status, words, attempts.count))


def refused(side, kind, status, code, call=None, key="GOOD_KEY", **options):
    """A refusal of the gateway, which the SDK takes at its word."""
    attempts = Attempts()
    http = openai.DefaultHttpxClient(event_hooks=attempts.hooks)
    asking = client(side, key, http_client=http, **options)
    if call is None:
        call = lambda asking: asking.chat.completions.create(model=MODEL, messages=MESSAGES)
    error = raised(kind, lambda: call(asking))
    check((error.status_code, error.code) == (status, code), error)
    check(error.request_id.startswith("req_"), error.response.headers)
    check(attempts.count == 1, (code, attempts.count))
    return error


def refusals(side):
    def create(**more):
        return lambda asking: asking.chat.completions.create(
            **{"model": MODEL, "messages": MESSAGES, **more}
        )

    bad = openai.BadRequestError
    refused(side, bad, 400, "unknown_model", create(model="nope"))
    refused(side, bad, 400, "unsupported_parameter", create(service_tier="priority"))
    refused(side, bad, 400, "invalid_value", create(max_tokens=-1))
    refused(side, bad, 400, "duplicate_field", create(extra_body={"Model": "gpt-4o"}))
    refused(
        side, bad, 400, "unsupported_parameter",
        lambda asking: asking.responses.create(
            model=MODEL, input="hello", previous_response_id="resp_1"
        ),
    )
    kind = openai.AuthenticationError
    refused(side, kind, 401, "missing_api_key", create(extra_headers={"Authorization": openai.Omit()}))
    for key, code in [
        ("UNKNOWN_KEY", "invalid_api_key"),
        ("REVOKED_KEY", "key_revoked"),
        ("DISABLED_KEY", "key_disabled"),
        ("EXPIRED_KEY", "key_expired"),
    ]:
        refused(side, kind, 401, code, key=key)
    # The SDK has no class of its own for 402 and 413.
    error = refused(side, openai.APIStatusError, 402, "budget_exceeded", key="POOR_KEY")
    check((error.type, error.param) == ("billing_error", "key"), error)
    kind = openai.PermissionDeniedError
    refused(side, kind, 403, "model_not_allowed", create(model="gpt-4o"), key="NARROW_KEY")
    kind = openai.NotFoundError
    refused(side, kind, 404, "unknown_endpoint", lambda asking: asking.files.list())
    refused(side, kind, 404, "unknown_endpoint", lambda asking: asking.responses.retrieve("resp_1"))
    refused(side, kind, 404, "unknown_model", lambda asking: asking.models.retrieve("nope"))
    large = [{"role": "user", "content": "x" * (11 << 20)}]
    refused(side, openai.APIStatusError, 413, "body_too_large", create(messages=large))
    kind = openai.RateLimitError
    client(side, "LIMITED_KEY").chat.completions.create(model=MODEL, messages=MESSAGES)
    error = refused(side, kind, 429, "rpm_exceeded", key="LIMITED_KEY", max_retries=0)
    check(1 <= int(error.response.headers["retry-after"]) <= 60, error.response.headers)
    # Nobody waits for hours: the SDK is told not to try again.
    client(side, "DAILY_KEY").chat.completions.create(model=MODEL, messages=MESSAGES)
    error = refused(side, kind, 429, "rpd_exceeded", key="DAILY_KEY")
    check(int(error.response.headers["retry-after"]) > 3600, error.response.headers)


def ended_streams(side):
    """A stream that is ended on its way raises an error that says why."""
    words = "error_after=5" if side.direct else "tokens=50,chunk_delay=20"
    code = "mock_fault" if side.direct else "output_bound_exceeded"
    asked = {"model": MODEL, "stream": True, "extra_headers": fault(words)}
    shown = ""
    try:
        stream = client(side).chat.completions.create(messages=MESSAGES, max_tokens=5, **asked)
        for chunk in stream:
            shown += chunk.choices[0].delta.content or ""
        raise AssertionError("the stream ended well")
    except openai.APIError as error:
        check((shown, error.code) == ("tok " * 5, code), (shown, error.code))
    shown = ""
    try:
        stream = client(side).responses.create(input="hello", max_output_tokens=16, **asked)
        for event in stream:
            shown += event.delta if event.type == "response.output_text.delta" else ""
            if event.type == "error":
                # Only some majors of the SDK raise it.
                raise openai.APIError(event.message, request=None, body={"code": event.code})
        raise AssertionError("the stream ended well")
    except openai.APIError as error:
        check(error.code == code and shown in ("tok " * 5, "tok " * 16), (shown, error.code))


def suite(side):
    for part in [
        models, chat, streamed_chat, chat_tools, responses, completions, embeddings, azure,
        other_bases, upstream_errors, ended_streams,
    ]:
        part(side)
    asyncio.run(asynchronous(side))
    if not side.direct:
        refusals(side)


def away(side):
    attempts = Attempts()
    http = openai.DefaultHttpxClient(event_hooks=attempts.hooks)
    stranger = client(side, "STRANGER_KEY", max_retries=1, http_client=http)
    error = raised(
        openai.InternalServerError,
        lambda: stranger.chat.completions.create(model=MODEL, messages=MESSAGES),
    )
    check((error.status_code, error.code) == (503, "policy_unavailable"), error)
    check(int(error.response.headers["retry-after"]) >= 1 and attempts.count == 2, attempts.count)


main(suite, away)
