"""Follow: appends results to a jsonl file as they are committed (``--unordered``), to be read with ``tail -f``."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path

from arriero.core.request import Result
from arriero.errors import ArrieroError, BindingError
from arriero.inputs.row import BadRow, Row
from arriero.journal.stored import StoredResult
from arriero.outputs.join import check, join
from arriero.outputs.partial import LINES, PartialFile
from arriero.outputs.prompt import Prompt, prompt_of
from arriero.outputs.record import record_bytes


class Follow:
    """The unordered output of one batch: what is committed, each row once, in the order of the commits.

    The file is ``NAME.partial`` until the batch has ended. A resume writes it anew from the journal, so that no line is
    doubled or torn; its lines are those of the ordered ``.jsonl``. That is done beside the batch, at its first commit:
    500,000 lines take 10 s of CPU, and no request waits for them.

    The input is read a second time beside the batch, for what the request does not carry. Rows that were passed and
    have not ended are held: not more than the scheduler's window has.

    Args:
        path: The final name.
        rows: Opens the input anew, by position from 0.
        prompt: What was sent for a row, where a template made it.

    Attributes:
        failed: Why nothing more is written; the journal keeps everything all the same.
    """

    def __init__(self, path: Path, rows: Callable[[], Iterable[Row | BadRow]], *, prompt: Prompt = prompt_of) -> None:
        self.failed: ArrieroError | None = None
        self._file = PartialFile(path, LINES)
        self._rows = rows
        self._prompt = prompt
        self._ahead: Iterator[Row | BadRow] = iter(())
        self._passed: dict[int, Row | BadRow] = {}
        self._done: Container[int] = ()
        self._kept: Callable[[], Iterable[StoredResult]] | None = None

    def start(self, kept: Callable[[], Iterable[StoredResult]] | None, done: Container[int]) -> None:
        """Make the file; call it before the batch sends.

        Args:
            kept: Reads all of the journal's results, by position; called once, at the first commit or at the end. None if
                there are none yet.
            done: Positions among them; those rows are not held.

        Raises:
            OutputError: If something is in the way.
            StorageError: If the disk is full or fails.
        """
        self._file.open()
        self._kept = kept
        self._ahead = iter(self._rows())
        self._done = done

    def _write_kept(self, kept: Callable[[], Iterable[StoredResult]]) -> None:
        """Write everything that the journal holds now; nothing is committed meanwhile."""
        self._kept = None
        for row, stored in join(self._rows(), kept()):
            self._append(row, stored)
        self._file.flush()

    def committed(self, results: Sequence[Result]) -> None:
        """Append one group that is durable in the journal; never raises: ``failed`` tells what went wrong.

        Whoever commits calls it, so that the first time nothing but this group has come to what the journal held.
        """
        if self.failed is not None:
            return
        try:
            if self._kept is not None:
                self._write_kept(self._kept)
                return
            group = {result.request.position for result in results}
            for result in results:
                stored = StoredResult.of(result)
                row = self._row(stored.position, group)
                check(row, stored)
                self._append(row, stored)
            self._file.flush()
        except ArrieroError as error:  # told once at the end: the batch need not stop for a copy of its journal
            self.failed = error
            self._file.close()

    def finish(self, *, complete: bool) -> Path:
        """End the file, and give it its name if the batch has ended.

        Returns:
            Where it lies now.

        Raises:
            ArrieroError: What ``failed`` holds.
            StorageError: If the disk is full or fails.
        """
        if self.failed is not None:
            raise self.failed
        if self._kept is not None:
            self._write_kept(self._kept)
        return self._file.publish() if complete else self._file.end()

    def _append(self, row: Row | BadRow, stored: StoredResult) -> None:
        self._file.append(record_bytes(row, stored, self._prompt(row)))

    def _row(self, position: int, group: Container[int]) -> Row | BadRow:
        """The row of a position that was not asked for before; those of the same group are asked for next."""
        found = self._passed.pop(position, None)
        while found is None:
            row = next(self._ahead, None)
            if row is None or row.position > position:
                raise BindingError(f"the input has no row {position + 1:,} any more, but it was answered")
            if row.position == position:
                found = row
            elif row.position in group or row.position not in self._done:
                self._passed[row.position] = row
        return found
