"""Models, their slots, and the one loader that swaps them, as Ollama's scheduler does.

Observed on real servers of 0.24 and 0.33 (recordings): a pending queue only for what must be loaded, an unbounded
first-come-first-served wait for a slot, one load at a time, a victim that drains and then stays for the
``keep_alive`` its last request named, a load that dies with the request that triggered it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import Any

from fake_ollama.refusal import RefusedError

RUNNER_OPTIONS = ("draft_num_predict", "main_gpu", "num_batch", "num_ctx", "num_gpu", "num_thread", "use_mmap")

PREFILL_LINGER_S = 0.6
"""Seconds that a cancelled prefill still holds its slot on 0.33; on 0.24 it holds it to its end."""


class BusyError(Exception):
    """The pending queue is full."""


class DiedError(Exception):
    """The model process went away."""


@dataclass(frozen=True)
class Model:
    """One installed model; another ``build`` has another digest."""

    name: str
    capabilities: tuple[str, ...] = ("completion",)
    context_tokens: int = 8192
    answer_tokens: int | None = None
    build: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.name}{self.build}".encode()).hexdigest()

    @property
    def embeds_only(self) -> bool:
        return "embedding" in self.capabilities and "completion" not in self.capabilities


class Runner:
    """A loaded model: its options, its slots, who uses it."""

    def __init__(self, model: Model, options: dict[str, Any], slots: int, keep_alive_s: float) -> None:
        self.model = model
        self.options = options
        self.free = 1 if model.embeds_only else slots
        self.keep_alive_s = keep_alive_s
        self.refs = 0
        self.dead = False
        self.gone = asyncio.get_running_loop().create_future()
        self.expiry: asyncio.TimerHandle | None = None
        self._queue: deque[asyncio.Future[None]] = deque()
        self._sleepers: set[asyncio.Future[None]] = set()

    def fits(self, options: dict[str, Any]) -> bool:
        return not self.dead and self.options == options

    async def take_slot(self) -> None:
        """Wait for a place, first come first served; the wait has no bound."""
        if self.dead:
            raise DiedError
        if self.free > 0 and not self._queue:
            self.free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_slot()
            raise

    def give_slot(self, after_s: float = 0.0) -> None:
        """Hand the place on, at once or when a cancelled prefill lets go."""
        if after_s > 0:
            asyncio.get_running_loop().call_later(after_s, self.give_slot)
            return
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1

    async def sleep(self, seconds: float) -> None:
        """Compute for some seconds, unless the process dies meanwhile."""
        if self.dead:
            raise DiedError
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, lambda: done.done() or done.set_result(None)) if seconds < inf else None
        self._sleepers.add(done)
        try:
            await done
        finally:
            self._sleepers.discard(done)
            if timer is not None:
                timer.cancel()

    def die(self) -> None:
        """The process is killed: everything running and waiting here fails; it stays listed until the next load."""
        self.dead = True
        for future in (*self._queue, *self._sleepers):
            if not future.done():
                future.set_exception(DiedError())


@dataclass
class Load:
    """A request that needs a load."""

    model: Model
    options: dict[str, Any]
    keep_alive_s: float | None
    ready: asyncio.Future[Runner] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Loader:
    """Which models are loaded; loads one at a time, strictly in order.

    Attributes:
        no_room: Why nothing more can be loaded, as the server says it; ``""`` while it can.
    """

    def __init__(self, *, slots: int, max_queue: int, max_loaded: int, load_s: float, keep_alive_s: float) -> None:
        self.slots = slots
        self.max_queue = max_queue
        self.max_loaded = max_loaded
        self.load_s = load_s
        self.keep_alive_s = keep_alive_s
        self.loaded: dict[str, Runner] = {}
        self.loads: list[str] = []
        self.aborted_loads = 0
        self.no_room = ""
        self._pending: deque[Load] = deque()
        self._current: Load | None = None
        self._loading: Load | None = None
        self._worker: asyncio.Task[None] | None = None

    async def hold(self, model: Model, options: dict[str, Any], keep_alive_s: float | None) -> Runner:
        """A runner with these options; the caller must ``release`` it.

        Raises:
            BusyError: If it must be loaded and the pending queue is full.
            DiedError: If the model process dies while it loads.
            RefusedError: If it must be loaded and there is no room for it.
        """
        runner = self.loaded.get(model.name)
        if runner is not None and runner.fits(options):
            return self._hand_out(runner, keep_alive_s)
        if self.no_room:
            raise RefusedError(500, self.no_room)
        waiting = len(self._pending) - (self._current is None)  # the one that is worked on does not wait
        if waiting >= self.max_queue:
            raise BusyError
        load = Load(model, options, keep_alive_s)
        self._pending.append(load)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())
        try:
            return await load.ready
        except asyncio.CancelledError:
            if load.ready.done() and not load.ready.cancelled() and load.ready.exception() is None:
                self.release(load.ready.result())
            raise

    def release(self, runner: Runner) -> None:
        """The caller is done; an idle runner goes when its ``keep_alive`` is over."""
        runner.refs -= 1
        if runner.refs == 0:
            self._settle(runner)

    def unload(self, model: Model) -> None:
        """``keep_alive: 0``: go as soon as nothing runs."""
        runner = self.loaded.get(model.name)
        if runner is not None:
            runner.keep_alive_s = 0.0
            if runner.refs == 0:
                self._drop(runner)

    def die(self) -> None:
        """Every model process is killed, the one that loads too."""
        for runner in self.loaded.values():
            runner.die()
        if self._loading is not None and not self._loading.ready.done():
            self._loading.ready.set_exception(DiedError())

    def close(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
        for runner in list(self.loaded.values()):
            self._drop(runner)

    def _hand_out(self, runner: Runner, keep_alive_s: float | None) -> Runner:
        if runner.expiry is not None:
            runner.expiry.cancel()
            runner.expiry = None
        if keep_alive_s is not None:
            runner.keep_alive_s = keep_alive_s
        runner.refs += 1
        return runner

    def _settle(self, runner: Runner) -> None:
        if runner.keep_alive_s <= 0:
            self._drop(runner)
        elif runner.keep_alive_s < inf:
            loop = asyncio.get_running_loop()
            runner.expiry = loop.call_later(runner.keep_alive_s, lambda: runner.refs or self._drop(runner))

    def _drop(self, runner: Runner) -> None:
        if runner.expiry is not None:
            runner.expiry.cancel()
        if self.loaded.get(runner.model.name) is runner:
            del self.loaded[runner.model.name]
        if not runner.gone.done():
            runner.gone.set_result(None)

    async def _work(self) -> None:
        while self._pending:
            load = self._current = self._pending.popleft()
            while not load.ready.done():
                runner = self.loaded.get(load.model.name)
                if runner is not None and runner.fits(load.options):
                    load.ready.set_result(self._hand_out(runner, load.keep_alive_s))
                elif runner is not None or len(self.loaded) >= self.max_loaded:
                    await self._evict(runner or self._victim(), load)
                else:
                    await self._load(load)
            self._current = None

    def _victim(self) -> Runner:
        return min(self.loaded.values(), key=lambda runner: (runner.refs > 0, runner.keep_alive_s))

    async def _evict(self, runner: Runner, load: Load) -> None:
        if runner.dead or runner.refs == 0:
            self._drop(runner)
            return
        runner.keep_alive_s = 0.0
        await asyncio.wait({runner.gone, load.ready}, return_when=asyncio.FIRST_COMPLETED)

    async def _load(self, load: Load) -> None:
        self.loads.append(load.model.name)
        self._loading = load
        if self.load_s > 0:
            await asyncio.wait({load.ready}, timeout=self.load_s)
        self._loading = None
        if load.ready.done():  # hung up, or died
            self.aborted_loads += 1
            return
        keep_alive_s = self.keep_alive_s if load.keep_alive_s is None else load.keep_alive_s
        runner = Runner(load.model, load.options, self.slots, keep_alive_s)
        self.loaded[load.model.name] = runner
        load.ready.set_result(self._hand_out(runner, load.keep_alive_s))
