"""Every engine in a world of its own: what its tests may stage there, and the list a new engine is added to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import uvloop
from simulated_world import simulated_world
from socket_world import socket_world
from staging import Play
from stepped_world import stepped_world

from arriero.core.request import Attempt
from arriero.drive import Engine
from arriero.engines.asyncio import AsyncioEngine
from arriero.engines.threads import ThreadsEngine


class World(Protocol):
    """An open engine and the instances it reaches; all seconds are the engine's.

    Attributes:
        engine: The engine.
    """

    engine: Engine

    def answer(self, attempt: Attempt) -> str:
        """The right answer to an attempt, wherever it is sent."""
        ...

    def down(self, instance: str) -> None:
        """The whole server dies: what it holds breaks off, what comes is refused."""
        ...

    def from_outside(self, call: Callable[[], None]) -> None:
        """Have it called by somebody else while the engine waits: in another thread where there are threads."""
        ...

    async def until_there(self, n: int, instance: str = "fake") -> None:
        """Until so many attempts hold or wait for a slot there; what the engine hears meanwhile is kept for ``wait``."""
        ...

    async def until_answered(self, n: int, instance: str = "fake") -> None:
        """Until the server has sent the last byte of so many answers in all."""
        ...

    async def elapse(self) -> None:
        """Time goes by outside of ``wait``; only virtual time needs to be told to."""
        ...


@dataclass
class Build:
    """Makes worlds, on a loop of the kind the engine is meant for.

    Attributes:
        world: Opens a world: what each instance plays, and the tokens of every answer. The instance ``spare``
            answers at once in every world.
        loop_factory: Makes the loop; None for the default one.
        stepped: The engine needs no loop, and the test has none.
        virtual: The same scenario gives the same events at the same times, and it costs no time.
    """

    world: Callable[[Mapping[str, Play], int], AbstractAsyncContextManager[World]]
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    stepped: bool = False
    virtual: bool = False

    def __call__(self, *, tokens: int = 8, **plays: Play) -> AbstractAsyncContextManager[World]:
        """A world with these instances; without any, one named ``fake`` that answers at once."""
        return self.world({"fake": Play(), "spare": Play(), **plays}, tokens)


ENGINES: dict[str, Build] = {
    "asyncio": Build(partial(socket_world, engine_class=AsyncioEngine)),
    "asyncio on uvloop": Build(partial(socket_world, engine_class=AsyncioEngine), uvloop.new_event_loop),
    "threads": Build(stepped_world, stepped=True),
    "threads on a loop": Build(partial(socket_world, engine_class=ThreadsEngine)),
    "simulated": Build(simulated_world, virtual=True),
}
