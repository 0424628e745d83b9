"""Commit: one group of results and notices becomes one transaction.

Every step of SQLite lets go of Python's global lock, and a busy event loop that has taken it in between gives it back
after the interpreter's switch interval (5 ms) only. ``executemany`` takes two such steps a result; here a group is five
statements whatever its size: the rows go into one ``VALUES`` list of a fixed length, filled up with NULL rows. Measured
in turn beside a busy thread, 6 runs of 10,000 results each (``bench/journal_rate.py --busy``, ``_insert`` exchanged):
``executemany`` 5,200 to 22,800 results/s, this 11,500 to 26,500.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import apsw
import msgspec

from arriero.core.batch import BatchStatus
from arriero.core.events import AttemptFailed, AttemptRefunded, AttemptStarted, Notice, UpkeepEnded
from arriero.core.outcome import Failure, Success
from arriero.core.request import Attempt, BatchId, Result
from arriero.journal.done import Done
from arriero.journal.outcome import ENCODER, encode, seal, speakable
from arriero.journal.statements import statement, statement_for

GROUP_RESULTS = 500
"""Results a transaction at most: what is redone after a kill beside what was in flight (P3)."""

LENGTHS = (1, 8, 64, GROUP_RESULTS)
"""Lengths of the ``VALUES`` lists; each is prepared once."""

FINISHED_COLUMNS = 6
ANSWER_COLUMNS = 12
ATTEMPT_COLUMNS = 14
EVENT_COLUMNS = 4

Values: TypeAlias = list[Any]


class Changes(msgspec.Struct, kw_only=True):
    """What is to change in a batch's own row; None: nothing.

    Attributes:
        status: The new status word.
        total: Rows of the input, with ``input_bytes``.
        input_bytes: Size of the input.
        snapshot: JSON of the numbers that ``arriero status`` shows while the batch runs.
    """

    status: BatchStatus | None = None
    total: int | None = None
    input_bytes: int | None = None
    snapshot: bytes | None = None


class Commit:
    """Writes groups through the one write connection; used by one thread.

    Args:
        connection: Open for writing.
        batch: The batch.
        session: Key of this process's row in ``session``.
        done: What has ended; grows with each commit.
        answer: Highest key in the log of outcomes so far.
    """

    def __init__(self, connection: apsw.Connection, batch: BatchId, session: int, done: Done, answer: int) -> None:
        self._connection = connection
        self._batch = batch
        self._session = session
        self._done = done
        self._answer = answer

    def __call__(self, results: Sequence[Result], notices: Sequence[Notice], changes: Changes) -> list[Result]:
        """Make one group durable.

        Returns:
            The results that were kept: the first of each request (P4). They are durable when this returns (P2).

        Raises:
            apsw.Error: If nothing was kept; the connection is then of no further use.
        """
        kept = self._first(results)
        attempts, events, refunds = self._notices(notices)
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        if kept:
            self._results(kept)
        _insert(execute, "insert_attempt", attempts, ATTEMPT_COLUMNS)
        for refund in refunds:  # a handful at an ejection
            execute(statement("refund"), refund)
        _insert(execute, "insert_event", events, EVENT_COLUMNS)
        self._change(changes)
        execute("COMMIT")
        self._answer += len(kept)
        for result in kept:
            self._done.add(result.request.position, succeeded=isinstance(result.outcome, Success))
        return kept

    def _first(self, results: Sequence[Result]) -> list[Result]:
        """The first outcome of each request that has none; ``finished``'s key would refuse a second one anyway."""
        done, seen, kept = self._done, set[int](), []
        for result in results:
            position = result.request.position
            if position not in seen and position not in done:
                seen.add(position)
                kept.append(result)
        return kept

    def _results(self, kept: Sequence[Result]) -> None:
        finished: Values = []
        answers: Values = []
        batch, session, answer, failed = self._batch, self._session, self._answer, 0
        for result in kept:
            request, outcome = result.request, result.outcome
            kind = None
            if isinstance(outcome, Failure):
                kind = outcome.kind.value
                failed += 1
            answer += 1
            position, round_ = request.position, request.round
            finished += (batch, position, round_, kind, request.row_hash, answer)
            made = (request.id, session, result.instance, request.unit.model, result.attempts, result.attempt)
            key = (batch, position, round_, *made, float(result.ended_at))
            answers += (answer, *key, seal(key, encode(outcome)))
        execute = self._connection.execute
        _insert(execute, "insert_finished", finished, FINISHED_COLUMNS)
        _insert(execute, "insert_answer", answers, ANSWER_COLUMNS)
        execute(statement("count"), (len(kept) - failed, failed, batch))

    def _change(self, changes: Changes) -> None:
        if changes.status is not None:
            self._connection.execute(statement("set_status"), (changes.status.value, self._batch))
        if changes.total is not None:
            self._connection.execute(statement("set_total"), (changes.total, changes.input_bytes, self._batch))
        if changes.snapshot is not None:
            self._connection.execute(statement("set_snapshot"), (changes.snapshot, self._batch))

    def _notices(self, notices: Sequence[Notice]) -> tuple[Values, Values, list[tuple[Any, ...]]]:
        """Rows for ``attempt`` and ``event``, and attempts that count no more.

        That an attempt started is not kept: at a crash it does not count.
        """
        attempts: Values = []
        events: Values = []
        refunds: list[tuple[Any, ...]] = []
        for notice in notices:
            match notice:
                case AttemptStarted():
                    pass
                case AttemptFailed():
                    detail, charged = speakable(notice.detail), int(notice.charged)
                    attempts += self._attempt(notice.attempt)
                    attempts += (notice.kind.value, detail, charged, None, notice.at)
                case AttemptRefunded(attempt=attempt):
                    batch, position, round_, *_ = self._attempt(attempt)
                    refunds.append((batch, round_, position, self._session, attempt.id))
                case UpkeepEnded():
                    kind = None if notice.kind is None else notice.kind.value
                    attempts += self._attempt(notice.attempt)
                    attempts += (kind, "", 0, notice.latency_s, notice.at)
                case _:
                    events += (self._session, notice.at, type(notice).__name__, ENCODER.encode(notice).decode())
        return attempts, events, refunds

    def _attempt(self, attempt: Attempt) -> tuple[Any, ...]:
        request, unit = attempt.request, attempt.unit
        return (
            self._batch,
            None if request is None else request.position,
            None if request is None else request.round,
            attempt.number,
            self._session,
            attempt.id,
            attempt.purpose,
            attempt.instance,
            None if unit is None else ENCODER.encode(unit).decode(),
        )


def _insert(execute: Any, name: str, values: Values, columns: int) -> None:
    """Insert rows, flat in ``values``, in as few statements as the fixed lengths allow."""
    rows = len(values) // columns
    start = 0
    while start < rows:
        left = rows - start
        length = next((length for length in LENGTHS if length >= left), LENGTHS[-1])
        part = values[start * columns : (start + length) * columns]
        part.extend([None] * (length * columns - len(part)))
        execute(statement_for(name, length, columns), part)
        start += length
