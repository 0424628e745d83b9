"""CPU a request of each HTTP engine with its dialect, against a server that answers at once.

    python bench/engine_cpu.py [--requests N] [--tokens N] [--in-flight N ...]

The server is a child process that writes one canned stream for every request, so that the CPU of this process is the
client's alone: writing the call, HTTP, gathering the pieces, judging the answer. Beside it stands the least that
aiohttp can do with the same bytes: post, read to the end, decode every line.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from multiprocessing.connection import Connection as Pipe

import aiohttp
import msgspec
import uvloop

from arriero.backends.dialects import backend
from arriero.client.loop import step
from arriero.core.events import AttemptEnded
from arriero.core.outcome import Success
from arriero.core.request import Attempt, Content, Request, Timeouts, Unit
from arriero.engines.address import Address
from arriero.engines.asyncio import AsyncioEngine
from arriero.engines.threads import ThreadsEngine

UNIT = Unit("mistral:7b", (("num_ctx", 4096),))
CONTENT = Content(prompt="What is the sentiment of this review? I liked the pack llamas, the food less. " * 2)
TIMEOUTS = Timeouts(first_byte_s=600.0, idle_s=60.0, total_s=1200.0)
WARM_UP = 500


def canned(tokens: int) -> bytes:
    """The whole reply: head, a chunk for each token, the last line with its timings."""
    head = {"model": UNIT.model, "created_at": "2026-01-01T00:00:00.000000000Z"}
    lines = [{**head, "message": {"role": "assistant", "content": f" word{n}"}, "done": False} for n in range(tokens)]
    end = {"done": True, "done_reason": "stop", "total_duration": 220_111_611, "load_duration": 679_496}
    counts = {
        "prompt_eval_count": 16,
        "prompt_eval_duration": 22_121_000,
        "eval_count": 8,
        "eval_duration": 195_124_000,
    }
    lines.append({**head, "message": {"role": "assistant", "content": ""}, **end, **counts})
    pieces = [msgspec.json.encode(line) + b"\n" for line in lines]
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n" + body


class Canned(asyncio.Protocol):
    """Answers every request with the same bytes."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self.answer(rest[:length])

    def answer(self, body: bytes) -> None:
        """Say the same whatever was asked."""
        self._transport.write(self._reply)  # type: ignore[attr-defined]


def serve(pipe: Pipe, reply: bytes) -> None:
    """The child: listen, tell the port, serve until it is ended."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Canned(reply), "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def measured(run: Callable[[int], Awaitable[None]], requests: int) -> float:
    """CPU microseconds a request, after a warm-up and with the start-up objects out of the collector's way."""
    await run(WARM_UP)
    gc.collect()
    gc.freeze()
    before = time.process_time()
    await run(requests)
    return (time.process_time() - before) / requests * 1e6


async def engine(url: str, requests: int, in_flight: int, engine_class: type[AsyncioEngine | ThreadsEngine]) -> float:
    """The engine, kept full by hand."""
    book = {"a": Address(url)}
    async with engine_class(book, {"ollama": backend("ollama")}, "0123456789ab") as flying:
        last = 0

        def start() -> None:
            nonlocal last
            last += 1
            row = Request(batch=1, position=last, line=last, id=str(last), content=CONTENT, unit=UNIT)
            fields = {"unit": UNIT, "request": row, "max_tokens": 64, "timeouts": TIMEOUTS}
            flying.start(Attempt(id=last, instance="a", backend="ollama", **fields))

        async def run(wanted: int) -> None:
            started = min(in_flight, wanted)
            for _ in range(started):
                start()
            ended = 0
            while ended < wanted:
                for event in await flying.wait(inf):
                    if isinstance(event, AttemptEnded):
                        assert isinstance(event.outcome, Success), event
                        ended += 1
                        if started < wanted:
                            started += 1
                            start()

        return await measured(run, requests)


async def plain(url: str, requests: int, in_flight: int) -> float:
    """Post, read, decode: aiohttp alone."""
    body = {"model": UNIT.model, "messages": [{"role": "user", "content": CONTENT.prompt}]}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def worker(share: int) -> None:
            for _ in range(share):
                async with session.post(url + "/api/chat", data=msgspec.json.encode(body)) as response:
                    for line in (await response.read()).splitlines():
                        msgspec.json.decode(line)

        async def run(wanted: int) -> None:
            shares = [wanted // in_flight + (n < wanted % in_flight) for n in range(in_flight)]
            await asyncio.gather(*map(worker, shares))

        return await measured(run, requests)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 64, 1024])
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=serve, args=(theirs, canned(options.tokens)), daemon=True)
    child.start()
    url = f"http://127.0.0.1:{ours.recv()}"
    try:
        for in_flight in options.in_flight:
            for name, runner, contender in (
                ("asyncio and dialect", uvloop.run, partial(engine, engine_class=AsyncioEngine)),
                ("aiohttp alone", uvloop.run, plain),
                ("threads and dialect", step, partial(engine, engine_class=ThreadsEngine)),
            ):
                us = runner(contender(url, options.requests, in_flight))
                print(f"{in_flight:5} in flight  {name:20} {us:7.1f} us CPU a request")
    finally:
        child.terminate()


if __name__ == "__main__":
    main()
