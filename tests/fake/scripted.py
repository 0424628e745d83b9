"""Scripted: a bare server on a real socket that plays bytes as they are, and tells what its client did about them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum


class Act(Enum):
    """What a script may do beside writing.

    ``CLOSE`` hangs up in an orderly way, ``RESET`` rudely, ``HOLD`` waits until the client hangs up, ``UNREAD`` as the first
    step resets before the request is read.
    """

    CLOSE = "close"
    RESET = "reset"
    HOLD = "hold"
    UNREAD = "unread"


@dataclass(frozen=True)
class Flood:
    """The same bytes over and over until the client hangs up; ``pause_s`` real seconds between them."""

    block: bytes
    pause_s: float = 0.0


Step = bytes | Act | Flood
Script = Sequence[Step]


class Scripted:
    """Plays the next script for each request it reads.

    Attributes:
        requests: Every request, as bytes.
        carried: Number of the connection that brought each request.
        n_written: Bytes handed to the sockets.
    """

    def __init__(self, *scripts: Script) -> None:
        self.requests: list[bytes] = []
        self.carried: list[int] = []
        self.n_written = 0
        self._scripts = list(scripts)
        self._over: list[asyncio.Event] = []

    @property
    def connections(self) -> int:
        """Connections accepted so far."""
        return len(self._over)

    async def gone(self, number: int = 0) -> None:
        """Until nothing is left of a connection: whatever ran for it has been given up."""
        await self._over[number].wait()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen on a free port; gives the base URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, over = len(self._over), asyncio.Event()
        self._over.append(over)
        try:
            while self._scripts:
                if tuple(self._scripts[0][:1]) == (Act.UNREAD,):
                    self._scripts.pop(0)
                    reset(writer)
                    return
                self.requests.append(await read_request(reader))
                self.carried.append(number)
                goes_on = await self._play(self._scripts.pop(0), reader, writer)
                if not goes_on or b"\r\nConnection: close\r\n" in self.requests[-1]:
                    return
            await reader.read()  # no script is left: until the client goes
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            await close(writer)
            over.set()

    async def _play(self, script: Iterable[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Play a script; False if the connection is over with it."""
        for step in script:
            match step:
                case bytes():
                    await self._write(writer, step)
                case Flood():
                    while not reader.at_eof():
                        await self._write(writer, step.block)
                        await asyncio.sleep(step.pause_s)
                    return False
                case Act.HOLD:
                    await reader.read()
                    return False
                case Act.RESET:
                    reset(writer)
                    return False
                case _:
                    return False
        return True

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        self.n_written += len(data)
        await writer.drain()


async def close(writer: asyncio.StreamWriter) -> None:
    """Hang up, and wait until it is done: what a test leaves half closed is found in the next one."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), 0)
    return head + await reader.readexactly(length)


def reset(writer: asyncio.StreamWriter) -> None:
    """Hang up with RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
