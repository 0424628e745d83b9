"""Rows to read, damaged ones too, and what the standard library says of them on the wire and in an output."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from math import inf

import msgspec
from fuzzing import ODD_TEXTS, numbers, texts, values
from hypothesis import strategies as st
from mutants import CANARY, PIECES

from arriero.backends.ollama import Ollama
from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.request import Attempt, Timeouts
from arriero.inputs.bind import Binder
from arriero.inputs.jsonl import parse_json
from arriero.inputs.lines import Line
from arriero.inputs.row import BadRow, Row
from arriero.journal.stored import StoredResult
from arriero.outputs.record import record_bytes

NEVER = Timeouts(inf, inf, inf)
OWN = {"id", "model", "system", "options", "format", "images", "max_tokens", "timeout_s", "priority"}
KNOWN = OWN | {"prompt", "messages", "custom_id"}
IMAGE = base64.b64encode(b"\x89PNG\r\n").decode()


def exact(text):
    """JSON as the standard library reads it; the names of the outermost object stand once."""
    outermost = []

    def remember(pairs):
        outermost[:] = [name for name, _ in pairs]
        return dict(pairs)

    found = json.loads(text, object_pairs_hook=remember, parse_constant=lambda _: 1 / 0)
    assert not isinstance(found, dict) or len(set(outermost)) == len(outermost), "a name stands twice"
    return found


def exact_options(line):
    """The options of a line, none of which stands twice."""
    raw = msgspec.json.decode(line, type=dict[str, msgspec.Raw]).get("options", b"null")
    return exact(bytes(raw)) or {}


def spelled(value):
    """A value with its types, so that 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {name: spelled(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [spelled(inner) for inner in value]
    return f"{type(value).__name__} {value!r}"


def sent(request, dialect=None):
    """The body that goes out for a request, read by the standard library."""
    attempt = Attempt(id=1, instance="a", request=request, unit=request.unit, max_tokens=9, timeouts=NEVER)
    return exact((dialect or Ollama()).call(attempt).body)


def written(row, text="an answer"):
    """The record of the row in an output, read by the standard library."""
    outcome = Success(text=text, finish_reason="stop", usage=Usage(), timing=Timing(0.5))
    place = {"batch": 1, "position": row.position, "round": 0, "id": row.id, "row_hash": row.hash}
    sending = {"model": "m", "instance": "a", "attempts": 1, "attempt": 1, "session": "s", "ended_at": 0.0}
    stored = StoredResult(outcome=outcome, **place, **sending)
    return exact(record_bytes(row, stored, row.prompt if isinstance(row, Row) else None))


messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(("user", "assistant", "system", "tool")), "content": texts}),
    max_size=3,
)
rows = st.fixed_dictionaries(
    {},
    optional={
        "prompt": texts,
        "messages": messages,
        "id": st.one_of(texts, numbers),
        "model": texts,
        "system": texts,
        "options": st.dictionaries(
            st.one_of(st.sampled_from(("seed", "temperature", "num_ctx", "num_predict", "x")), texts),
            values,
            max_size=3,
        ),
        "format": st.one_of(st.just("json"), st.dictionaries(texts, values, max_size=2)),
        "images": st.lists(
            st.sampled_from((IMAGE, "http://x/" + CANARY, "data:image/png;base64," + IMAGE)), max_size=2
        ),
        "max_tokens": numbers,
        "timeout_s": numbers,
        "priority": numbers,
        "note": values,
        "response": values,
        "status": values,
    },
)
options = st.dictionaries(
    st.one_of(st.sampled_from(("seed", "x", "top_k")), texts), st.one_of(numbers, values), min_size=1, max_size=3
)
plain_rows = st.fixed_dictionaries(
    {"prompt": texts.map(lambda text: "p" + text)},
    optional={"options": options, "note": values, "id": texts, "system": texts, "response": values},
)
damage = st.lists(
    st.tuples(st.sampled_from(("flip", "cut", "insert", "double")), st.floats(0, 1), st.integers(0, 255)), max_size=2
)


def damaged(text, plan):
    """A line with a byte changed, its end cut off, a piece put in, or a member written twice."""
    for way, place, number in plan:
        at = int(place * len(text))
        if way == "flip":
            text = text[:at] + bytes([number]) + text[at + 1 :]
        elif way == "cut":
            text = text[:at]
        elif way == "insert":
            text = text[:at] + PIECES[number % len(PIECES)] + text[at:]
        elif number % 2 and (inner := re.search(rb'\{"(?:[^"\\]|\\.)*": (?:[-\d.e]+|"[^"\\]*"|null)[,}]', text)):
            text = text[: inner.end() - 1] + b"," + inner[0][1:-1] + text[inner.end() - 1 :]
        elif text.endswith(b"}") and len(text) > 2:
            text = text[:-1] + b"," + text[1:]
    return text.replace(b"\n", b" ")


def accepted(line, *, templated=False):
    """The row of a line, or None; a bad one says where and why in words of ours."""
    row = parse_json(3, Line(7, 0, line), templated=templated)
    assert parse_json(3, Line(7, 0, line), templated=templated) == row
    assert row.hash == hashlib.blake2b(line, digest_size=16).digest()
    if isinstance(row, BadRow):
        assert CANARY not in row.reason
        assert 1 <= row.column <= len(line) + 1
        assert row.line == 7
        assert written(row)["prompt"] is None
        return None
    return row


def bound(row, binder=None):
    """The request, or None for what ends unsent with a kind of the list."""
    one = (binder or Binder(model="m")).request(row, batch=1)
    if isinstance(one, Failure):
        assert one.kind in {FailureKind.REJECTED, FailureKind.UNSUPPORTED}
        return None
    return one


def check_wire(given, row):
    """Prompt, turns, options and the fields that pass through are those of the line."""
    record = written(row)
    kept = {name: record.get("input", {}).get(name, record.get(name)) for name in given if name not in KNOWN}
    assert spelled(kept) == spelled({name: value for name, value in given.items() if name not in KNOWN})
    assert record["prompt"] == given.get("prompt")
    request = bound(row)
    if request is None:
        return
    body = sent(request)
    turns = [(turn["role"], turn.get("content", "")) for turn in body["messages"]]
    asked = given.get("messages") or [{"role": "user", "content": given["prompt"]}]
    system = [("system", given["system"])] if given.get("system") else []
    assert turns == system + [(turn["role"], turn["content"]) for turn in asked]
    free = {name: value for name, value in (given.get("options") or {}).items() if name not in SAID_ELSEWHERE}
    assert spelled({name: body["options"][name] for name in free}) == spelled(free)
    if given.get("format"):
        assert spelled(body["format"]) == spelled(given["format"])
    if not isinstance(given.get("id"), str | int):
        assert request.id == "7"
    else:
        assert request.id == str(given["id"])


SAID_ELSEWHERE = ("num_ctx", "num_predict", "think", "truncate", "keep_alive", "shift", "logprobs", "top_logprobs")


lines = st.lists(
    st.one_of(
        rows.map(lambda row: json.dumps(row).encode()),
        st.sampled_from([text.encode() for text in ODD_TEXTS] + list(PIECES)),
        texts.map(lambda text: json.dumps({"prompt": "p" + text}).encode()),
        st.binary(max_size=12),
    ),
    max_size=8,
)


def numbered(data):
    """Number and bytes of each line, as an editor counts them."""
    split = data.split(b"\n")
    for number, line in enumerate(split, 1):
        if number == len(split) and not line:
            return
        text = line.removesuffix(b"\r")
        yield number, text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text


def blank(text):
    try:
        return not text.decode().strip()
    except UnicodeDecodeError:
        return False
