"""Faults a server can show, when each strikes, and how it is played on the wire."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from fake_ollama.wire import JSON, NDJSON, TEXT, Reply, chunk

HTML = b"<html><head><title>Gateway</title></head><body><h1>Welcome</h1></body></html>"
PIECE = b'{"model":"m","created_at":"2026-01-01T00:00:00Z","response":"x","done":false}\n'


@dataclass
class Fault:
    """One fault and when it strikes; conditions that are given must all hold.

    Attributes:
        kind: A name in ``AT_ONCE`` (played instead of an answer) or ``INSIDE`` (an answer that goes wrong).
        at: Ordinals of generations at this server, from 0.
        every: Every n-th generation.
        chance: Probability, from the server's seeded generator.
        contains: The prompt contains this.
        path: Only on this path; a listing path makes listings fault too.
        times: How often at most.
        status, text, retry_after, location: For ``status`` and ``redirect``; the encoding of ``packed`` is its ``text``.
        after_tokens: For faults inside an answer.
        pause_s: Between the bytes of ``drip``.
    """

    kind: str
    at: tuple[int, ...] = ()
    every: int = 0
    chance: float = 1.0
    contains: str = ""
    path: str = ""
    times: int | None = None
    status: int = 500
    text: str = "something went wrong"
    retry_after: str = ""
    location: str = ""
    after_tokens: int = 2
    pause_s: float = 0.05

    def __post_init__(self) -> None:
        if self.kind not in AT_ONCE and self.kind not in INSIDE:
            raise ValueError(f"no fault is named {self.kind!r}: {sorted((*AT_ONCE, *INSIDE))}")

    def strikes(self, ordinal: int, prompt: str, path: str, chance: random.Random) -> bool:
        if self.times == 0 or (self.path and self.path != path) or self.contains not in prompt:
            return False
        if (self.at and ordinal not in self.at) or (self.every and ordinal % self.every):
            return False
        return self.chance >= 1.0 or chance.random() < self.chance


@dataclass
class Script:
    """The faults of one server; the first that strikes is played."""

    faults: list[Fault] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._ordinal = -1

    def next(self, prompt: str, path: str) -> Fault | None:
        """The fault for the next generation."""
        self._ordinal += 1
        return self._first(lambda fault: fault.strikes(self._ordinal, prompt, path, self._random))

    def listing(self, path: str) -> Fault | None:
        """The fault for a listing: only those that name its path."""
        return self._first(lambda fault: fault.path == path and fault.times != 0)

    def _first(self, strikes: Callable[[Fault], bool]) -> Fault | None:
        fault = next((fault for fault in self.faults if strikes(fault)), None)
        if fault is not None and fault.times:
            fault.times -= 1
        return fault


INSIDE = (
    "hang",  # takes a slot and never says a byte
    "hang_mid",
    "reset_mid",
    "close_mid",  # chunked encoding without its end
    "error_mid",  # an error line inside a 200, then a clean end
    "stall",  # silent for pause_s inside the answer, then goes on
    "crash",  # the model process dies: all that runs and waits fails
    "kill",  # the whole server dies
    "wrong_model",
    "no_done",
    "no_timings",
    "repeat_abort",  # ends without done, as Ollama does after 30 equal tokens
)
"""Faults that the generation plays itself, because they hold a slot or bend a real answer."""


async def _html(reply: Reply, _fault: Fault) -> None:
    await reply.send(200, HTML, "text/html")


async def _half_json(reply: Reply, _fault: Fault) -> None:
    await reply.send(200, PIECE[: len(PIECE) // 2], JSON)


async def _short_body(reply: Reply, _fault: Fault) -> None:
    await reply.raw(reply.head(200, JSON, f"Content-Length: {len(PIECE) * 2}") + PIECE)
    reply.close()


async def _error_200(reply: Reply, fault: Fault) -> None:
    await reply.json(200, {"error": fault.text})


async def _status(reply: Reply, fault: Fault) -> None:
    extra = (f"Retry-After: {fault.retry_after}",) if fault.retry_after else ()
    await reply.json(fault.status, {"error": fault.text}, *extra)


async def _reset(reply: Reply, _fault: Fault) -> None:
    reply.reset()


async def _close(reply: Reply, _fault: Fault) -> None:
    reply.close()


async def _redirect(reply: Reply, fault: Fault) -> None:
    await reply.send(307, b"", TEXT, f"Location: {fault.location}")


async def _empty(reply: Reply, _fault: Fault) -> None:
    await reply.send(200, b"", JSON)


async def _silent(_reply: Reply, _fault: Fault) -> None:
    await asyncio.Event().wait()


async def _drip(reply: Reply, fault: Fault) -> None:
    await reply.open(200, NDJSON)
    while True:
        await reply.piece(b" ")
        await asyncio.sleep(fault.pause_s)


async def _drip_header(reply: Reply, fault: Fault) -> None:
    await reply.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        await reply.raw(b"X")
        await asyncio.sleep(fault.pause_s)


async def _gzip_bomb(reply: Reply, _fault: Fault) -> None:
    member = gzip.compress(b" " * (1 << 20), 9)
    await reply.send(200, member * 200, JSON, "Content-Encoding: gzip")


async def _packed(reply: Reply, fault: Fault) -> None:
    """64 MB of blanks in some 64 kB; what says ``br`` is never unpacked by whoever keeps to what it asked for."""
    pack = zlib.compress if fault.text == "deflate" else gzip.compress
    await reply.send(200, pack(b" " * (64 << 20), 9), JSON, f"Content-Encoding: {fault.text}")


async def _endless(reply: Reply, _fault: Fault) -> None:
    await reply.open(200, NDJSON)
    block = chunk(PIECE * 1000)
    while True:
        await reply.raw(block)
        await asyncio.sleep(0)


async def _big_header(reply: Reply, _fault: Fault) -> None:
    await reply.send(200, PIECE, NDJSON, "X-Big: " + "x" * 100_000)


async def _bad_chunk(reply: Reply, _fault: Fault) -> None:
    await reply.open(200, NDJSON)
    await reply.piece(PIECE)
    await reply.raw(b"zz\r\nnonsense\r\n")
    await asyncio.Event().wait()


async def _bad_utf8(reply: Reply, _fault: Fault) -> None:
    await reply.send(200, b'{"model":"m","response":"\xff\xfe","done":true,"done_reason":"stop"}\n', NDJSON)


async def _not_http(reply: Reply, _fault: Fault) -> None:
    await reply.raw(b"SSH-2.0-OpenSSH_9.7\r\n\r\n")
    reply.close()


AT_ONCE: dict[str, Callable[[Reply, Fault], Awaitable[None]]] = {
    "html": _html,
    "half_json": _half_json,
    "short_body": _short_body,
    "error_200": _error_200,
    "status": _status,
    "reset": _reset,
    "close": _close,
    "redirect": _redirect,
    "empty": _empty,
    "silent": _silent,  # accepts and says nothing, without taking a slot
    "drip": _drip,
    "drip_header": _drip_header,
    "gzip_bomb": _gzip_bomb,
    "packed": _packed,
    "endless": _endless,
    "big_header": _big_header,
    "bad_chunk": _bad_chunk,
    "bad_utf8": _bad_utf8,
    "not_http": _not_http,
}
"""Faults that need no model: played as soon as the request is read."""


def from_json(items: list[dict[str, Any]]) -> list[Fault]:
    """Faults as a control message or a file names them."""
    return [Fault(**{k: tuple(v) if isinstance(v, list) else v for k, v in item.items()}) for item in items]
