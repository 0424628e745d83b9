"""CPU a token: answers that come token by token, as a model says them, to the engine and to a script.

Usage: python bench/token_cost.py [--requests N] [--tokens N] [--in-flight N] [--gap SECONDS]

The server is a child process that writes each token of a stream in a packet of its own, so that the CPU of this process is
the client's. The scripts are aiohttp alone: one reads a stream line by line, the other asks for the answer in one piece and
sees nothing before its end. Runs are interleaved; the median of three is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection as Pipe

import aiohttp
import uvloop

import engine_cpu
from engine_cpu import CONTENT, UNIT, Canned, canned, engine, measured

Client = Callable[[str, int, int], Awaitable[float]]


def packets(tokens: int) -> list[bytes]:
    """The head of the reply, then a packet for each token and the end."""
    head, _, body = canned(tokens).partition(b"\r\n\r\n")
    found = [head + b"\r\n\r\n"]
    while body:
        size, _, rest = body.partition(b"\r\n")
        end = len(size) + 2 + int(size, 16) + 2
        found.append(body[:end])
        body = rest[end - len(size) - 2 :]
    return found


class Speaking(Canned):
    """Answers a request token by token, or at once where no stream was asked for."""

    def __init__(self, said: list[bytes], gap_s: float) -> None:
        super().__init__(b"")
        self._said = said
        self._gap_s = gap_s
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, body: bytes) -> None:
        """Begin to speak."""
        task = asyncio.get_running_loop().create_task(self._speak(stream=b'"stream": false' not in body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _speak(self, *, stream: bool) -> None:
        if not stream:
            await asyncio.sleep(self._gap_s * len(self._said))
            self._transport.write(b"".join(self._said))
            return
        self._transport.write(self._said[0])
        for packet in self._said[1:-1]:
            self._transport.write(packet)
            await asyncio.sleep(self._gap_s)
        self._transport.write(self._said[-1])


def serve(pipe: Pipe, said: list[bytes], gap_s: float) -> None:
    """The child: listen, tell the port, serve until it is ended."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Speaking(said, gap_s), "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


def script(*, stream: bool) -> Client:
    """A script of aiohttp alone."""
    body = {"model": UNIT.model, "messages": [{"role": "user", "content": CONTENT.prompt}], "stream": stream}

    async def client(url: str, requests: int, in_flight: int) -> float:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def worker(share: int) -> None:
                for _ in range(share):
                    async with session.post(url + "/api/chat", json=body) as response:
                        if stream:
                            async for line in response.content:
                                json.loads(line)
                        else:
                            (await response.text()).splitlines()

            async def run(wanted: int) -> None:
                await asyncio.gather(*map(worker, [wanted // in_flight] * in_flight))

            return await measured(run, requests)

    return client


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--gap", type=float, default=0.02, help="seconds between two tokens of an answer")
    options = parser.parse_args()
    engine_cpu.WARM_UP = options.in_flight
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=serve, args=(theirs, packets(options.tokens), options.gap), daemon=True)
    child.start()
    url = f"http://127.0.0.1:{ours.recv()}"
    clients: dict[str, Client] = {
        "engine and dialect": engine,
        "script, line by line": script(stream=True),
        "script, in one piece": script(stream=False),
    }
    spent: dict[str, list[float]] = {name: [] for name in clients}
    try:
        for _ in range(3):
            for name, client in clients.items():
                spent[name].append(uvloop.run(client(url, options.requests, options.in_flight)))
    finally:
        child.terminate()
    print(f"{options.requests} answers of {options.tokens} tokens, {options.in_flight} at a time, CPU of the client")
    for name, all_us in spent.items():
        us = statistics.median(all_us)
        print(f"{name:20} {us:8.0f} us a request {us / options.tokens:7.1f} us a token")


if __name__ == "__main__":
    main()
