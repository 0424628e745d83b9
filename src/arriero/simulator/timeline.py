"""Timeline: virtual time, and what happens when."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf

SWEEP_LEAST = 1024
"""Fewer alarms than this are never looked through for those that were called off."""


class StandstillError(Exception):
    """Nothing will ever happen any more, and somebody waits for it."""


class Alarm:
    """Something that will happen, unless it is called off.

    Attributes:
        at: Virtual seconds.
        call: What happens; None once it has or was called off.
    """

    __slots__ = ("at", "call")

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call: Callable[[], None] | None = call

    def off(self) -> None:
        """It will not happen."""
        self.call = None


class Timeline:
    """Owner of virtual time; two things due at one moment happen in the order in which they were set.

    Attributes:
        now: Virtual seconds.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._serial = 0
        self._sweep_at = SWEEP_LEAST

    def at(self, when: float, call: Callable[[], None]) -> Alarm:
        """Let something happen at a time, at once if that is past."""
        alarm = Alarm(max(when, self.now), call)
        self._serial += 1
        heappush(self._alarms, (alarm.at, self._serial, alarm))
        if len(self._alarms) >= self._sweep_at:
            self._sweep()
        return alarm

    def next_at(self) -> float:
        """When the next thing happens; ``inf`` if nothing will."""
        while self._alarms and self._alarms[0][2].call is None:
            heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else inf

    def step(self) -> None:
        """Go to the next moment at which something happens, and let all of that moment happen.

        Raises:
            StandstillError: If nothing will.
        """
        at = self.next_at()
        if at == inf:
            raise StandstillError("nothing will ever happen")
        self.now = at
        while self.next_at() <= at:
            alarm = heappop(self._alarms)[2]
            call, alarm.call = alarm.call, None
            if call is not None:
                call()

    def go_to(self, until: float) -> None:
        """Let everything happen up to a time, that time included, and stand there."""
        while self.next_at() <= until:
            self.step()
        self.now = max(self.now, until)

    def _sweep(self) -> None:
        """Drop what was called off: a deadline of minutes that was met at once would stay for as long."""
        self._alarms = [entry for entry in self._alarms if entry[2].call is not None]
        heapify(self._alarms)
        self._sweep_at = max(SWEEP_LEAST, 2 * len(self._alarms))
