"""Worlds: an engine of each kind and the one instance it reaches, for tests that every engine must pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import uvloop
from fake_ollama import INSTANT, FakeOllama, Fault, Speed
from flying import SESSION

from arriero.backends.dialects import backend
from arriero.drive import Engine
from arriero.engines.address import Address
from arriero.engines.asyncio import AsyncioEngine


class Closable(Engine, Protocol):
    """An engine that can be closed under its attempts."""

    async def aclose(self) -> None: ...


@dataclass
class World:
    """An engine and the instance ``fake`` that it reaches."""

    engine: Closable
    until_there: Callable[[int], Awaitable[None]]  # so many attempts hold or wait for a slot there


@dataclass
class Build:
    """Makes worlds, on a loop of the kind the engine is meant for."""

    world: Callable[..., AbstractAsyncContextManager[World]]
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None

    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[World]:
        return self.world(**settings)


@asynccontextmanager
async def asyncio_world(
    *,
    slots: int = 4,
    behaviour: str = "answers",
    times: int | None = None,
    instant: bool = True,
    time_scale: float = 1.0,
) -> AsyncIterator[World]:
    """Real sockets: ``behaviour`` is ``answers`` or the name of a fault, which strikes ``times`` times (None: always)."""
    faults = [] if behaviour == "answers" else [Fault(behaviour, times=times, pause_s=0.02)]
    speed = INSTANT if instant else Speed(prefill_tokens_per_s=20_000, decode_tokens_per_s=500)
    dialects = {name: backend(name) for name in ("ollama", "openai")}
    async with (
        FakeOllama(slots, speed=speed, faults=faults) as fake,
        AsyncioEngine({"fake": Address(fake.url)}, dialects, SESSION, time_scale) as engine,
    ):

        async def until_there(n: int) -> None:
            await fake.until(lambda fake: fake.in_flight >= n)

        yield World(engine, until_there)


ENGINES: dict[str, Build] = {
    "asyncio": Build(asyncio_world),
    "asyncio on uvloop": Build(asyncio_world, uvloop.new_event_loop),
}
