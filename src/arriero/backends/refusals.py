"""Refusals: replies that are no answer, told apart by status, text and shape, as Failures."""

from __future__ import annotations

import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import isfinite

from arriero.backends.texts import Words, meaning, prompt_tokens, words
from arriero.backends.wire import HttpReply
from arriero.core.outcome import Failure, FailureKind

RETRY_AFTER_S = 300.0
"""What a server may ask us to wait at most, in seconds (``docs/reliability.md``)."""

_ANSWERED = range(200, 300)
_REDIRECTED = range(300, 400)
_REFUSED = range(400, 500)
_UNAUTHORIZED = frozenset({401, 402, 403, 407})
_OVERLOADED = frozenset({429, 503, 529})
_NO_PATH = frozenset({404, 405})
_EVERY_ERROR_IS_400 = frozenset({"/api/embed"})
"""Paths where a 400 does not say whose fault it is: the death of a model process is one too.

Source: Ollama v0.24.0 and v0.33.0, ``EmbedHandler`` (recorded replies in ``tests/conformance/recordings``).
"""
_BY_STATUS = {
    408: FailureKind.TIMEOUT,
    413: FailureKind.REJECTED,
    414: FailureKind.REJECTED,
    431: FailureKind.REJECTED,
    499: FailureKind.SERVER_ERROR,  # Ollama: whoever asked it hung up; only a gateway can show us that
    501: FailureKind.UNSUPPORTED,
}
_WITHOUT_TEXT = {
    403: "403 without a text: the server does not accept the host name in its URL (Ollama bound to loopback does so), "
    "or a proxy refuses"
}


def answered(reply: HttpReply) -> bool:
    """Whether the exchange ended with a status of success; the body decides the rest."""
    return reply.broken is None and reply.status in _ANSWERED


def failure(
    reply: HttpReply,
    kind: FailureKind,
    detail: str,
    *,
    own: bool = False,
    crashed: bool = False,
    repeated: bool = False,
    retry_after_s: float | None = None,
    n_prompt_tokens: int | None = None,
) -> Failure:
    """A Failure with what the reply itself says: status, whether a token had come, seconds taken."""
    return Failure(
        kind=kind,
        detail=detail,
        own=own,
        status=reply.status or None,
        retry_after_s=retry_after_s,
        crashed=crashed,
        repeated=repeated,
        began=reply.ttft_s is not None,
        latency_s=reply.latency_s,
        n_prompt_tokens=n_prompt_tokens,
    )


def bad_reply(reply: HttpReply, detail: str, *, repeated: bool = False) -> Failure:
    """The reply claims success and is none; ``detail`` is in our own words."""
    return failure(reply, FailureKind.BAD_REPLY, detail, own=True, repeated=repeated)


def refused(reply: HttpReply, path: str) -> Failure:
    """Judge an exchange that did not end, or ended with a status outside 200 to 299.

    Args:
        reply: What came back.
        path: The path that was asked, named when the server does not have it. ``unsupported`` with status 404 or 405
            always means the path: a missing model is ``model_missing``.
    """
    if reply.broken is not None or reply.status == 0:
        return _broken(reply)
    if reply.status in _REDIRECTED:
        return failure(reply, FailureKind.REDIRECTED, reply.location)
    said = words(reply.body)
    if reply.status in _UNAUTHORIZED:
        ours = "" if said.shown else _WITHOUT_TEXT.get(reply.status, "")
        return failure(reply, FailureKind.UNAUTHORIZED, ours or said.shown, own=bool(ours))
    if reply.status in _OVERLOADED:
        wait_s = retry_after_s(reply.retry_after, reply.date)
        return failure(reply, FailureKind.OVERLOADED, said.shown, retry_after_s=wait_s)
    if reply.status in _NO_PATH:
        return _not_found(reply, said, path)
    fallback = _fallback(reply.status, is_json=said.is_json)
    only_ours = fallback is FailureKind.REJECTED and path not in _EVERY_ERROR_IS_400
    return _by_text(reply, said, fallback, only_ours=only_ours)


def reported(reply: HttpReply, error: bytes) -> Failure:
    """Judge an error that came inside a 200.

    Args:
        reply: What came back.
        error: The raw JSON of its ``error`` member: a string or an object.
    """
    said = words(b'{"error":' + error + b"}")
    return _by_text(reply, said, FailureKind.BAD_REPLY, only_ours=False)


def retry_after_s(header: str, date: str = "") -> float | None:
    """Seconds that ``Retry-After`` asks for, at most ``RETRY_AFTER_S``.

    Args:
        header: The header: seconds, or a moment.
        date: The ``Date`` header, from which a moment counts, so that the two machines' clocks need not agree; our own
            clock where it is missing.

    Returns:
        None if there is no header, or nothing sensible in it.

    Source:
        RFC 9110 section 10.2.3.
    """
    try:
        seconds = float(header)
    except ValueError:
        moment = _moment(header)
        if moment is None:
            return None
        sent = _moment(date)
        seconds = max(0.0, moment - (time.time() if sent is None else sent))
    if not isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, RETRY_AFTER_S)


def _broken(reply: HttpReply) -> Failure:
    """A connection lost after sending is all that a server which went down leaves behind."""
    if reply.broken is None:
        return failure(reply, FailureKind.UNREACHABLE, "no reply", own=True)
    kind, detail = reply.broken.kind, reply.broken.detail
    return failure(reply, kind, detail, own=True, crashed=kind is FailureKind.UNREACHABLE and reply.broken.sent)


def _not_found(reply: HttpReply, said: Words, path: str) -> Failure:
    row = meaning(said.searched, only_ours=True)
    if row is not None and row.kind is FailureKind.MODEL_MISSING:
        return failure(reply, FailureKind.MODEL_MISSING, said.shown)
    return failure(reply, FailureKind.UNSUPPORTED, f"{path} is not served: {said.shown}")


def _by_text(reply: HttpReply, said: Words, fallback: FailureKind, *, only_ours: bool) -> Failure:
    row = meaning(said.searched, only_ours=only_ours)
    if row is None:
        return failure(reply, fallback, said.shown)
    tokens = prompt_tokens(said.searched) if row.kind is FailureKind.TOO_LONG else None
    return failure(reply, row.kind, said.shown, crashed=row.crashed, n_prompt_tokens=tokens)


def _fallback(status: int, *, is_json: bool) -> FailureKind:
    """The kind of a status whose text says nothing."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status in _REFUSED and is_json:
        return FailureKind.REJECTED
    # A 4xx that is not JSON was written by something in front of the server (plain HTTP to a TLS port, say).
    return FailureKind.SERVER_ERROR if status >= _REFUSED.stop else FailureKind.BAD_REPLY


def _moment(header: str) -> float | None:
    """Unix seconds of an HTTP date; None if it is none."""
    try:
        moment: datetime = parsedate_to_datetime(header)
        return moment.timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
