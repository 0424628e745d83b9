"""Mutants of recorded replies: cut, flipped, frames dropped, doubled, reordered, values replaced, headers changed."""

from __future__ import annotations

import json

from fuzzing import ODD_NUMBERS, ODD_TEXTS
from hypothesis import strategies as st

from arriero.backends.wire import Broken, HttpReply
from arriero.core.outcome import FailureKind

CANARY = "qzKANARIq"
"""A foreign word in every text that a mutant brings."""

KEYS = (
    "done",
    "done_reason",
    "error",
    "model",
    "message",
    "response",
    "thinking",
    "content",
    "choices",
    "finish_reason",
    "index",
    "delta",
    "usage",
    "embeddings",
    "embedding",
    "data",
    "models",
    "logprobs",
    "eval_count",
    "total_duration",
    "prompt_eval_count",
    "version",
    "name",
    "details",
    "model_info",
    "context_length",
    "timings",
    "prompt_tokens",
)
ODD = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    CANARY,
    {"message": CANARY, "code": 10**30},
    [{"embedding": [0.5]}],
    [[0.5, 1]],
    {"content": CANARY},
    *ODD_TEXTS,
    *ODD_NUMBERS,
)
PIECES = (
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\n\n",
    b"data: ",
    b"data: [DONE]\n\n",
    b"[DONE]",
    b"<html>" + CANARY.encode(),
    b"{}",
    b'{"done":true}\n',
    b'{"error":"' + CANARY.encode() + b'"}\n',
    b'data: {"error":{"message":"' + CANARY.encode() + b'"}}\n\n',
    b": x\n",
    b"error: {}\n",
    b"[" * 5000,
    b'{"a":' * 5000,
    b"NaN",
    b"\\ud800",
)
STATUSES = (200, 200, 200, 201, 204, 206, 300, 302, 400, 401, 403, 404, 405, 408, 413, 418, 429, 499, 500, 501, 502)
STATUSES = (*STATUSES, 503, 504, 529, 599, 0)
HEADERS = (
    "",
    "5",
    "-1",
    "nan",
    "inf",
    "1e999",
    "9" * 400,
    "Wed, 21 Oct 2015 07:28:00 GMT",
    "Mon, 99 Foo 0000",
    "\0",
    "٣",
)
HEADERS = (*HEADERS, "Sun, 31 Dec 9999 23:59:59 -9959", "Mon, 01 Jan 0001 00:00:00", "Mon, 01 Jan 0001 00:00:00 +2359")

_place = st.floats(0, 1)
_number = st.integers(0, 255)
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ("cut", "flip", "insert", "erase", "drop", "double", "swap", "value", "value", "splice", "glue")
        ),
        _place,
        _place,
        _number,
    ),
    max_size=3,
)
"""What is done to a body: a way, two places in it as fractions, and a number that the way makes something of."""

replies = st.tuples(
    st.one_of(st.just(200), st.sampled_from(STATUSES)),
    st.sampled_from(HEADERS),
    st.sampled_from(HEADERS),
    st.one_of(st.none(), st.none(), st.none(), st.sampled_from(FailureKind)),
    st.booleans(),
)
"""What is done around it: status, Retry-After, Date, how the exchange broke, whether a token was seen."""


def mutate(body, others, plan):
    """The body after the steps of a plan; ``others`` are bodies that pieces are borrowed from."""
    for way, first, second, number in plan:
        if way in ("cut", "flip", "insert", "erase"):
            body = _bytes(body, way, first, second, number)
        else:
            body = _frames(body, others, (way, first, second, number))
    return body


def _bytes(body, way, first, second, number):
    at, to = sorted((int(first * len(body)), int(second * len(body))))
    if way == "cut":
        return body[:to]
    if way == "flip":
        return body[:at] + bytes([number]) + body[at + 1 :]
    if way == "insert":
        return body[:at] + PIECES[number % len(PIECES)] + body[at:]
    return body[:at] + body[to:]


def _frames(body, others, step):
    way, first, second, number = step
    end = b"\n\n" if b"data:" in body[:200] else b"\n"
    pieces = body.split(end)
    here, there = min(int(first * len(pieces)), len(pieces) - 1), min(int(second * len(pieces)), len(pieces) - 1)
    if way == "drop":
        del pieces[here]
    elif way == "double":
        pieces.insert(there, pieces[here])
    elif way == "swap":
        pieces[here], pieces[there] = pieces[there], pieces[here]
    elif way == "splice":
        other = others[number % len(others)].split(end)
        pieces.insert(here, other[min(int(second * len(other)), len(other) - 1)])
    elif way == "glue" and len(pieces) > 1:
        after = pieces[here + 1 : here + 2]
        pieces[here : here + 2] = (
            [pieces[here] + after[0].removeprefix(b"data: " if number % 2 else b"")] if after else []
        )
    elif way == "value":
        pieces[here] = _changed(pieces[here], int(second * 1000), number)
    return end.join(pieces)


def _changed(piece, key, number):
    """A frame with one value replaced, where it still is JSON."""
    head = b"data: " if piece.startswith(b"data: ") else b""
    try:
        thing = json.loads(piece.removeprefix(head))
    except (ValueError, RecursionError):
        return piece
    holders = [thing] if isinstance(thing, dict) else []
    for holder in holders:
        inner = [value for value in holder.values() if isinstance(value, dict)]
        inner += [one for value in holder.values() if isinstance(value, list) for one in value if isinstance(one, dict)]
        holders += inner
    if not holders:
        return piece
    holders[number % len(holders)][KEYS[key % len(KEYS)]] = ODD[(key + number) % len(ODD)]
    return head + json.dumps(thing, ensure_ascii=bool(number % 2)).encode("utf-8", "surrogatepass")


def reply_of(body, around, content_type):
    """The reply around a body."""
    status, retry_after, date, broken, began = around
    return HttpReply(
        status=status,
        content_type=content_type,
        retry_after=retry_after,
        date=date,
        location="http://elsewhere/" + CANARY if 300 <= status < 400 else "",
        body=body,
        broken=None if broken is None else Broken(broken, "connection lost"),
        latency_s=0.5,
        ttft_s=0.25 if began else None,
    )
