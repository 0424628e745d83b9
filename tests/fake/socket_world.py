"""The world of the engines that open sockets: fake servers beside them, and a clock that runs faster than ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from math import inf
from threading import Thread
from typing import TypeAlias

from fake_ollama import FakeOllama, Fault, Model, Speed, answer
from fake_ollama.text import TEMPLATE_TOKENS
from flying import MODEL, SESSION
from staging import Play

from arriero.backends.dialects import backend
from arriero.core.request import Attempt
from arriero.engines.address import Address
from arriero.engines.asyncio import AsyncioEngine
from arriero.engines.threads import ThreadsEngine

HttpEngine: TypeAlias = AsyncioEngine | ThreadsEngine
HTTP_ENGINES: dict[str, type[HttpEngine]] = {"asyncio": AsyncioEngine, "threads": ThreadsEngine}

SCALE = 20.0
"""Engine seconds in a real one."""

FAULTS = {"silent": Fault("hang"), "hangs": Fault("hang_mid", after_tokens=1)}


class SocketWorld:
    """Servers and engine on one loop."""

    def __init__(self, engine: HttpEngine, servers: Mapping[str, FakeOllama], tokens: int) -> None:
        self.engine = engine
        self._servers = servers
        self._tokens = tokens
        self._threads: list[Thread] = []

    def answer(self, attempt: Attempt) -> str:
        assert attempt.request is not None
        return answer(attempt.request.content.prompt, self._tokens)

    def down(self, instance: str) -> None:
        self._servers[instance].kill()

    def from_outside(self, call: Callable[[], None]) -> None:
        thread = Thread(target=call)
        self._threads.append(thread)
        asyncio.get_running_loop().call_soon(thread.start)  # that is, once the engine has gone to sleep

    async def until_there(self, n: int, instance: str = "fake") -> None:
        await self._servers[instance].until(lambda fake: fake.in_flight >= n)

    async def until_answered(self, n: int, instance: str = "fake") -> None:
        await self._servers[instance].until(lambda fake: len(fake.log.requests("completed")) >= n)

    async def elapse(self) -> None:
        """It does so by itself."""

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


@asynccontextmanager
async def socket_world(
    plays: Mapping[str, Play], tokens: int, *, engine_class: type[HttpEngine]
) -> AsyncIterator[SocketWorld]:
    """Open every server, then the engine."""
    async with AsyncExitStack() as stack:
        servers = {name: await stack.enter_async_context(server(name, play, tokens)) for name, play in plays.items()}
        book = {name: Address(server.url) for name, server in servers.items()}
        dialects = {name: backend(name) for name in ("ollama", "openai")}
        engine = await stack.enter_async_context(engine_class(book, dialects, SESSION, SCALE))
        world = SocketWorld(engine, servers, tokens)
        yield world
        world.join()


def server(name: str, play: Play, tokens: int) -> FakeOllama:
    """A prompt has at least the template's tokens: its first token takes at least ``first_s``."""
    prefill = TEMPLATE_TOKENS * SCALE / play.first_s if play.first_s else inf
    decode = SCALE / play.token_s if play.token_s else inf
    return FakeOllama(
        play.slots,
        [Model(MODEL, answer_tokens=tokens)],
        speed=Speed(prefill, decode),
        faults=[FAULTS[play.kind]] if play.kind in FAULTS else [],
        name=name,
        deaf=play.kind == "deaf",
    )
