"""AsyncioEngine: carries attempts out on one event loop, each in a task of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from math import inf
from types import TracebackType
from typing import Self

from arriero.backends.wire import Backend
from arriero.core.events import AttemptBegan, AttemptEnded, Event, InstanceLeft
from arriero.core.outcome import FailureKind, Outcome
from arriero.core.request import Attempt, AttemptId
from arriero.engines.address import Address
from arriero.engines.arrival import freed_first
from arriero.engines.deadlines import Deadlines
from arriero.engines.flight import Flight, unknown
from arriero.engines.http import Http
from arriero.engines.words import crashed


class AsyncioEngine:
    """The default engine: aiohttp on the running loop.

    Use it as an async context manager. Every attempt that is started ends exactly once, also when the engine is
    closed under it; what ended is still handed out by ``wait`` after that.

    Args:
        book: Address of each instance by name; may be changed while the engine runs.
        dialects: Backend by ``Attempt.backend``.
        session: Name of the process run, 12 hex digits; travels in a header with the attempt's id (P15).
        time_scale: Engine seconds in a real second; above 1 only in tests, so that timeouts fire soon.
    """

    def __init__(
        self,
        book: Mapping[str, Address],
        dialects: Mapping[str, Backend],
        session: str,
        time_scale: float = 1.0,
    ) -> None:
        self._book = book
        self._dialects = dialects
        self._scale = time_scale
        self._flights: dict[AttemptId, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._events: list[Event] = []
        self._waker: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._deadlines = Deadlines(self._flights, self.now, self._call_later, time_scale)
        self._http = Http(session, self.now, self._deadlines.watch, self._began, time_scale)

    async def __aenter__(self) -> Self:
        """Open the pool of connections on the running loop."""
        self._loop = asyncio.get_running_loop()
        await self._http.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel what flies, wait for every end, close every connection."""
        self._closing = True
        for flight in list(self._flights.values()):
            flight.stop(FailureKind.CANCELLED, "the engine was closed")
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        self._deadlines.close()
        await self._http.close()

    def now(self) -> float:
        """Monotonic seconds, times the time scale.

        The clock is read anew: uvloop's own is as old as the loop's last round and counts milliseconds, too
        coarse to tell who held a slot together (``core/policies/overlap.py``).
        """
        return time.monotonic() * self._scale

    def start(self, attempt: Attempt) -> None:
        """Begin an attempt; its end comes through ``wait``.

        Raises:
            KeyError: If ``attempt.backend`` is no dialect of this engine.
        """
        if self._loop is None:
            raise RuntimeError("the engine is not open")
        flight = Flight(attempt, self._dialects[attempt.backend], self.now())
        self._flights[attempt.id] = flight
        if self._closing:
            flight.stop(FailureKind.CANCELLED, "the engine was closed")
        task = self._loop.create_task(self._carry(flight))
        self._tasks.add(task)
        task.add_done_callback(self._landed)

    def cancel(self, attempt: AttemptId) -> None:
        """Hang up on an attempt; the server sees its connection closed. Unknown ids are ignored."""
        flight = self._flights.get(attempt)
        if flight is not None:
            flight.stop(FailureKind.CANCELLED, "cancelled")

    def post(self, event: Event) -> None:
        """Hand an event in from outside; safe from any thread. After the loop has closed it is dropped."""
        loop = self._loop
        if loop is None:
            self._events.append(event)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._posted, event)

    async def wait(self, until: float) -> Sequence[Event]:
        """Events that have happened, in order; an empty list when ``until`` has come (``inf``: never).

        It always lets the loop turn once, so that a caller with something due at every moment starves nobody.
        """
        left_s = (until - self.now()) / self._scale
        if self._events or left_s <= 0:
            await asyncio.sleep(0)
        while not self._events and left_s > 0:
            await self._sleep(left_s)  # uvloop counts milliseconds and may be half of one early
            left_s = (until - self.now()) / self._scale
        events, self._events = self._events, []
        return self._in_order(events)

    def _in_order(self, events: list[Event]) -> list[Event]:
        """What one round of the loop has read, as it is told."""
        return freed_first(events)

    async def _sleep(self, seconds: float) -> None:
        """Until an event comes or the real seconds are over."""
        loop = asyncio.get_running_loop()
        waker = self._waker = loop.create_future()
        timer = None if seconds == inf else loop.call_later(seconds, self._wake)
        try:
            await waker
        finally:
            self._waker = None
            if timer is not None:
                timer.cancel()

    async def _carry(self, flight: Flight) -> None:
        """One attempt from its call to its outcome; the end is told whatever happens."""
        outcome: Outcome | None = None
        try:
            outcome = await self._outcome(flight)
        finally:
            now = self.now()
            del self._flights[flight.attempt.id]
            if outcome is None:
                outcome = crashed(sys.exception(), now - flight.started)
            self._emit(AttemptEnded(flight.attempt.id, now, outcome))

    async def _outcome(self, flight: Flight) -> Outcome:
        address = self._book.get(flight.attempt.instance)
        if address is None:
            return unknown()
        unsaid = flight.write(self.now())
        if unsaid is not None:
            return unsaid
        if flight.broken is None:
            self._deadlines.watch(flight)
            await self._http.exchange(flight, address)
        return flight.outcome(self.now())

    def _landed(self, task: asyncio.Task[None]) -> None:
        """Forget the task; what it raised has been told as its outcome and is not logged with its text (P12)."""
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    def _began(self, flight: Flight, at: float) -> None:
        self._emit(AttemptBegan(flight.attempt.id, at))

    def _posted(self, event: Event) -> None:
        if isinstance(event, InstanceLeft):
            for flight in self._flights.values():
                if flight.attempt.instance == event.name:
                    flight.stop(FailureKind.LOST, "the instance left the fleet")
        self._emit(event)

    def _emit(self, event: Event) -> None:
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    def _call_later(self, seconds: float, function: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, function)
