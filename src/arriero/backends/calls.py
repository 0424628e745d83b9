"""Calls: what both dialects write a call from: the content and the unit of an attempt, and the body's bytes."""

from __future__ import annotations

import msgspec

from arriero.backends.wire import HttpCall, UnsupportedError
from arriero.core.request import Attempt, Content, Unit

PROBE = Content(prompt="Hi")
"""What a probe asks: the shortest prompt that makes a model compute."""

_ENCODER = msgspec.json.Encoder()


def content(attempt: Attempt) -> Content:
    """What the attempt says: its request's content, else the probe's."""
    return attempt.request.content if attempt.request is not None else PROBE


def unit(attempt: Attempt) -> Unit:
    """What must be resident for the attempt: its own unit, else its request's."""
    if attempt.unit is not None:
        return attempt.unit
    return attempt.request.unit if attempt.request is not None else Unit("")


def post(
    attempt: Attempt, path: str, body: dict[str, object], *, stream: bool, own_connection: bool = False
) -> HttpCall:
    """A call with a JSON body.

    Raises:
        UnsupportedError: If a text holds half a surrogate pair, which has no UTF-8.
    """
    try:
        data = _ENCODER.encode(body)
    except ValueError as error:
        raise UnsupportedError("the request cannot be written as UTF-8 JSON") from error
    return HttpCall(
        method="POST",
        path=path,
        body=data,
        timeouts=attempt.timeouts,
        stream=stream,
        own_connection=own_connection,
    )


def get(attempt: Attempt, path: str) -> HttpCall:
    """A call without a body."""
    return HttpCall(method="GET", path=path, timeouts=attempt.timeouts)
