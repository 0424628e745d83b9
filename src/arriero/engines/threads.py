"""ThreadsEngine: carries attempts out with blocking calls, each in a thread of its own; needs no event loop."""

from __future__ import annotations

import asyncio
import queue
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from types import MappingProxyType, TracebackType
from typing import Self, TypeAlias

from msgspec.structs import replace

from arriero.backends.wire import Backend
from arriero.core.events import AttemptBegan, AttemptEnded, Event, InstanceLeft
from arriero.core.outcome import FailureKind, Outcome
from arriero.core.request import Attempt, AttemptId
from arriero.engines.address import Address
from arriero.engines.arrival import freed_first
from arriero.engines.blocking import BlockingHttp
from arriero.engines.crew import Crew
from arriero.engines.deadlines import Deadlines
from arriero.engines.flight import Flight, unknown
from arriero.engines.function import Function, call
from arriero.engines.line import Line
from arriero.engines.words import crashed

Told: TypeAlias = Event | Flight
"""What threads tell: an event, or a flight whose deadline may be nearer now."""


class ThreadsEngine:
    """An engine for programs without an event loop, and for calls that block.

    Whoever waits owns all state: threads only tell. ``wait`` blocks where no event loop runs, so that ``drive`` can be
    stepped without one; on a running loop it awaits. Deadlines are looked at while somebody waits.

    Args:
        book: Address of each instance by name; may be changed while the engine runs.
        dialects: Backend by ``Attempt.backend``.
        session: Name of the process run, 12 hex digits; travels in a header with the attempt's id (P15).
        functions: Callables by the name of the instance in whose place they stand.
        time_scale: Engine seconds in a real second; above 1 only in tests, so that timeouts fire soon.
    """

    def __init__(
        self,
        book: Mapping[str, Address],
        dialects: Mapping[str, Backend],
        session: str,
        time_scale: float = 1.0,
        *,
        functions: Mapping[str, Function] = MappingProxyType({}),
    ) -> None:
        self._book = book
        self._functions = functions
        self._dialects = dialects
        self._scale = time_scale
        self._flights: dict[AttemptId, Flight] = {}
        self._told: queue.SimpleQueue[Told] = queue.SimpleQueue()  # its put is safe in a signal handler, too
        self._events: list[Event] = []
        self._told_at = 0.0
        self._waker: Callable[[], None] | None = None
        self._look: tuple[float, Callable[[], None]] | None = None
        self._closing = False
        self._crew = Crew("arriero-attempt")
        self._deadlines = Deadlines(self._flights, self.now, self._call_later, time_scale)
        self._http = BlockingHttp(session, self.now, self._tell, self._began, time_scale)

    async def __aenter__(self) -> Self:
        """There is nothing to open."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Cut what flies, wait for every end, close every connection."""
        self._closing = True
        for flight in list(self._flights.values()):
            flight.stop(FailureKind.CANCELLED, "the engine was closed")
        self._take()
        while self._flights:
            await self._sleep(inf)
            self._take()
        self._deadlines.close()
        self._http.close()

    def now(self) -> float:
        """Monotonic seconds, times the time scale."""
        return time.monotonic() * self._scale

    def start(self, attempt: Attempt) -> None:
        """Begin an attempt; its end comes through ``wait``.

        Raises:
            KeyError: If ``attempt.backend`` is no dialect of this engine.
        """
        flight = Flight(attempt, self._dialects[attempt.backend], self.now())
        self._flights[attempt.id] = flight
        if self._closing:
            flight.stop(FailureKind.CANCELLED, "the engine was closed")
        self._crew.do(partial(self._carry, flight))

    def cancel(self, attempt: AttemptId) -> None:
        """Cut an attempt's connection; the server sees it closed. Unknown ids are ignored."""
        flight = self._flights.get(attempt)
        if flight is not None:
            flight.stop(FailureKind.CANCELLED, "cancelled")

    def post(self, event: Event) -> None:
        """Hand an event in from outside; safe from any thread and from a signal handler."""
        self._tell(event)

    async def wait(self, until: float) -> Sequence[Event]:
        """Events that have happened, in order; an empty list when ``until`` has come (``inf``: never)."""
        self._take()
        while not self._events and (left_s := (until - self.now()) / self._scale) > 0:
            await self._sleep(left_s)
            self._take()
        if _loop() is not None:
            await asyncio.sleep(0)  # whoever has something due at every moment starves nobody
        events, self._events = self._events, []
        return freed_first(events)

    # In the thread of an attempt.

    def _carry(self, flight: Flight) -> None:
        """One attempt from its call to its outcome; the end is told whatever happens."""
        outcome: Outcome | None = None
        try:
            outcome = self._outcome(flight)
        except BaseException:  # noqa: BLE001 - told as the outcome
            outcome = crashed(sys.exception(), self.now() - flight.started)
        finally:
            self._tell(AttemptEnded(flight.attempt.id, self.now(), outcome or crashed(None, 0.0)))

    def _outcome(self, flight: Flight) -> Outcome:
        function = self._functions.get(flight.attempt.instance)
        if function is not None:
            return self._called(flight, function)
        address = self._book.get(flight.attempt.instance)
        if address is None:
            return unknown()
        unsaid = flight.write(self.now())
        if unsaid is not None:
            return unsaid
        self._tell(flight)
        line = Line(lambda: self._tell(AttemptEnded(flight.attempt.id, self.now(), flight.outcome(self.now()))))
        flight.enter(line.cut)
        if flight.broken is None:
            self._http.exchange(flight, address, line)
        flight.leave()
        return flight.outcome(self.now())

    def _called(self, flight: Flight, function: Function) -> Outcome:
        """A call cannot be interrupted: given up, it is told as over, and what it returns later is not heard."""
        flight.wait(flight.attempt.timeouts, self.now())
        self._tell(flight)
        flight.enter(lambda: self._tell(AttemptEnded(flight.attempt.id, self.now(), flight.given_up(self.now()))))
        outcome = call(function, flight.attempt) if flight.broken is None else flight.given_up(self.now())
        flight.leave()
        return outcome

    def _began(self, flight: Flight, at: float) -> None:
        self._tell(AttemptBegan(flight.attempt.id, at))

    def _tell(self, told: Told) -> None:
        self._told.put(told)
        waker = self._waker
        if waker is not None:
            waker()

    # In the thread that waits.

    def _take(self) -> None:
        """Take in all that was told, and look at the deadlines if that is due."""
        if self._look is not None and time.monotonic() >= self._look[0]:
            self._look[1]()
        while True:
            try:
                told = self._told.get_nowait()
            except queue.Empty:
                return
            self._hear(told)

    def _hear(self, told: Told) -> None:
        if isinstance(told, Flight):
            if told.attempt.id in self._flights:
                self._deadlines.watch(told)
            return
        if isinstance(told, AttemptBegan | AttemptEnded):
            if told.attempt not in self._flights:  # it was told as over when it was cut
                return
            if isinstance(told, AttemptEnded):
                del self._flights[told.attempt]
            self._told_at = max(self._told_at, told.at)
            told = replace(
                told, at=self._told_at
            )  # two threads may tell in another order than they looked at the clock
        self._events.append(told)
        if isinstance(told, InstanceLeft):
            for flight in list(self._flights.values()):
                if flight.attempt.instance == told.name:
                    flight.stop(FailureKind.LOST, "the instance left the fleet")

    async def _sleep(self, seconds: float) -> None:
        """Until something was told, the deadlines are to be looked at, or the real seconds are over."""
        if self._look is not None:
            seconds = min(seconds, max(0.0, self._look[0] - time.monotonic()))
        loop = _loop()
        if loop is None:
            try:
                self._hear(self._told.get(timeout=None if seconds == inf else seconds))
            except queue.Empty:
                return
        else:
            await self._sleep_on(loop, seconds)

    async def _sleep_on(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        told = asyncio.Event()
        self._waker = partial(_wake, loop, told)
        try:
            if self._told.empty():
                async with asyncio.timeout(None if seconds == inf else seconds):
                    await told.wait()
        except TimeoutError:
            return
        finally:
            self._waker = None

    def _call_later(self, seconds: float, function: Callable[[], None]) -> _Look:
        look = self._look = (time.monotonic() + seconds, function)
        return _Look(lambda: self._forget(look))

    def _forget(self, look: tuple[float, Callable[[], None]]) -> None:
        if self._look is look:
            self._look = None


class _Look:
    """A look at the deadlines that can be taken back."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _wake(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(told.set)
