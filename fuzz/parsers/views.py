"""What Python sees in request bodies: reads each behind its length (4 bytes), answers in the same way.

The first argument is the list of paths in JSON. Values are written as fuzz/src/agreement/view.rs says.
"""

import json
import sys

PATHS = [path.split(".") for path in json.loads(sys.argv[1])]


def canonical(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"i:{value}"
    if isinstance(value, float):
        whole = value == value and abs(value) < 1e37 and value == int(value)
        return f"i:{int(value)}" if whole else f"f:{value!r}"
    if isinstance(value, str):
        return "s:" + value.encode("utf-8", "surrogatepass").hex()
    return "[]" if isinstance(value, list) else "{}"


def at(value, path):
    if not path:
        return canonical(value)
    if path[0] == "*":
        if not isinstance(value, list):
            return None
        return "[" + ",".join(at(item, path[1:]) or "" for item in value) + "]"
    if not isinstance(value, dict) or path[0] not in value:
        return None
    return at(value[path[0]], path[1:])


def first_wins(pairs):
    value = {}
    for name, item in pairs:
        value.setdefault(name, item)
    return value


PARSERS = {
    # Finds the encoding out by itself.
    "python bytes": lambda body: json.loads(body),
    # As frameworks do that decode first.
    "python text": lambda body: json.loads(body.decode("utf-8")),
    "python replaced": lambda body: json.loads(body.decode("utf-8", "replace")),
    "python ignored": lambda body: json.loads(body.decode("utf-8", "ignore")),
    "python latin-1": lambda body: json.loads(body.decode("latin-1")),
    "python not strict": lambda body: json.loads(body, strict=False),
    "python first": lambda body: json.loads(body, object_pairs_hook=first_wins),
}


def views(body):
    for parser, parse in PARSERS.items():
        try:
            value = parse(body)
        except (ValueError, RecursionError) as error:
            yield {"parser": parser, "error": type(error).__name__}
            continue
        if not isinstance(value, dict):
            yield {"parser": parser, "error": "no object"}
            continue
        seen = {".".join(path): at(value, path) for path in PATHS}
        yield {"parser": parser, "seen": {path: one for path, one in seen.items() if one is not None}}


def main():
    reader, writer = sys.stdin.buffer, sys.stdout.buffer
    while head := reader.read(4):
        body = reader.read(int.from_bytes(head, "big"))
        answer = json.dumps(list(views(body))).encode()
        writer.write(len(answer).to_bytes(4, "big") + answer)
        writer.flush()


main()
