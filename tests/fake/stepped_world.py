"""The world of an engine that needs no event loop: the test is stepped, the fake servers have a loop in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from threading import Thread, Timer
from typing import Any

from fake_ollama import FakeOllama
from flying import LIMIT_S, SESSION
from socket_world import SCALE, SocketWorld, server
from staging import Play

from arriero.backends.dialects import backend
from arriero.engines.address import Address
from arriero.engines.threads import ThreadsEngine

ASLEEP_S = 0.05
"""By then the engine has gone to sleep; if not, nothing is lost but the point of the test."""


class SteppedWorld(SocketWorld):
    """Servers on a loop of their own; whatever is awaited of them blocks."""

    def __init__(
        self, engine: ThreadsEngine, servers: Mapping[str, FakeOllama], tokens: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(engine, servers, tokens)
        self._loop = loop

    def down(self, instance: str) -> None:
        async def kill() -> None:
            self._servers[instance].kill()

        there(self._loop, kill())

    def from_outside(self, call: Callable[[], None]) -> None:
        timer = Timer(ASLEEP_S, call)
        self._threads.append(timer)
        timer.start()

    async def until_there(self, n: int, instance: str = "fake") -> None:
        there(self._loop, super().until_there(n, instance))

    async def until_answered(self, n: int, instance: str = "fake") -> None:
        there(self._loop, super().until_answered(n, instance))


def there(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]) -> Any:
    """Have it done on the servers' loop."""
    return asyncio.run_coroutine_threadsafe(work, loop).result(LIMIT_S)


@asynccontextmanager
async def stepped_world(plays: Mapping[str, Play], tokens: int) -> AsyncIterator[SteppedWorld]:
    """Open every server, then the engine."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    stack = AsyncExitStack()
    try:
        servers = {
            name: there(loop, stack.enter_async_context(server(name, play, tokens))) for name, play in plays.items()
        }
        book = {name: Address(one.url) for name, one in servers.items()}
        async with ThreadsEngine(
            book, {name: backend(name) for name in ("ollama", "openai")}, SESSION, SCALE
        ) as engine:
            world = SteppedWorld(engine, servers, tokens, loop)
            yield world
            world.join()
    finally:
        there(loop, stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
