"""Writer: the one thread that commits whatever has arrived as soon as it is free."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from arriero.core.batch import BatchStatus
from arriero.core.events import Notice
from arriero.core.request import Result
from arriero.errors import StorageError
from arriero.journal import place
from arriero.journal.commit import GROUP_RESULTS, Changes, Commit
from arriero.journal.faults import storage_error

QUEUE_RECORDS = 2000
"""Results and notices that may wait; from here on ``room`` is false and nothing new is started (P7)."""


class Writer:
    """A queue and the thread that empties it; everything it is given before ``close`` is committed or refused.

    Args:
        path: The journal.
        connection: Open for writing; from ``start`` on only the thread uses it.
        commit: Makes a group durable.
        committed: Told, in the thread, which results are durable now and how many were dropped (P4).
        stopped: Told, in the thread, that nothing is kept any more and why.
    """

    def __init__(
        self,
        path: Path,
        connection: apsw.Connection,
        commit: Commit,
        *,
        committed: Callable[[Sequence[Result], int], None],
        stopped: Callable[[StorageError], None],
    ) -> None:
        self.failed: StorageError | None = None
        self._path = path
        self._wal = place.side_file(path, "-wal")
        self._opened = (place.identity(path), place.identity(self._wal))
        self._connection = connection
        self._commit = commit
        self._committed = committed
        self._stopped = stopped
        self._results: list[Result] = []
        self._notices: list[Notice] = []
        self._changes = Changes()
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="arriero-journal", daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def put(self, results: Sequence[Result], notices: Sequence[Notice]) -> None:
        """Hand over a group; never blocks. After a failure it is dropped: nothing is told any more.

        Raises:
            RuntimeError: After ``close``.
        """
        with self._wake:
            if self._closing:
                raise RuntimeError("the journal is closed")
            if self.failed is None:
                self._results.extend(results)
                self._notices.extend(notices)
                self._wake.notify()

    def change(
        self,
        *,
        status: BatchStatus | None = None,
        total: int | None = None,
        input_bytes: int | None = None,
        snapshot: bytes | None = None,
    ) -> None:
        """Change the batch's own row with the next group; later values win."""
        with self._wake:
            if status is not None:
                self._changes.status = status
            if total is not None:
                self._changes.total, self._changes.input_bytes = total, input_bytes
            if snapshot is not None:
                self._changes.snapshot = snapshot
            self._wake.notify()

    def room(self) -> bool:
        """Whether more may be started."""
        return self.failed is None and len(self._results) + len(self._notices) < QUEUE_RECORDS

    def close(self) -> None:
        """Commit what is queued, then end the thread; the connection is free then."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        ended = False
        try:
            while (group := self._take()) is not None and self._write(*group):
                pass
            ended = True
        finally:
            if not ended:  # a bug below or in a callback: nobody may believe that results are still kept
                self._stop(StorageError(f"The writer of the journal {self._path} died."))

    def _take(self) -> tuple[list[Result], list[Notice], Changes] | None:
        """Wait for the next group; None when closed and empty.

        Notices go with or before the results they explain, so all that have arrived are taken.
        """
        with self._wake:
            while not (self._results or self._notices or self._changes != Changes()):
                if self._closing:
                    return None
                self._wake.wait()
            results, self._results = self._results[:GROUP_RESULTS], self._results[GROUP_RESULTS:]
            notices, self._notices = self._notices, []
            changes, self._changes = self._changes, Changes()
            if self._results:  # a status word comes after all that was recorded before it
                self._changes.status, changes.status = changes.status, None
            return results, notices, changes

    def _write(self, results: list[Result], notices: list[Notice], changes: Changes) -> bool:
        """Commit one group and tell of it; False if it was not kept."""
        try:
            kept = self._commit(results, notices, changes)
        except apsw.Error as error:
            self._stop(storage_error(error, self._path, self._connection.system_errno))
            return False
        if (place.identity(self._path), place.identity(self._wal)) != self._opened:
            self._stop(
                StorageError(
                    f"The journal {self._path} was deleted or replaced while it was written.",
                    hint="run the same command again; what was counted before is in the file that was taken away",
                )
            )
            return False
        if results:
            self._committed(kept, len(results) - len(kept))
        return True

    def _stop(self, error: StorageError) -> None:
        with self._wake:
            self.failed = error
            self._results, self._notices, self._changes = [], [], Changes()
        self._stopped(error)
