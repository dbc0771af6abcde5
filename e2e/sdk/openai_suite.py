"""The official OpenAI SDK against a gateway: every call as a developer would write it."""

import os
import time

import openai

BASE = os.environ["GATEWAY"] + "/v1"
MESSAGES = [{"role": "user", "content": "hello"}]
passed = 0


def client(name, **options):
    return openai.OpenAI(base_url=BASE, api_key=os.environ.get(name, name), **options)


def check(condition, what):
    global passed
    assert condition, what
    passed += 1


def raises(kind, status, code, call):
    try:
        call()
    except kind as error:
        check(
            type(error) is kind and error.status_code == status and error.code == code,
            f"{type(error).__name__} {error.status_code} {error.code}",
        )
        return error
    raise AssertionError(f"no {kind.__name__}")


good = client("GOOD_KEY")

names = [model.id for model in good.models.list()]
check("gpt-4o-mini" in names and "gpt-4o" in names, names)

answer = good.chat.completions.create(model="fast", messages=MESSAGES)
check(
    answer.choices[0].message.content
    and answer.usage.completion_tokens == 16
    and answer.usage.cost_usd == 0.000010637,
    answer,
)

chunks = list(good.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True))
text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
check(text and all(chunk.usage is None for chunk in chunks), chunks)

chunks = list(
    good.chat.completions.create(
        model="gpt-4o-mini",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
    )
)
check(chunks[-1].usage.total_tokens == 21 and chunks[-1].usage.cost_usd == 0.000010637, chunks[-1])

call = {"model": "gpt-4o", "messages": MESSAGES}
raises(
    openai.AuthenticationError, 401, "invalid_api_key",
    lambda: client("sk-0123456789012345678901234").chat.completions.create(**call),
)
raises(
    openai.PermissionDeniedError, 403, "model_not_allowed",
    lambda: client("NARROW_KEY").chat.completions.create(**call),
)

limited = client("LIMITED_KEY", max_retries=0)
limited.chat.completions.create(**call)
error = raises(
    openai.RateLimitError, 429, "rpm_exceeded", lambda: limited.chat.completions.create(**call)
)
check(1 <= int(error.response.headers["retry-after"]) <= 60, error.response.headers)

# The SDK has no class of its own for 402, and does not try again.
begun = time.monotonic()
raises(
    openai.APIStatusError, 402, "budget_exceeded",
    lambda: client("POOR_KEY").chat.completions.create(**call),
)
assert time.monotonic() - begun < 5, "a spent budget was retried"

# A stream that is ended on its way raises an error that says why.
shown = ""
try:
    for chunk in good.chat.completions.create(
        model="gpt-4o-mini",
        messages=MESSAGES,
        stream=True,
        max_tokens=5,
        extra_headers={"x-mock-fault": "tokens=50,chunk_delay=20"},
    ):
        shown += chunk.choices[0].delta.content or ""
except openai.APIError as error:
    check(
        shown == "tok " * 5
        and (error.code, error.type) == ("output_bound_exceeded", "api_error"),
        (shown, error.code, error.type),
    )

print(f"{passed} checks passed")
