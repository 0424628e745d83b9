"""Waiting: the index of requests that wait, by batch, unit and group of like length."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Protocol

from arriero.core.batch import Batch
from arriero.core.request import BatchId, Request, Unit


class Open:
    """A request that has not ended, and what has happened to it in this round.

    Attributes:
        request: The request.
        attempts: Attempts started.
        charged: Attempts that count towards the batch's retries; those of an ejected instance are refunded.
        failed_on: Instances that failed it; it goes elsewhere while another one serves its unit.
        crashes: Model processes that went down under it; from the first on it is tried alone.
        overloaded_since: When a server first refused it as overloaded, until one takes it; None otherwise.
        repeated: It ended once in Ollama's repeat abort.
        timed_out: Attempts that timed out; each doubles the predicted bounds of the next.
        room_tokens: Output tokens that its context really leaves, once an answer has outgrown it.
    """

    __slots__ = (
        "attempts",
        "charged",
        "crashes",
        "failed_on",
        "overloaded_since",
        "repeated",
        "request",
        "room_tokens",
        "timed_out",
    )

    def __init__(self, request: Request) -> None:
        self.request = request
        self.attempts = request.attempts_used
        self.charged = request.attempts_used
        self.failed_on: frozenset[str] = frozenset()
        self.crashes = 0
        self.overloaded_since: float | None = None
        self.repeated = False
        self.timed_out = 0
        self.room_tokens: int | None = None


class Rank(Protocol):
    """How requests are grouped and which group goes first."""

    def group(self, request: Request) -> Hashable:
        """Requests of one group are alike and go in order of arrival."""
        ...

    def work(self, request: Request) -> float:
        """Expected work in token times; the group with the most goes first."""
        ...

    @property
    def version(self) -> int:
        """Changes when the answers of ``work`` have changed enough to sort again."""
        ...


class _Group:
    __slots__ = ("key", "open", "priority", "sort_key")

    def __init__(self, key: Hashable, priority: int, sort_key: tuple[float, float, int]) -> None:
        self.key = key
        self.priority = priority
        self.sort_key = sort_key
        self.open: deque[Open] = deque()


class UnitQueue:
    """What waits of one batch for one unit; groups sorted by priority, then most work first."""

    def __init__(self, rank: Rank) -> None:
        self.count = 0
        self._rank = rank
        self._version = rank.version
        self._groups: dict[Hashable, _Group] = {}
        self._order: list[tuple[tuple[float, float, int], _Group]] = []
        self._again: dict[frozenset[str], deque[Open]] = {}
        self._serial = 0

    def push(self, entry: Open) -> None:
        """Append a request that was never sent, or whose sending is forgotten."""
        request = entry.request
        key = (request.priority, self._rank.group(request))
        group = self._groups.get(key)
        if group is None:
            self._serial += 1
            group = _Group(key, request.priority, (-request.priority, -self._rank.work(request), self._serial))
            self._groups[key] = group
            insort(self._order, (group.sort_key, group))
        group.open.append(entry)
        self.count += 1

    def push_again(self, entry: Open) -> None:
        """Append a request that failed somewhere; it goes before those never sent."""
        self._again.setdefault(entry.failed_on, deque()).append(entry)
        self.count += 1

    @property
    def priority(self) -> int:
        """Highest priority of what waits; 0 if only repeats wait."""
        return self._order[0][1].priority if self._order else 0

    def take_again(self, instance: str, stranded: Callable[[frozenset[str]], bool]) -> Open | None:
        """The first request that failed before, but not on this instance.

        Args:
            instance: Where it would go.
            stranded: Whether no other instance serves what failed on these; then it may go back.
        """
        for failed_on, entries in self._again.items():
            if instance not in failed_on or stranded(failed_on):
                entry = entries.popleft()
                if not entries:
                    del self._again[failed_on]
                self.count -= 1
                return entry
        return None

    def take(self, *, shortest: bool = False) -> Open | None:
        """The first request of the first group; of the last group of that priority if the shortest is wanted."""
        if not self._order:
            return None
        if self._version != self._rank.version:
            self._sort()
        index = 0
        if shortest:
            top = self._order[0][0][0]
            index = bisect_left(self._order, ((top, float("inf"), 0),)) - 1
        group = self._order[index][1]
        entry = group.open.popleft()
        if not group.open:
            del self._order[index]
            del self._groups[group.key]
        self.count -= 1
        return entry

    def __iter__(self) -> Iterator[Open]:
        for entries in self._again.values():
            yield from entries
        for _, group in self._order:
            yield from group.open

    def _sort(self) -> None:
        self._version = self._rank.version
        for group in self._groups.values():
            priority, _, serial = group.sort_key
            group.sort_key = (priority, -self._rank.work(group.open[0].request), serial)
        self._order = sorted((group.sort_key, group) for group in self._groups.values())


class BatchQueue:
    """What waits of one batch, and the share of the fleet it has had."""

    def __init__(self, batch: Batch, rank: Rank, share: float) -> None:
        self.batch = batch
        self.share = share
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
    """All that waits: batches, each with a queue a unit.

    Attributes:
        units: Requests waiting, by unit; units without any are absent.
    """

    def __init__(self, rank: Rank) -> None:
        self._rank = rank
        self._batches: dict[BatchId, BatchQueue] = {}
        self.units: dict[Unit, int] = {}

    def open(self, batch: Batch) -> None:
        """A batch begins; its share starts level with the least served one, so that it neither waits nor starves others."""
        share = min((other.share for other in self._batches.values()), default=0.0)
        self._batches[batch.id] = BatchQueue(batch, self._rank, share)

    def close(self, batch: BatchId) -> None:
        """A batch is over; nothing of it waits."""
        del self._batches[batch]

    def __getitem__(self, batch: BatchId) -> BatchQueue:
        return self._batches[batch]

    def push(self, entry: Open, *, again: bool = False) -> None:
        """A request waits from now on."""
        queue = self._batches[entry.request.batch]
        unit = queue.unit(entry.request.unit)
        if again and entry.failed_on:
            unit.push_again(entry)
        else:
            unit.push(entry)
        queue.bytes += entry.request.size_bytes
        self.units[entry.request.unit] = self.units.get(entry.request.unit, 0) + 1

    def taken(self, entry: Open, work: float) -> None:
        """A request taken from its unit's queue was started; its batch is charged its share."""
        queue = self._batches[entry.request.batch]
        queue.bytes -= entry.request.size_bytes
        self._less(entry.request.unit, 1)
        queue.share += work / queue.batch.weight

    def clear(self, batch: BatchId) -> list[Open]:
        """Remove and return all that waits of a batch; the batch itself stays open."""
        queue = self._batches[batch]
        gone = [entry for entries in queue.units.values() for entry in entries]
        for unit, entries in queue.units.items():
            self._less(unit, entries.count)
        queue.units.clear()
        queue.bytes = 0
        return gone

    def lead(self, blocked: set[Unit]) -> tuple[BatchQueue, Unit] | None:
        """Whose turn it is: the highest class, inside it the batch with the least share; None if nothing can start.

        Args:
            blocked: Units for which no instance has room now.
        """
        best: tuple[BatchQueue, Unit] | None = None
        best_key = (0.0, 0.0)
        for queue in self._batches.values():
            for unit, entries in queue.units.items():
                if entries.count and unit not in blocked:
                    key = (-(queue.batch.priority + entries.priority), queue.share)
                    if best is None or key < best_key:
                        best, best_key = (queue, unit), key
        return best

    def drop(self, unit: Unit) -> list[Open]:
        """Remove and return all that waits for a unit."""
        gone: list[Open] = []
        for queue in self._batches.values():
            entries = queue.units.pop(unit, None)
            if entries is not None:
                gone.extend(entries)
                queue.bytes -= sum(entry.request.size_bytes for entry in entries)
        self.units.pop(unit, None)
        return gone

    def _less(self, unit: Unit, count: int) -> None:
        left = self.units.get(unit, 0) - count
        if left > 0:
            self.units[unit] = left
        else:
            self.units.pop(unit, None)
