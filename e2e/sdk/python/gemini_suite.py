"""The official Google Gen AI SDK, every call as a developer would write it."""

import asyncio

from google import genai
from google.genai import errors, types
from harness import Attempts, check, fault, main, raised

MODEL = "gemini-2.5-flash"
TEXT = "tok " * 16
LOOK_UP = types.Tool(
    function_declarations=[types.FunctionDeclaration(name="look_up", description="Looks it up.")]
)


# A client that is no longer referred to closes its connections, also under a running stream.
_kept = []


def client(side, key="GOOD_KEY", path="", version=None, **options):
    options = types.HttpOptions(base_url=side.base + path, api_version=version, **options)
    made = genai.Client(api_key=side.key(key), http_options=options)
    _kept.append(made)
    return made


def config(words=None, **members):
    options = types.HttpOptions(headers=fault(words)) if words else None
    return types.GenerateContentConfig(http_options=options, **members)


def plain(side):
    for version in [None, "v1", "v1beta"]:
        answer = client(side, version=version).models.generate_content(
            model=MODEL, contents="hello"
        )
        check(answer.text == TEXT, answer)
        usage = answer.usage_metadata
        check((usage.prompt_token_count, usage.candidates_token_count) == (5, 16), usage)
        check(answer.candidates[0].finish_reason == types.FinishReason.STOP, answer)
    answer = client(side).models.generate_content(
        model=MODEL,
        contents="hello",
        config=config(system_instruction="ab", max_output_tokens=3, candidate_count=2),
    )
    check(len(answer.candidates) == 2, answer)
    check(answer.candidates[1].finish_reason == types.FinishReason.MAX_TOKENS, answer)
    usage = answer.usage_metadata
    check((usage.prompt_token_count, usage.candidates_token_count) == (7, 6), usage)


def streamed(side):
    for version in ["v1", "v1beta"]:
        chunks = list(
            client(side, version=version).models.generate_content_stream(
                model=MODEL, contents="hello"
            )
        )
        check("".join(chunk.text for chunk in chunks) == TEXT and len(chunks) == 17, chunks)
        check(chunks[-1].usage_metadata.candidates_token_count == 16, chunks[-1])


def thinking(side):
    asked = {
        "model": MODEL,
        "contents": "hello",
        "config": config(thinking_config=types.ThinkingConfig(include_thoughts=True)),
    }
    good = client(side)
    thought, text = good.models.generate_content(**asked).candidates[0].content.parts
    check((thought.text, thought.thought, text.text) == ("tok " * 4, True, "tok " * 12), thought)
    chunks = list(good.models.generate_content_stream(**asked))
    usage = chunks[-1].usage_metadata
    check((usage.thoughts_token_count, usage.candidates_token_count) == (4, 12), usage)


def tools(side):
    good = client(side)
    asked = {"model": MODEL, "config": config(tools=[LOOK_UP])}
    answer = good.models.generate_content(contents="hello", **asked)
    call = answer.function_calls[0]
    check((call.name, call.args) == ("look_up", {"value": TEXT}), call)
    chunks = list(good.models.generate_content_stream(contents="hello", **asked))
    check(chunks[0].function_calls[0].args == {"value": TEXT}, chunks)
    result = types.Part.from_function_response(name="look_up", response={"result": 42})
    history = [
        types.Content(role="user", parts=[types.Part(text="hello")]),
        answer.candidates[0].content,
        types.Content(role="user", parts=[result]),
    ]
    check(good.models.generate_content(contents=history, **asked).text == TEXT, "after the call")


def chats(side):
    chat = client(side).chats.create(model=MODEL)
    check(chat.send_message("hello").text == TEXT, "first")
    text = "".join(chunk.text for chunk in chat.send_message_stream("more"))
    check(text == TEXT and len(chat.get_history()) >= 4, text)


def embeddings(side):
    for version in ["v1", "v1beta"]:
        good = client(side, version=version)
        one = good.models.embed_content(model="text-embedding-3-small", contents="hello")
        two = good.models.embed_content(model="text-embedding-3-small", contents=["hello", "you"])
        check([len(item.values) for item in one.embeddings] == [8], one)
        check([len(item.values) for item in two.embeddings] == [8, 8], two)


def counting(side):
    counted = client(side).models.count_tokens(model=MODEL, contents="hello")
    check(counted.total_tokens == 5, counted)


def models(side):
    good = client(side)
    names = [model.name for model in good.models.list(config={"page_size": 2})]
    check(f"models/{MODEL}" in names and len(names) == len(set(names)) >= 3, names)
    model = good.models.get(model=MODEL)
    check(model.name == f"models/{MODEL}" and model.input_token_limit == 128_000, model)


def mounted(side):
    if side.direct:
        return
    good = client(side, path="/gemini")
    check(good.models.generate_content(model=MODEL, contents="hello").text == TEXT, "at the mount")
    stream = good.models.generate_content_stream(model=MODEL, contents="hello")
    check("".join(chunk.text for chunk in stream) == TEXT, "a stream at the mount")
    check(good.models.count_tokens(model=MODEL, contents="hello").total_tokens == 5, "")


