"""What the suites share: where they run, how they check, how a run goes.

Every suite runs twice: directly against the mock upstream, which proves that the suite itself is right,
and through the gateway. Then it says `served`, waits for a line, by which the policy server is gone, and
looks at what is answered now.
"""

import os
import sys
import time
import traceback

passed = 0


class Side:
    """One of the two places at which a suite runs."""

    def __init__(self, direct):
        self.direct = direct
        self.base = os.environ["UPSTREAM" if direct else "GATEWAY"]

    def key(self, name="GOOD_KEY"):
        """A key from the environment. The mock upstream takes anything."""
        return "sk-anything" if self.direct else os.environ[name]


class Attempts:
    """Counts requests that leave a client; give `hooks` to its HTTP client."""

    def __init__(self):
        self.count = 0
        self.hooks = {"request": [self._one_more]}

    def _one_more(self, _request):
        self.count += 1


def check(condition, what):
    global passed
    assert condition, what
    passed += 1


def raised(kind, call):
    """The exception of a call, which must be of exactly this class."""
    begun = time.monotonic()
    try:
        call()
    except kind as error:
        check(type(error) is kind, f"{type(error).__name__}, not {kind.__name__}: {error}")
        error.waited = time.monotonic() - begun
        return error
    raise AssertionError(f"no {kind.__name__}")


def fault(words):
    """The header with which the mock upstream is told to fail."""
    return {"x-mock-fault": words}


def main(suite, away):
    try:
        for side in (Side(direct=True), Side(direct=False)):
            suite(side)
        print("served", flush=True)
        sys.stdin.readline()
        away(Side(direct=False))
    except BaseException:
        traceback.print_exc()
        # Not to wait for threads of a client.
        sys.stderr.flush()
        os._exit(1)
    print(f"{passed} checks passed", flush=True)
