"""Waiting: the index of requests that wait, by batch and unit, and of those that wait to be tried alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from arriero.core.batch import Batch
from arriero.core.queue import Open, Rank, UnitQueue
from arriero.core.request import BatchId, Unit


class BatchQueue:
    """What waits of one batch, and the share of the fleet it has had."""

    def __init__(self, batch: Batch, rank: Rank) -> None:
        self.batch = batch
        self.share = 0.0
        self.bytes = 0
        self.units: dict[Unit, UnitQueue] = {}
        self._rank = rank

    @property
    def count(self) -> int:
        """Requests waiting."""
        return sum(queue.count for queue in self.units.values())

    def unit(self, unit: Unit) -> UnitQueue:
        """The queue of one unit, made when first asked for."""
        queue = self.units.get(unit)
        if queue is None:
            queue = self.units[unit] = UnitQueue(self._rank)
        return queue


class Waiting:
    """All that waits: batches, each with a queue a unit, and suspects.

    A request under which a model process went down is a suspect: it waits for an instance of its own.

    Attributes:
        units: Requests waiting, suspects too, by unit; units without any are absent.
        suspects: Requests that wait to be tried alone, by unit; units without any are absent.
    """

    def __init__(self, rank: Rank) -> None:
        self._rank = rank
        self._batches: dict[BatchId, BatchQueue] = {}
        self.units: dict[Unit, int] = {}
        self.suspects: dict[Unit, deque[Open]] = {}
        self._endpoints: dict[Unit, str] = {}

    def __iter__(self) -> Iterator[Open]:
        for queue in self._batches.values():
            for entries in queue.units.values():
                yield from entries
        for suspects in self.suspects.values():
            yield from suspects

    def open(self, batch: Batch) -> None:
        """A batch begins; nothing of it waits yet."""
        self._batches[batch.id] = BatchQueue(batch, self._rank)

    def close(self, batch: BatchId) -> None:
        """A batch of which nothing waits will have nothing more."""
        del self._batches[batch]

    def __getitem__(self, batch: BatchId) -> BatchQueue:
        return self._batches[batch]

    def endpoint(self, unit: Unit) -> str:
        """The path that all requests of the unit go to, as far as seen; ``""`` if they go to several."""
        return self._endpoints.get(unit, "")

    def push(self, entry: Open, *, again: bool = False) -> None:
        """A request waits from now on."""
        queue = self._batches[entry.request.batch]
        if not queue.count:
            # Level with the least served of those that wait: it neither starves them nor pays for a time of its absence.
            active = [other.share for other in self._batches.values() if other.count]
            queue.share = max(queue.share, min(active, default=queue.share))
        path = entry.request.content.endpoint
        if self._endpoints.setdefault(entry.request.unit, path) != path:
            self._endpoints[entry.request.unit] = ""
        unit = queue.unit(entry.request.unit)
        if again and entry.failed_on:
            unit.push_again(entry)
        else:
            unit.push(entry)
        self._more(entry)

    def push_suspect(self, entry: Open) -> None:
        """A request waits to be tried alone."""
        self.suspects.setdefault(entry.request.unit, deque()).append(entry)
        self._more(entry)

    def taken(self, entry: Open, work: float) -> None:
        """A request taken from its unit's queue was started; its batch is charged its share."""
        queue = self._batches[entry.request.batch]
        queue.share += work / queue.batch.weight
        self._less(entry)

    def take_suspect(self, unit: Unit) -> Open:
        """Take the first suspect of a unit that has some."""
        entries = self.suspects[unit]
        entry = entries.popleft()
        if not entries:
            del self.suspects[unit]
        self._less(entry)
        return entry

    def clear(self, batch: BatchId) -> list[Open]:
        """Remove and return all that waits of a batch; the batch itself stays open."""
        units = self._batches[batch].units
        gone = [entry for entries in units.values() for entry in entries]
        units.clear()
        gone += [entry for entries in self.suspects.values() for entry in entries if entry.request.batch == batch]
        return self._remove(gone)

    def lead(self, blocked: set[Unit], passed: set[tuple[BatchId, Unit]]) -> tuple[BatchQueue, Unit] | None:
        """Whose turn it is: the highest class, inside it the batch with the least share; None if nothing can start.

        Args:
            blocked: Units for which no instance has room now.
            passed: Batches of which nothing may go where there is room for the unit.
        """
        best: tuple[BatchQueue, Unit] | None = None
        best_key = (0.0, 0.0)
        for queue in self._batches.values():
            for unit, entries in queue.units.items():
                if entries.count and unit not in blocked and (queue.batch.id, unit) not in passed:
                    key = (-(queue.batch.priority + entries.priority), queue.share)
                    if best is None or key < best_key:
                        best, best_key = (queue, unit), key
        return best

    def drop(self, unit: Unit) -> list[Open]:
        """Remove and return all that waits for a unit."""
        gone: list[Open] = []
        for queue in self._batches.values():
            gone.extend(queue.units.pop(unit, ()))
        return self._remove(gone + list(self.suspects.get(unit, ())))

    def _remove(self, gone: list[Open]) -> list[Open]:
        """They wait no more; those that are suspects are taken out here."""
        keys = {id(entry) for entry in gone}
        for unit, entries in tuple(self.suspects.items()):
            kept = deque(entry for entry in entries if id(entry) not in keys)
            if kept:
                self.suspects[unit] = kept
            else:
                del self.suspects[unit]
        for entry in gone:
            self._less(entry)
        return gone

    def _more(self, entry: Open) -> None:
        unit = entry.request.unit
        self._batches[entry.request.batch].bytes += entry.request.size_bytes
        self.units[unit] = self.units.get(unit, 0) + 1

    def _less(self, entry: Open) -> None:
        unit = entry.request.unit
        self._batches[entry.request.batch].bytes -= entry.request.size_bytes
        self.units[unit] -= 1
        if not self.units[unit]:
            del self.units[unit]