async def asynchronous(side):
    good = client(side)
    answer = await good.aio.models.generate_content(model=MODEL, contents="hello")
    check(answer.text == TEXT, answer)
    text = ""
    async for chunk in await good.aio.models.generate_content_stream(
        model=MODEL, contents="hello"
    ):
        text += chunk.text
    check(text == TEXT, text)


def upstream_errors(side):
    for status, kind in [
        (400, errors.ClientError),
        (403, errors.ClientError),
        (404, errors.ClientError),
        (429, errors.ClientError),
        (503, errors.ServerError),
    ]:
        attempts = Attempts()
        good = client(side, client_args={"event_hooks": attempts.hooks})
        error = raised(
            kind,
            lambda: good.models.generate_content(
                model=MODEL, contents="hello", config=config(f"status={status}")
            ),
        )
        check((error.code, attempts.count) == (status, 1), (error, attempts.count))


def refused(side, code, status, reason, call=None, key="GOOD_KEY", kind=errors.ClientError):
    """A refusal of the gateway in Google's envelope."""
    attempts = Attempts()
    asking = client(side, key, client_args={"event_hooks": attempts.hooks})
    call = call or (lambda asking: asking.models.generate_content(model=MODEL, contents="hello"))
    error = raised(kind, lambda: call(asking))
    check((error.code, error.status) == (code, status), error)
    told = error.details["error"]["details"]
    info = next(item for item in told if item["@type"].endswith("/google.rpc.ErrorInfo"))
    check((info["reason"], info["domain"]) == (reason, "tollgate"), told)
    check(error.response.headers["x-tollgate-request-id"].startswith("req_"), error)
    check(attempts.count == 1, (reason, attempts.count))
    waits = [item["retryDelay"] for item in told if item["@type"].endswith("RetryInfo")]
    return [int(wait.removesuffix("s")) for wait in waits]


def refusals(side):
    def generate(model=MODEL, contents="hello", **members):
        asked = {"model": model, "contents": contents, "config": config(**members)}
        return lambda asking: asking.models.generate_content(**asked)

    refused(side, 400, "INVALID_ARGUMENT", "UNKNOWN_MODEL", generate(model="nope"))
    refused(
        side, 400, "INVALID_ARGUMENT", "UNSUPPORTED_PARAMETER",
        generate(tools=[types.Tool(google_search=types.GoogleSearch())]),
    )
    refused(side, 400, "INVALID_ARGUMENT", "INVALID_VALUE", generate(max_output_tokens=-1))
    for key, reason in [
        ("UNKNOWN_KEY", "INVALID_API_KEY"),
        ("REVOKED_KEY", "KEY_REVOKED"),
        ("DISABLED_KEY", "KEY_DISABLED"),
        ("EXPIRED_KEY", "KEY_EXPIRED"),
    ]:
        refused(side, 401, "UNAUTHENTICATED", reason, key=key)
    refused(side, 402, "FAILED_PRECONDITION", "BUDGET_EXCEEDED", key="POOR_KEY")
    refused(side, 403, "PERMISSION_DENIED", "MODEL_NOT_ALLOWED", key="NARROW_KEY")
    refused(
        side, 404, "NOT_FOUND", "UNKNOWN_MODEL", lambda asking: asking.models.get(model="nope")
    )
    refused(side, 404, "NOT_FOUND", "UNKNOWN_ENDPOINT", lambda asking: list(asking.files.list()))
    refused(side, 413, "INVALID_ARGUMENT", "BODY_TOO_LARGE", generate(contents="x" * (11 << 20)))
    status = "RESOURCE_EXHAUSTED"
    client(side, "LIMITED_KEY").models.generate_content(model=MODEL, contents="hello")
    [wait] = refused(side, 429, status, "RPM_EXCEEDED", key="LIMITED_KEY")
    check(1 <= wait <= 60, wait)
    client(side, "DAILY_KEY").models.generate_content(model=MODEL, contents="hello")
    [wait] = refused(side, 429, status, "RPD_EXCEEDED", key="DAILY_KEY")
    check(wait > 3600, wait)


def ended_streams(side):
    words = "error_after=5" if side.direct else "tokens=50,chunk_delay=20"
    shown = ""
    try:
        stream = client(side).models.generate_content_stream(
            model=MODEL, contents="hello", config=config(words, max_output_tokens=5)
        )
        for chunk in stream:
            shown += chunk.text
        raise AssertionError("the stream ended well")
    except errors.APIError as error:
        check(shown == "tok " * 5, (shown, error))
        if not side.direct:
            check("OUTPUT_BOUND_EXCEEDED" in str(error.details), error.details)


def suite(side):
    for part in [
        plain, streamed, thinking, tools, chats, embeddings, counting, models, mounted,
        upstream_errors, ended_streams,
    ]:
        part(side)
    asyncio.run(asynchronous(side))
    if not side.direct:
        refusals(side)


def away(side):
    waits = refused(
        side, 503, "UNAVAILABLE", "POLICY_UNAVAILABLE", key="STRANGER_KEY", kind=errors.ServerError
    )
    check(len(waits) == 1 and waits[0] >= 1, waits)


main(suite, away)
