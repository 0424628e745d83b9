"""Reminders: when an instance has to be looked at again, one moment each."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from math import inf


class Reminders:
    """A heap of moments; a later reminder of the same name replaces an earlier one."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str]] = []
        self._serial = 0
        self._at: dict[str, float] = {}

    @property
    def wake_at(self) -> float:
        """The next moment, perhaps one that was replaced; ``inf`` for none."""
        return self._heap[0][0] if self._heap else inf

    def set(self, name: str, at: float) -> None:
        """Look at it at a moment; ``inf`` asks for nothing."""
        if at < inf and self._at.get(name) != at:
            self._at[name] = at
            self._serial += 1
            heappush(self._heap, (at, self._serial, name))

    def drop(self, name: str) -> None:
        """It is gone."""
        self._at.pop(name, None)

    def due(self, now: float) -> Iterator[str]:
        """Names whose moment has come, replaced ones too: looking once more does no harm."""
        while self._heap and self._heap[0][0] <= now:
            at, _, name = heappop(self._heap)
            if self._at.get(name) == at:
                del self._at[name]
            yield name
