"""Feed and Sink of the simulator: rows that come bit by bit, and a disk that is slow to commit."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

from msgspec import structs

from arriero.core.events import AttemptFailed, AttemptRefunded, Notice
from arriero.core.request import BatchId, Request, Result
from arriero.simulator.timeline import Timeline

Key = tuple[BatchId, int, int]
"""Batch, position and round: what exactly one result is kept for."""


def key_of(row: Request) -> Key:
    """The key of a request."""
    return row.batch, row.position, row.round


class ListFeed:
    """Rows of one batch from memory, as far as the scan has come.

    Args:
        rows: All rows, in input order.
        done: Keys that have ended and are kept.
        attempts_used: Charged attempts that are kept, by position.
        round_number: The round.

    Attributes:
        scanned: Rows that the scan has passed; none beyond is handed out.
        complete: The scan is over: it has found no further row.
        more_now: See ``drive.Feed``.
    """

    def __init__(
        self,
        rows: Sequence[Request | Result],
        done: Container[Key],
        attempts_used: Mapping[int, int],
        round_number: int = 0,
    ) -> None:
        self.scanned = len(rows)
        self.complete = True
        self.more_now = False
        self._rows = rows
        self._done = done
        self._attempts_used = attempts_used
        self._round = round_number
        self._next = 0

    @property
    def ended(self) -> bool:
        """Every row was handed out or skipped."""
        return self.complete and self._next >= len(self._rows)

    @property
    def total(self) -> int | None:
        """Rows in all, once the scan is over."""
        return len(self._rows) if self.complete else None

    def take(self, requests: int, size_bytes: int) -> list[Request | Result]:
        """The next rows that have not ended."""
        taken: list[Request | Result] = []
        while self._next < self.scanned and requests > 0 and size_bytes > 0:
            row = self._rows[self._next]
            self._next += 1
            request = row.request if isinstance(row, Result) else row
            request = structs.replace(
                request, round=self._round, attempts_used=self._attempts_used.get(request.position, 0)
            )
            if key_of(request) in self._done:
                continue
            if isinstance(row, Result):
                taken.append(structs.replace(row, request=request))
                continue
            taken.append(request)
            requests -= 1
            size_bytes -= request.size_bytes
        return taken


class SlowSink:
    """Keeps what it is told, some time later; in between it can be lost with the process.

    Args:
        timeline: Virtual time.
        delay_s: Seconds a commit takes.
        most: Results it takes in before it says that it has no room.
        roomy_again: Called when it has room after it had none.

    Attributes:
        kept: What was committed: the first result of each key.
        charged: Charged attempts that were committed and not refunded, by (batch, position, round).
        refunds: How many refunds were committed.
        doubled: Keys told a second time although one was kept.
        waits: How often it had no room.
    """

    def __init__(self, timeline: Timeline, delay_s: float, most: int, roomy_again: Callable[[], None]) -> None:
        self.kept: dict[Key, Result] = {}
        self.charged: dict[Key, int] = {}
        self.doubled: list[Key] = []
        self.refunds = 0
        self.waits = 0
        self._timeline = timeline
        self._delay_s = delay_s
        self._most = most
        self._roomy_again = roomy_again
        self._queue: list[Result] = []
        self._failures: list[AttemptFailed | AttemptRefunded] = []
        self._writing = False
        self._full = False
        self._life = 0

    def record(self, results: Sequence[Result], notices: Sequence[Notice]) -> None:
        """Take them in; they are kept when the writer comes to them."""
        self._queue.extend(results)
        self._failures.extend(notice for notice in notices if isinstance(notice, AttemptFailed | AttemptRefunded))
        self._write()

    def room(self) -> bool:
        """Whether less than ``most`` wait to be written."""
        self._full = len(self._queue) >= self._most
        self.waits += self._full
        return not self._full

    def power_cut(self) -> None:
        """What is not committed is lost."""
        self._queue.clear()
        self._failures.clear()
        self._writing = False
        self._life += 1

    @property
    def idle(self) -> bool:
        """Whether all it was told is kept."""
        return not self._queue and not self._failures

    def _write(self) -> None:
        if self._writing or self.idle:
            return
        self._writing = True
        life, results, failures = self._life, len(self._queue), len(self._failures)
        self._timeline.at(self._timeline.now + self._delay_s, lambda: self._commit(life, results, failures))

    def _commit(self, life: int, results: int, failures: int) -> None:
        if life != self._life:
            return
        for result in self._queue[:results]:
            key = key_of(result.request)
            if key in self.kept:
                self.doubled.append(key)
            else:
                self.kept[key] = result
        for failure in self._failures[:failures]:
            row = failure.attempt.request
            if row is None:
                continue
            if isinstance(failure, AttemptRefunded):
                self.charged[key_of(row)] -= 1
                self.refunds += 1
            elif failure.charged:
                self.charged[key_of(row)] = self.charged.get(key_of(row), 0) + 1
        del self._queue[:results]
        del self._failures[:failures]
        self._writing = False
        if self._full and len(self._queue) < self._most:
            self._full = False
            self._roomy_again()
        self._write()
