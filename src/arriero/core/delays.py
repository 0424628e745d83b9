"""Delays: requests that failed and may be sent again later."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from math import inf

from arriero.core.queue import Open
from arriero.core.request import BatchId, Unit


class Delays:
    """Owner of the requests whose retry is not due yet.

    Attributes:
        units: How many, by unit; units without any are absent.
        bytes: Bytes of their bodies, by batch; batches without any are absent.
    """

    def __init__(self) -> None:
        self.units: dict[Unit, int] = {}
        self.bytes: dict[BatchId, int] = {}
        self._heap: list[tuple[float, int, Open]] = []
        self._serial = 0

    def __iter__(self) -> Iterator[Open]:
        return (entry for _, _, entry in self._heap)

    @property
    def wake_at(self) -> float:
        """When the next one is due; ``inf`` if there is none."""
        return self._heap[0][0] if self._heap else inf

    def push(self, entry: Open, at: float) -> None:
        """It may be sent again from then on, in monotonic seconds."""
        self._serial += 1
        heappush(self._heap, (at, self._serial, entry))
        request = entry.request
        self.units[request.unit] = self.units.get(request.unit, 0) + 1
        self.bytes[request.batch] = self.bytes.get(request.batch, 0) + request.size_bytes

    def due(self, now: float) -> Iterator[Open]:
        """Take those that are due."""
        while self._heap and self._heap[0][0] <= now:
            yield self._taken(heappop(self._heap)[2])

    def clear(self, batch: BatchId) -> list[Open]:
        """Take all of a batch."""
        gone = [self._taken(entry) for _, _, entry in self._heap if entry.request.batch == batch]
        self._heap = [kept for kept in self._heap if kept[2].request.batch != batch]
        heapify(self._heap)
        return gone

    def _taken(self, entry: Open) -> Open:
        unit, batch = entry.request.unit, entry.request.batch
        self.units[unit] -= 1
        if not self.units[unit]:
            del self.units[unit]
        left = self.bytes.get(batch, 0) - entry.request.size_bytes
        if left:
            self.bytes[batch] = left
        else:
            self.bytes.pop(batch, None)
        return entry
