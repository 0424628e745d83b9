"""JournalReader: everything a journal holds, read only, also while a writer runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from arriero.core.batch import Counts
from arriero.core.request import BatchId
from arriero.errors import StorageError
from arriero.journal import place, stored
from arriero.journal.connection import reading
from arriero.journal.faults import damaged, translated
from arriero.journal.statements import statement
from arriero.journal.stored import StoredAttempt, StoredBatch, StoredNotice, StoredResult, StoredSession

PAGE_ROWS = 200
"""Rows a statement reads: bounds memory, and lets go of the file between two pages so that no writer waits for it."""

PAGE_HASHES = 2000


class JournalReader:
    """One read-only connection; for one thread.

    Iterators read page by page: each row is what was committed when its page was read.

    Args:
        path: The journal.

    Raises:
        StorageError: If there is no journal, it is damaged or is of a newer schema. Every method raises it for damage
            that it meets.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = place.resolve(Path(path))
        with reading(self.path) as connection:
            self._connection = connection

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def batches(self) -> list[BatchId]:
        """Keys of all batches."""
        return [key for (key,) in self._all("batches", ())]

    def batch(self, batch: BatchId = 1) -> StoredBatch:
        """A batch's own row; one read, whatever the number of rows.

        Raises:
            StorageError: If the journal does not know the batch.
        """
        rows = self._all("batch", (batch,))
        if not rows:
            raise StorageError(f"The journal {self.path} has no batch {batch}.")
        try:
            return stored.batch(rows[0])
        except ValueError as error:
            raise damaged(self.path, f"the row of batch {batch} cannot be read") from error

    def counts(self, batch: BatchId = 1) -> Counts:
        """Requests by state as the file knows them: what runs now is not in it and counts as waiting."""
        row = self.batch(batch)
        waiting = 0 if row.total is None else max(0, row.total - row.succeeded - row.failed)
        return Counts(total=row.total, succeeded=row.succeeded, failed=row.failed, waiting=waiting)

    def binding(self, batch: BatchId = 1) -> dict[str, str]:
        """What the batch is bound to (P8)."""
        return dict(self._all("binding", (batch,)))

    def snapshot(self, batch: BatchId = 1) -> bytes | None:
        """JSON of the numbers that the last process published; None if none did."""
        rows = self._all("snapshot", (batch,))
        return rows[0][0] if rows else None

    def sessions(self) -> list[StoredSession]:
        """All processes that wrote, in order."""
        return [StoredSession(*row) for row in self._all("sessions", ())]

    def settings(self) -> bytes:
        """JSON of the last session's settings; ``{}`` if there was none."""
        sessions = self.sessions()
        return sessions[-1].settings if sessions else b"{}"

    def hashes(self, batch: BatchId = 1) -> Iterator[tuple[int, bytes, bool]]:
        """Position, row hash and whether it failed, of every row that has ended, in input order."""
        yield from self._pages("hashes", (batch,), (-1,), key=slice(0, 1), rows=PAGE_HASHES)

    def results(self, batch: BatchId = 1, *, after: int = -1) -> Iterator[StoredResult]:
        """Results in input order, from the row behind ``after``."""
        found = self._results("results", (batch,), (after,), key=slice(1, 2))
        return found if after >= 0 else self._all_there(found, batch, lambda row: row.succeeded + row.failed)

    def failures(self, batch: BatchId = 1) -> Iterator[StoredResult]:
        """Failed results in input order."""
        found = self._results("failures", (batch,), (-1,), key=slice(1, 2))
        return self._all_there(found, batch, lambda row: row.failed)

    def history(self, batch: BatchId = 1) -> Iterator[StoredResult]:
        """Failed ends of earlier rounds, by round, in input order."""
        rows = self._pages("history", (batch,), (-1, -1), key=slice(2, 0, -1))
        return self._decoded(rows)

    def failure_kinds(self, batch: BatchId = 1) -> dict[str, int]:
        """Failed requests by kind."""
        return dict(self._all("failure_kinds", (batch,)))

    def attempt_kinds(self, batch: BatchId = 1) -> dict[str, int]:
        """Failed request attempts by kind."""
        return dict(self._all("attempt_kinds", (batch,)))

    def attempts(self, batch: BatchId = 1) -> Iterator[StoredAttempt]:
        """Attempts that failed or were no requests, in the order they were committed."""
        for row in self._pages("attempts", (batch,), (0,), key=slice(0, 1)):
            try:
                yield stored.attempt(row)
            except ValueError as error:  # msgspec's errors are ValueErrors too
                raise damaged(self.path, f"attempt {row[0]} cannot be read: {type(error).__name__}") from error

    def notices(self) -> Iterator[StoredNotice]:
        """What observers were told, in order."""
        for _, session, at, name, body in self._pages("events", (), (0,), key=slice(0, 1)):
            yield StoredNotice(session, at, name, msgspec.Raw(body.encode()))

    def quick_check(self) -> list[str]:
        """What SQLite finds wrong with the file's structure; empty if nothing."""
        with translated(self.path, self._connection):
            verdicts = [str(row[0]) for row in self._connection.execute("PRAGMA quick_check")]
        return [] if verdicts == ["ok"] else verdicts

    def number(self, name: str, bindings: tuple[Any, ...] = ()) -> int:
        """The single number a ``check_…`` statement gives."""
        return int(self._all(name, bindings)[0][0])

    def _all(self, name: str, bindings: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with translated(self.path, self._connection):
            return self._connection.execute(statement(name), bindings).fetchall()

    def _pages(
        self, name: str, fixed: tuple[Any, ...], start: tuple[int, ...], *, key: slice, rows: int = PAGE_ROWS
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of a paged statement; ``key`` says which columns of the last row the next page begins behind."""
        while page := self._all(name, (*fixed, *start, rows)):
            yield from page
            if len(page) < rows:
                return
            start = page[-1][key]

    def _all_there(
        self, found: Iterator[StoredResult], batch: BatchId, counted: Callable[[StoredBatch], int]
    ) -> Iterator[StoredResult]:
        """The same, and at their end an error if there were fewer than the batch's own row has counted.

        A page of the table that calls itself shorter is damage that SQLite does not see. While the batch goes on there
        may be more; after a retry in between nothing can be said.
        """
        before, read = self.batch(batch), 0
        for read, one in enumerate(found, 1):  # noqa: B007 - counts
            yield one
        after = self.batch(batch)
        if before.round == after.round and read < counted(before):
            raise damaged(self.path, f"{counted(before) - read} of its rows are missing")

    def _results(
        self, name: str, fixed: tuple[Any, ...], start: tuple[int, ...], *, key: slice
    ) -> Iterator[StoredResult]:
        return self._decoded(self._pages(name, fixed, start, key=key))

    def _decoded(self, rows: Iterator[tuple[Any, ...]]) -> Iterator[StoredResult]:
        for row in rows:
            try:
                yield stored.result(row)
            except ValueError as error:
                raise damaged(
                    self.path, f"the result of row {row[1]} cannot be read: {type(error).__name__}"
                ) from error
