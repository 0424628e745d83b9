"""StreamJournal: keeps the results of one stream, so that the same items are answered from it the next time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from msgspec import structs

from arriero.client.batch import BATCH
from arriero.config.broker import without_password
from arriero.config.settings import Settings
from arriero.core.batch import BatchStatus
from arriero.core.events import AttemptFailed, AttemptRefunded, Notice
from arriero.core.request import BatchId, Result
from arriero.errors import BindingError, StorageError
from arriero.inputs.binding import binding
from arriero.inputs.row import BadRow, Row
from arriero.journal.journal import Journal
from arriero.journal.reader import JournalReader
from arriero.journal.stored import StoredResult


class StreamJournal:
    """The journal of one stream, owned while the stream is read.

    Attributes:
        round: The round that requests started now belong to.
    """

    def __init__(self, journal: Journal, reader: JournalReader, batch: BatchId) -> None:
        self.round = journal.round
        self._journal = journal
        self._reader = reader
        self._batch = batch
        self._stored = reader.results(BATCH)
        self._next = next(self._stored, None)

    @classmethod
    def open(
        cls,
        path: str | Path,
        settings: Settings,
        session: str,
        batch: BatchId,
        *,
        kept: Callable[[Sequence[Result]], None],
        changed: Callable[[], None],
    ) -> StreamJournal:
        """Own the journal; it is made if there is none.

        Args:
            path: The file.
            settings: Checked settings, the model resolved; what they bind must not change.
            session: Name of the attempts' session, as their headers say it.
            batch: The stream's batch in the scheduler.
            kept: Called in the running loop with results once they are durable.
            changed: Called there when the journal can keep nothing any more.

        Raises:
            HeldError: If another process, or another stream, owns it.
            BindingError: If it is of other settings.
            StorageError: If the place is unfit, or the file is damaged.
        """
        loop = asyncio.get_running_loop()
        with ExitStack() as unless_opened:
            journal = unless_opened.enter_context(
                Journal.open(
                    path,
                    batch=BATCH,
                    binding=binding(settings),
                    command="arriero.stream",
                    settings=msgspec.json.encode(structs.replace(settings, broker=without_password(settings.broker))),
                    session=session,
                )
            )
            journal.carried_as = batch
            journal.on_commit = lambda results, _: _call(loop, lambda: kept(results))
            journal.on_failure = lambda _: _call(loop, changed)
            stream_journal = cls(journal, unless_opened.enter_context(JournalReader(journal.path)), batch)
            unless_opened.pop_all()
        return stream_journal

    @property
    def failed(self) -> StorageError | None:
        """Why nothing is kept any more; None while it works."""
        return self._journal.failed

    def attempts_used(self, position: int) -> int:
        """Attempts charged to a row before that has not ended."""
        return self._journal.attempts_used.get(position, 0)

    def recall(self, row: Row | BadRow) -> StoredResult | None:
        """The result that is kept for a row; asked in the order of rows.

        Raises:
            BindingError: If the row is not the one that was answered.
        """
        stored = self._next
        if stored is None or stored.position != row.position:
            return None
        self._next = next(self._stored, None)
        if stored.row_hash != row.hash:
            raise BindingError(
                f"item {row.position + 1} is not what {self._journal.path} was begun with",
                hint="give the same items (more at the end are fine), or another journal",
            )
        return stored

    def record(self, results: Sequence[Result], notices: Sequence[Notice]) -> None:
        """Keep what happened to this stream's requests."""
        mine = [notice for notice in notices if self._concerns(notice)]
        if results or mine:
            self._journal.record(results, mine)

    def room(self) -> bool:
        """Whether it keeps up; a journal that has failed holds nothing back, its stream ends."""
        return self._journal.failed is not None or self._journal.room()

    def close(self, total: int | None) -> None:
        """Commit what is queued and let others own it.

        Args:
            total: Items in all if every one is answered, else None.
        """
        try:
            if self._journal.failed is None:
                if total is not None:
                    self._journal.note_total(total)
                    self._journal.finish(BatchStatus.FINISHED)
                elif self._journal.state is BatchStatus.RUNNING:
                    self._journal.finish(BatchStatus.STOPPED)
        finally:
            self._reader.close()
            self._journal.close()

    def _concerns(self, notice: Notice) -> bool:
        if not isinstance(notice, AttemptFailed | AttemptRefunded):
            return False
        request = notice.attempt.request
        return request is not None and request.batch == self._batch


def _call(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    """From the journal's thread into the loop; one that is closed needs to hear nothing."""
    try:
        loop.call_soon_threadsafe(work)
    except RuntimeError:
        return
