"""Cells: what a server may do to one request on the wire, by row of the fault matrix, and what it must come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scripted import Act, Script
from spoken import TOKENS, Talk, chunked, sized

from arriero.core.outcome import FailureKind
from arriero.core.request import Timeouts

K = FailureKind
LONG = Timeouts(first_byte_s=3000.0, idle_s=3000.0, total_s=3000.0)
"""Engine seconds, of which a test has a hundred in a real one."""

FIRST = Timeouts(first_byte_s=8.0, idle_s=3000.0, total_s=3000.0)
IDLE = Timeouts(first_byte_s=3000.0, idle_s=8.0, total_s=3000.0)
TOTAL = Timeouts(first_byte_s=3000.0, idle_s=3000.0, total_s=8.0)
DRIP_S = 0.01
"""Real seconds between two bytes: one in an engine second."""

HTML = b"<!doctype html><html><body><h1>Welcome to nginx!</h1></body></html>"
BUSY = "server busy, please try again.  maximum pending requests exceeded"
DIED = "an error was encountered while running the model: unexpected EOF"
CLOSE, RESET, HOLD, UNREAD = Act.CLOSE, Act.RESET, Act.HOLD, Act.UNREAD


@dataclass(frozen=True)
class Cell:
    """One thing a server does, and what must come of it.

    Attributes:
        row: In the fault matrix.
        name: What happens.
        script: What the server plays, by dialect.
        kind: The failure; None where the answer is whole and its text exactly what was sent.
        words: In the failure's detail.
        kept: The connection serves the next request; else the server sees it closed.
        crashed: The request is suspected of having taken a server down; None: either, by what was sent when it happened.
        timeouts: Of the attempt.
        texts: What the answer says, token by token.
        only: Only where this is in the name of the dialect and form.
        retry_after_s: What the failure says of it.
        threads: Kind and words with the engine of threads, whose parser gives up sooner, or does not look; the same if None.
    """

    row: int
    name: str
    script: Callable[[Talk], Script]
    kind: FailureKind | None = None
    words: str = ""
    kept: bool = False
    crashed: bool | None = False
    timeouts: Timeouts = LONG
    texts: tuple[str, ...] = TOKENS
    only: str = ""
    retry_after_s: float | None = None
    threads: tuple[FailureKind | None, str] | None = None


def status(number: str, text: str = "something went wrong", *headers: str) -> Callable[[Talk], Script]:
    """An error of the dialect with a status."""
    return lambda talk: [sized(talk.frames().error(int(number[:3]), text), "application/json", *headers, status=number)]


def reply(*headers: str, kind: str | None = None) -> Callable[[Talk], Script]:
    """The right answer with its length, under other headers."""
    return lambda talk: [sized(talk.body(), talk.type if kind is None else kind, *headers)]


def half(talk: Talk) -> bytes:
    body = talk.body()
    return body[: len(body) * 2 // 5]


def split(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def raw_byte(talk: Talk, byte: bytes) -> bytes:
    """The right answer with one byte more inside its text."""
    return talk.body().replace(b"hohen", b"ho" + byte + b"hen", 1)


def bom(talk: Talk) -> Script:
    """The right answer behind a byte order mark, which may stand before events only (WHATWG HTML, section 9.2)."""
    return [sized(b"\xef\xbb\xbf" + talk.body(), talk.type)]


def later(row: int, header: str, seconds: float | None, name: str) -> Cell:
    date = "Date: Tue, 24 Nov 2026 10:00:00 GMT"
    said = status("429 Too Many Requests", "slow down", f"Retry-After: {header}", date)
    return Cell(row, f"retry-after-{name}", said, K.OVERLOADED, kept=True, retry_after_s=seconds)


def moved(number: str, where: str, name: str) -> Cell:
    return Cell(
        44,
        f"{number[:3]}-{name}",
        lambda _talk: [sized(b"", "", f"Location: {where}", status=number)],
        K.REDIRECTED,
        kept=True,
    )


def good_of(talk: Talk, texts: tuple[str, ...]) -> bytes:
    return chunked(talk.pieces(texts), talk.type) if talk.stream else sized(talk.body(texts), talk.type)
