"""Deadlines: one timer for all attempts in flight, and the gaps in which the process was away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Protocol

from arriero.core.request import AttemptId
from arriero.engines.flight import Flight

AWAY_S = 5.0
"""A beat that comes later than this, in real seconds, means that the process was stopped or suspended."""

BEAT_S = 1.0
"""Real seconds between two looks at the flights while there are any."""

GRAIN_S = 0.01
"""Real seconds between two looks at least; also how late a deadline may fire."""


class Timer(Protocol):
    """What ``loop.call_later`` gives back."""

    def cancel(self) -> None:
        """Take the call back."""
        ...


class Deadlines:
    """Watches ``Flight.due`` of every flight with a single timer.

    A timer an attempt would be armed, moved at every piece and cancelled again some hundred thousand times in
    vain. Looking at all flights once a second costs 0.1 us each, and ``due`` moves by itself as pieces come.

    Args:
        flights: The flights, kept by the engine.
        clock: Engine seconds.
        call_later: Runs a function after real seconds.
        time_scale: Engine seconds in a real second.
    """

    def __init__(
        self,
        flights: Mapping[AttemptId, Flight],
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Timer],
        time_scale: float = 1.0,
    ) -> None:
        self._flights = flights
        self._clock = clock
        self._call_later = call_later
        self._scale = time_scale
        self._looked = 0.0
        self._next = inf
        self._timer: Timer | None = None

    def watch(self, flight: Flight) -> None:
        """Look in time for this flight: it is new, or its ``due`` came nearer."""
        if flight.due < self._next or self._timer is None:
            self._arm(self._clock())

    def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._next = inf

    def _arm(self, now: float) -> None:
        """Set the timer for the nearest ``due``, at most a beat and at least a grain away."""
        if self._timer is not None:
            self._timer.cancel()
        nearest = min((flight.due for flight in self._flights.values()), default=inf)
        delay_s = min(max((nearest - now) / self._scale, GRAIN_S), BEAT_S)
        self._looked = now
        self._next = now + delay_s * self._scale
        self._timer = self._call_later(delay_s, self._look)

    def _look(self) -> None:
        """Move deadlines by a gap, end what is overdue, go on while anything flies."""
        self._timer = None
        now = self._clock()
        if (now - self._next) / self._scale > AWAY_S:
            for flight in self._flights.values():
                flight.delay(now - self._looked)
        for flight in self._flights.values():
            flight.look(now)
            if flight.due <= now:
                flight.expire()
        if self._flights:
            self._arm(now)
        else:
            self._next = inf
