"""Ollama servers with slots whose answers take a drawn time, and a record of when each slot was busy.

Usage: python bench/paced_server.py RECORD SLOTS:LEAST_S:MOST_S ...

Prints ``{"urls": […]}`` once all listen. When its standard input closes it writes ``{"busy": [[[from_s, to_s], …], …]}``, a list
a server, to RECORD and ends.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import deque
from pathlib import Path

from instant_server import ANSWERS, LOAD, PIECES

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
FIRST, LAST = (b"%x\r\n%s\r\n" % (len(piece), piece) for piece in PIECES)


class Slots:
    """The places of one server: first come, first served.

    Args:
        count: How many answer at once.
        least_s, most_s: Between these an answer takes a time of chance.
    """

    def __init__(self, count: int, least_s: float, most_s: float, seed: int) -> None:
        self.free = count
        self.least_s, self.most_s = least_s, most_s
        self.chance = random.Random(seed)
        self.waiting: deque[Connection] = deque()
        self.busy: list[tuple[float, float]] = []

    def take(self, connection: Connection) -> None:
        """A request has come."""
        self.waiting.append(connection)
        self._begin()

    def _begin(self) -> None:
        while self.free and self.waiting:
            connection = self.waiting.popleft()
            self.free -= 1
            connection.transport.write(HEAD + FIRST)
            began, takes_s = time.monotonic(), self.chance.uniform(self.least_s, self.most_s)
            asyncio.get_running_loop().call_later(takes_s, self._end, connection, began)

    def _end(self, connection: Connection, began: float) -> None:
        self.busy.append((began, time.monotonic()))
        self.free += 1
        connection.transport.write(LAST + b"0\r\n\r\n")
        self._begin()


class Connection(asyncio.Protocol):
    """One connection to a server, which carries a request at a time."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.buffer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Keep where to write."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take in a whole request."""
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        at = head.lower().find(b"content-length:")
        if not found or len(body) < (int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0):
            return
        self.buffer = b""
        path = head.split(b" ", 2)[1]
        if path in ANSWERS:
            self.transport.write(ANSWERS[path])
        elif b'"messages":[]' in body:
            self.transport.write(LOAD)
        else:
            self.slots.take(self)


async def main(record: Path, specs: list[str]) -> None:
    """Serve on free ports until standard input closes."""
    loop = asyncio.get_running_loop()
    servers, urls = [], []
    for seed, spec in enumerate(specs):
        count, least, most = spec.split(":")
        slots = Slots(int(count), float(least), float(most), seed)
        listening = await loop.create_server(lambda slots=slots: Connection(slots), "127.0.0.1", 0, backlog=1024)
        servers.append(slots)
        urls.append(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    print(json.dumps({"urls": urls}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    record.write_text(json.dumps({"busy": [slots.busy for slots in servers]}))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(Path(sys.argv[1]), sys.argv[2:]))
