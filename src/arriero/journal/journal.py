"""Journal: one batch's memory that survives a crash; what the run holds, writes to and closes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import apsw

from arriero.core.batch import TRANSITIONS, BatchStatus
from arriero.core.events import Notice
from arriero.core.request import BatchId, Result
from arriero.errors import StorageError
from arriero.journal import place
from arriero.journal.commit import Commit
from arriero.journal.connection import abandon, settle, writing
from arriero.journal.faults import translated
from arriero.journal.lock import Lock
from arriero.journal.opening import Opening, begin
from arriero.journal.reader import JournalReader
from arriero.journal.statements import statement
from arriero.journal.writer import Writer


class Journal:
    """One batch in one journal, owned by this process until ``close`` (P9).

    Made by ``Journal.open``. ``record``, ``room``, ``note_total`` and ``finish`` are for one thread (the loop's); the
    callbacks are called in the writer's.

    Attributes:
        path: The file, links in its folder resolved.
        batch: The batch.
        session: Name of this process run, 12 hex digits; goes into the header of every attempt (P15).
        carried_as: The batch's number in the scheduler that runs it.
        round: The round that requests started now belong to.
        done: Rows that have ended; grows after each commit.
        attempts_used: Attempts charged in this round to rows that have not ended, by position, as of the opening.
        total: Rows of the input as an earlier run counted them; None if none did.
        on_commit: Told which results are durable now, and how many second outcomes were dropped (P2, P4).
        on_failure: Told that the writer stopped and nothing is kept any more.
    """

    def __init__(self, path: Path, lock: Lock, connection: apsw.Connection, opening: Opening, *, made: bool) -> None:
        self.path = path
        self.batch = opening.batch.batch
        self.carried_as = self.batch
        self.session = opening.session
        self.round = opening.batch.round
        self.total = opening.batch.total
        self.done = opening.done
        self.attempts_used: Mapping[int, int] = opening.attempts_used
        self.on_commit: Callable[[Sequence[Result], int], None] = _ignore_commit
        self.on_failure: Callable[[StorageError], None] = _ignore_failure
        self._lock = lock
        self._connection = connection
        self._session_key = opening.session_key
        self._status = opening.batch.status
        self._writer = Writer(
            path,
            connection,
            Commit(connection, self.batch, opening.session_key, opening.done, opening.answer),
            committed=self._committed,
            stopped=self._stopped,
        )
        self._made = made
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        batch: BatchId = 1,
        binding: Mapping[str, str],
        command: str,
        settings: bytes,
        session: str = "",
    ) -> Journal:
        """Own a journal; it is made if there is none, and the batch is added if the file does not know it.

        Args:
            path: The file; its folder must exist, on a local disk.
            batch: Key of the batch.
            binding: What the batch may not change (P8): name to canonical value, long values hashed.
            command: The command line, clean of keys (P12).
            settings: JSON of the settings, clean of keys.
            session: Name of this process run where its attempts carry one already; else a new one.

        Raises:
            HeldError: If another process owns it.
            BindingError: If the batch is bound to something else.
            StorageError: If the place is unfit, or the file is damaged or of a newer schema.
        """
        resolved = place.resolve(Path(path))
        place.refuse_network(resolved)
        place.exists(resolved)  # a link there is refused before anything is made
        lock = Lock.take(resolved)
        made = not place.exists(resolved)
        journal: Journal | None = None
        try:
            with writing(resolved) as connection:
                opening = begin(resolved, connection, batch, binding, command, settings, session)
            journal = cls(resolved, lock, connection, opening, made=made)
        finally:
            if journal is None:
                lock.release()
        journal._writer.start()
        return journal

    @property
    def failed(self) -> StorageError | None:
        """Why the writer stopped; None while it works."""
        return self._writer.failed

    @property
    def state(self) -> BatchStatus:
        """The batch's status word; a stopped or killed batch is running again once it is opened."""
        return self._status

    def record(self, results: Sequence[Result], notices: Sequence[Notice]) -> None:
        """Queue what happened; never blocks. What is durable is said by ``on_commit``.

        A result for a batch that had finished sets it running again (rows were appended, or a round was opened).

        Raises:
            ValueError: If a result belongs to another batch.
            RuntimeError: After ``close``.
        """
        if results:
            if any(result.request.batch != self.carried_as for result in results):
                raise ValueError("a result of another batch")
            self._move(BatchStatus.RUNNING)
        self._writer.put(results, notices)

    def room(self) -> bool:
        """Whether more may be started: fewer than 2,000 records wait and the writer works."""
        return self._writer.room()

    def note_total(self, rows: int, *, input_bytes: int | None = None) -> None:
        """Keep how many rows the input has, with the next group."""
        self.total = rows
        self._writer.change(total=rows, input_bytes=input_bytes)

    def publish(self, snapshot: bytes) -> None:
        """Keep the numbers of the moment with the next group, for ``arriero status`` in another process.

        Args:
            snapshot: Their JSON; no prompt, answer or server's text in it (P12).
        """
        self._writer.change(snapshot=snapshot)

    def finish(self, status: BatchStatus) -> None:
        """Keep how the batch ended, after everything recorded before; durable once ``close`` returns.

        Raises:
            ValueError: If the status cannot follow the present one.
        """
        self._move(status)

    def hashes(self) -> Iterator[tuple[int, bytes, bool]]:
        """Position, row hash and whether it failed, of every row that has ended, in input order.

        They are read by a connection of its own, which is closed with the iterator.

        Rows that a retry reopened are not among them: they are sent again as they are now.

        Raises:
            StorageError: While it is iterated, if the file is damaged.
        """
        with JournalReader(self.path) as reader:
            yield from reader.hashes(self.batch)

    def free_bytes(self) -> int:
        """Bytes that can still be written on the journal's disk."""
        return place.free_bytes(self.path)

    def close(self, snapshot: Callable[[], bytes] | None = None) -> None:
        """Commit what is queued, leave only the journal file, let others own it; harmless a second time.

        Args:
            snapshot: Asked for the last numbers, as ``publish`` takes them, once everything is committed.

        Raises:
            StorageError: If the writer had stopped, or stopped now: what was not told was not kept.
        """
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        try:
            if self._writer.failed is not None:
                abandon(self._connection)
                raise self._writer.failed
            with translated(self.path):
                if snapshot is not None:
                    self._connection.execute(statement("set_snapshot"), (snapshot(), self.batch))
                self._connection.execute(statement("end_session"), (time.time(), self._session_key))
                settle(self._connection)
        finally:
            self._lock.release()

    @property
    def closed(self) -> bool:
        """Whether it was given back."""
        return self._closed

    def withdraw(self) -> bool:
        """Close, and let a session that sent nothing leave no trace: the settings of the one before count again.

        Harmless after ``close``.

        Returns:
            Whether the file is gone, because this session had made it and nothing was sent.

        Raises:
            StorageError: As ``close`` does.
        """
        if self._closed:
            return False
        self._writer.close()
        if self._writer.failed is not None or not self._sent_nothing():
            self.close()
            return False
        self._closed = True
        try:
            with translated(self.path):
                if not self._made:
                    for name in ("forget_events", "forget_attempts", "forget_session"):
                        self._connection.execute(statement(name), (self._session_key,))
                settle(self._connection)
            if self._made:
                self.path.unlink(missing_ok=True)
        finally:
            self._lock.release()
        return self._made

    def _sent_nothing(self) -> bool:
        """Whether this session sent no request, or kept no word of one."""
        with translated(self.path, self._connection):
            return bool(self._connection.execute(statement("sent_nothing"), (self._session_key,)).get)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _committed(self, kept: Sequence[Result], dropped: int) -> None:
        """Read ``on_commit`` at each commit, since it is set after the opening."""
        self.on_commit(kept, dropped)

    def _stopped(self, error: StorageError) -> None:
        self.on_failure(error)

    def _move(self, status: BatchStatus) -> None:
        if status is self._status:
            return
        if status not in TRANSITIONS[self._status]:
            raise ValueError(f"a {self._status} batch cannot become {status}")
        self._status = status
        self._writer.change(status=status)


def _ignore_commit(kept: Sequence[Result], dropped: int) -> None:
    """Nobody listens."""


def _ignore_failure(error: StorageError) -> None:
    """Nobody listens."""
