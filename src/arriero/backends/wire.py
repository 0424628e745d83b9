"""HttpCall, HttpReply and the Backend protocol: what a dialect turns an attempt into, and judges."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from arriero.core.outcome import FailureKind, Outcome
from arriero.core.request import Attempt, Timeouts


class HttpCall(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP exchange to make, relative to an instance's base URL.

    Attributes:
        method: ``GET`` or ``POST``.
        path: Absolute path, such as ``/api/chat``.
        body: JSON bytes; None for none.
        timeouts: When to give up.
        stream: Whether the answer comes in pieces (``Backend.began`` is asked of each until it says yes).
        own_connection: The connection is not used again: the server may close it after the answer without saying so.
    """

    method: Literal["GET", "POST"]
    path: str
    body: bytes | None = None
    timeouts: Timeouts
    stream: bool = False
    own_connection: bool = False


class Broken(msgspec.Struct, frozen=True, gc=False):
    """The exchange did not come to its end; made in ``engines/``: by the table of ``failures.py``, or where we end it.

    Attributes:
        kind: ``unreachable``, ``timeout``, ``bad_reply`` (too large, bad encoding) or ``cancelled``.
        detail: Short text of ours or of the system, never of the server.
        sent: The request may have reached the server.
    """

    kind: FailureKind
    detail: str
    sent: bool = True


class HttpReply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back.

    Attributes:
        status: HTTP status; 0 if no header arrived.
        content_type: Lower case, without parameters; ``""`` if none.
        retry_after: The ``Retry-After`` header as it came; ``""`` if none.
        location: The ``Location`` header of a 3xx; ``""`` otherwise.
        date: The ``Date`` header as it came; a ``Retry-After`` that names a moment counts from it.
        body: All bytes received, decoded from their transfer and content encoding, joined once at the end.
        broken: Why the exchange did not end; None when the body is complete as HTTP sees it.
        latency_s: Sending to last byte, or to giving up.
        ttft_s: Sending to the piece that ``Backend.began`` accepted; None if none was.
    """

    status: int
    content_type: str = ""
    retry_after: str = ""
    location: str = ""
    date: str = ""
    body: bytes = b""
    broken: Broken | None = None
    latency_s: float = 0.0
    ttft_s: float | None = None


class Backend(Protocol):
    """A dialect: pure functions over bytes; it never sends."""

    name: str

    def call(self, attempt: Attempt) -> HttpCall:
        """Write the attempt in this dialect.

        Raises:
            UnsupportedError: If the dialect cannot say it; ``outcome`` is then not asked.
        """
        ...

    def began(self, chunk: bytes) -> bool:
        """Whether this piece of a stream holds the first token (a role-only piece does not)."""
        ...

    def outcome(self, attempt: Attempt, reply: HttpReply) -> Outcome:
        """Judge the reply: success only if it is whole and really the answer. Never raises."""
        ...


class UnsupportedError(Exception):
    """The dialect, or the instance's only endpoint, cannot express the request; ends it as ``unsupported``."""
