"""Queue: requests of one batch that wait for one unit, in groups of like length."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Protocol

from arriero.core.request import Request


class Open:
    """A request that has not ended, and what has happened to it in this round.

    Attributes:
        request: The request.
        attempts: Attempts started.
        charged: Attempts that count towards the batch's retries; those of an ejected instance are refunded.
        forgiven: Attempts that failed on an instance which was then out of use, and were not charged.
        failed_on: Instances that failed it; it goes elsewhere while another one serves its unit.
        failed_at: When an instance failed it last; None if none did.
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
        "failed_at",
        "failed_on",
        "forgiven",
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
        self.forgiven = 0
        self.failed_on: frozenset[str] = frozenset()
        self.failed_at: float | None = None
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
        self._again: dict[tuple[int, frozenset[str]], deque[Open]] = {}
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
        """Append a request that failed somewhere; it goes before those of its class that were never sent."""
        self._again.setdefault((entry.request.priority, entry.failed_on), deque()).append(entry)
        self.count += 1

    @property
    def priority(self) -> int:
        """Highest priority of what waits; something must wait."""
        again = [priority for priority, _ in self._again]
        return max([*again, self._order[0][1].priority] if self._order else again)

    @property
    def fresh(self) -> bool:
        """Whether of the highest class something waits that was never sent."""
        return bool(self._order) and self._order[0][1].priority >= self.priority

    def take_again(self, instance: str, stranded: Callable[[frozenset[str]], bool]) -> Open | None:
        """The first request that failed before, but not on this instance; none if a higher class was never sent.

        Args:
            instance: Where it would go.
            stranded: Whether no other instance serves what failed on these; then it may go back.
        """
        top = self._order[0][1].priority if self._order else None
        found: tuple[int, frozenset[str]] | None = None
        for priority, failed_on in self._again:
            better = (top is None or priority >= top) and (found is None or priority > found[0])
            if better and (instance not in failed_on or stranded(failed_on)):
                found = (priority, failed_on)
        if found is None:
            return None
        entries = self._again[found]
        entry = entries.popleft()
        if not entries:
            del self._again[found]
        self.count -= 1
        return entry

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
