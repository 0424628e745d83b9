"""The world of the simulated engine: simulated servers in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from math import inf
from random import Random

from flying import MODEL
from staging import Play

from arriero.core.request import Attempt
from arriero.simulator.engine import SimulatedEngine
from arriero.simulator.exchange import Exchange
from arriero.simulator.server import Server
from arriero.simulator.spec import ServerSpec, Truth, Truths, answer
from arriero.simulator.timeline import Timeline

RTT_S = 0.5
"""What is said is heard half of it later, so that what crosses on the way does so in tests too."""


class StagedServer(Server):
    """A simulated server that plays its part."""

    def __init__(self, name: str, play: Play, timeline: Timeline) -> None:
        spec = ServerSpec(
            name=name,
            slots=play.slots,
            token_s=1e9 if play.kind == "hangs" else play.token_s or 1e-3,
            fill=0.0,
            prefill_tokens_per_s=1.0 / play.first_s if play.first_s else inf,
            load_s=0.0,
            models=(MODEL,),
            rtt_s=RTT_S,
        )
        super().__init__(spec, timeline, Random(name), Counter())
        self.n_answered = 0
        self._play = play
        if play.kind == "silent":
            self.stop()

    def hang_up(self, exchange: Exchange) -> None:
        if self._play.kind != "deaf":
            super().hang_up(exchange)

    def _first(self, exchange: Exchange) -> None:
        super()._first(exchange)
        if self._play.kind == "hangs":
            exchange.silent(silent=True)

    def _done(self, exchange: Exchange) -> None:
        self.n_answered += not exchange.gone
        super()._done(exchange)


class EqualTruths(Truths):
    """Every prompt has one token, every answer the same number."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self._truth = Truth(prompt_tokens=1, output_tokens=tokens)

    def __missing__(self, key: tuple[int, int]) -> Truth:
        return self._truth


class SimulatedWorld:
    """One timeline, its servers and the engine."""

    def __init__(self, plays: Mapping[str, Play], tokens: int) -> None:
        self._timeline = Timeline()
        self._servers = {name: StagedServer(name, play, self._timeline) for name, play in plays.items()}
        self.engine = SimulatedEngine(self._timeline, self._servers, EqualTruths(tokens), Random("engine"))

    def answer(self, attempt: Attempt) -> str:
        assert attempt.request is not None
        return answer(attempt.request)

    def down(self, instance: str) -> None:
        self._servers[instance].go_down()

    def from_outside(self, call: Callable[[], None]) -> None:
        self._timeline.at(self._timeline.now + 1.0, call)

    async def until_there(self, n: int, instance: str = "fake") -> None:
        while self._servers[instance].holds < n:
            self._timeline.step()

    async def until_answered(self, n: int, instance: str = "fake") -> None:
        while self._servers[instance].n_answered < n:
            self._timeline.step()

    async def elapse(self) -> None:
        self._timeline.go_to(self._timeline.now + 0.1)


@asynccontextmanager
async def simulated_world(plays: Mapping[str, Play], tokens: int) -> AsyncIterator[SimulatedWorld]:
    """There is nothing to open."""
    yield SimulatedWorld(plays, tokens)
