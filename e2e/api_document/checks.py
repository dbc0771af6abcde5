"""A check of our own beside those of schemathesis."""

import requests
import schemathesis

_asked = set()


@schemathesis.check
def a_token_is_wanted(ctx, response, case):
    """Whatever succeeded does not without a token, nor with a wrong one.

    Like `ignored_auth`, which does not know that whoever guesses tokens is soon told to wait (429).
    """
    label = case.operation.label
    if not response.status_code < 300 or label in _asked:
        return
    if case.operation.definition.raw.get("security") == []:
        return
    _asked.add(label)
    sent = response.request
    headers = {name: value for name, value in sent.headers.items() if name.lower() != "authorization"}
    for token, expected in ((None, {401}), ("tga_wrong", {401, 429})):
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        again = requests.request(
            sent.method, sent.url, data=sent.body, headers=headers, timeout=10, allow_redirects=False
        )
        assert again.status_code in expected, f"{label} answers {again.status_code} to {token}"
