"""HTTP/1.1 as a server speaks it, on bare sockets, so that it can also be spoken wrongly."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
TEXT = "text/plain"


@dataclass
class Request:
    """One request; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reply:
    """The answer to one request; nothing is written before the first call."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.status = 0
        self.bodiless = False  # to HEAD
        self.n_bytes = 0
        self.opened = False
        self.on_first_byte: Callable[[], None] = lambda: None

    def head(self, status: int, content_type: str, *extra: str) -> bytes:
        """Status line and headers; the first bytes of an answer."""
        self.status = status
        if not self.opened:
            self.opened = True
            self.on_first_byte()
        kind = (f"Content-Type: {content_type}",) if content_type else ()
        lines = (f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", *kind, *extra)
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def send(self, status: int, body: bytes, content_type: str = JSON, *extra: str) -> None:
        """A whole answer at once."""
        await self.raw(
            self.head(status, content_type, f"Content-Length: {len(body)}", *extra) + (b"" if self.bodiless else body)
        )

    async def json(self, status: int, value: Any, *extra: str) -> None:
        """A whole answer of JSON, written as compactly as Go does."""
        await self.send(status, dumps(value), JSON, *extra)

    async def open(self, status: int, content_type: str, *extra: str) -> None:
        """Begin an answer in pieces."""
        await self.raw(self.head(status, content_type, "Transfer-Encoding: chunked", *extra))

    async def piece(self, data: bytes) -> None:
        """One piece as a chunk of its own."""
        await self.raw(chunk(data))

    async def stream(self, content_type: str, pieces: list[bytes]) -> None:
        """A whole answer in pieces, with a single write; for benchmarks."""
        head = self.head(200, content_type, "Transfer-Encoding: chunked")
        await self.raw(b"".join((head, *map(chunk, pieces), b"0\r\n\r\n")))

    async def finish(self) -> None:
        """The last, empty chunk."""
        await self.raw(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self.n_bytes += len(data)
        await self._connection.write(data)

    def close(self) -> None:
        """Hang up in an orderly way (FIN)."""
        self._connection.transport.close()

    def reset(self) -> None:
        """Hang up rudely (RST)."""
        sock = self._connection.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.transport.abort()


class Connection(asyncio.Protocol):
    """One client connection: requests one after another; a client that hangs up cancels what runs for it."""

    transport: asyncio.Transport

    def __init__(
        self, serve: Callable[[Request, Reply], Awaitable[None]], opened: set[Connection], *, deaf: bool = False
    ) -> None:
        self._serve = serve
        self._opened = opened
        self._deaf = deaf  # does not notice that its client has gone
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._opened.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._buffer[:1].isalpha():  # not HTTP, such as a TLS greeting
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request")
            self.transport.close()
        elif self._task is None:
            self._next()

    def eof_received(self) -> bool:
        self.hang_up()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._opened.discard(self)
        self.hang_up()
        self.resume_writing()
        if self._task is None:
            self._finish()

    def hang_up(self) -> None:
        if self._task is not None and not self._deaf:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    async def write(self, data: bytes) -> None:
        if not self.transport.is_closing():  # uvloop minds, asyncio does not
            self.transport.write(data)
        if self._room is not None:
            await self._room

    def _next(self) -> None:
        request = self._parse()
        if request is None:
            return
        reply = Reply(self)
        reply.bodiless = request.method == "HEAD"
        self._task = asyncio.get_running_loop().create_task(self._run(request, reply))

    async def _run(self, request: Request, reply: Reply) -> None:
        try:
            await self._serve(request, reply)
        except asyncio.CancelledError:
            self.transport.close()
        finally:
            self._task = None
        if self not in self._opened:
            self._finish()
        elif not self.transport.is_closing():
            self._next()

    def _finish(self) -> None:
        """Neither the socket nor anything that runs for it is left."""
        if not self.over.done():
            self.over.set_result(None)

    def _parse(self) -> Request | None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        method, path, _ = first.split(" ", 2)
        self._buffer = rest[length:]
        return Request(method, path.partition("?")[0], headers, rest[:length])


def chunk(data: bytes) -> bytes:
    """A piece in chunked transfer encoding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def dumps(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
