"""Spool: standard input copied beside the journal while its rows are read, so that a resume has them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from arriero.config.settings import InputFormat
from arriero.errors import ArrieroError, InputError, StorageError
from arriero.inputs.lines import FixedExtent
from arriero.inputs.plain import open_anew
from arriero.inputs.source import FileSource

PIECE_BYTES = 64 * 1024


class GrowingExtent:
    """How much of the spool is there; its copier adds, readers wait.

    Attributes:
        error: Why there will be no more although the input has not ended.
    """

    def __init__(self) -> None:
        self.error: ArrieroError | None = None
        self._size_bytes = 0
        self._complete = False
        self._changed = threading.Condition()

    def beyond(self, offset: int) -> int:
        """Bytes there; waits while there are none after ``offset`` and more may come.

        Raises:
            InputError: If standard input could not be read to its end.
            StorageError: If the spool could not be written.
        """
        with self._changed:
            while self._size_bytes <= offset and not self._complete:
                self._changed.wait()
            if self._size_bytes <= offset and self.error is not None:
                raise self.error
            return max(self._size_bytes, offset)

    def add(self, size_bytes: int) -> None:
        """More was written."""
        with self._changed:
            self._size_bytes += size_bytes
            self._changed.notify_all()

    def end(self, error: ArrieroError | None = None) -> None:
        """No more will come."""
        with self._changed:
            self._complete = True
            self.error = self.error or error
            self._changed.notify_all()


class SpoolingSource(FileSource):
    """Rows of standard input as they arrive, read back from the spool.

    The copy is ``PATH.partial`` until standard input has ended, then it is synced and renamed to ``PATH``; where an
    older copy lies there, only once the rows are accepted, so that rows of another batch do not cost this one its input.
    Nobody but its owner can read it.
    """

    extent: GrowingExtent
    _unnamed = False  # the copy is whole, and still called .partial
    _accepted = False
    _discarded = False

    def start(self, stdin: int, first: bytes) -> None:
        """Begin to copy in a thread; ``first`` was read already."""
        self._renaming = threading.Lock()
        self._accepted = not Path(self.path).exists()
        threading.Thread(target=self._copy, args=(stdin, first), name="arriero-spool", daemon=True).start()

    def accept(self) -> None:
        """The rows are those of the batch: their copy takes the place of an older one.

        Raises:
            StorageError: If it cannot.
        """
        with self._renaming:
            self._accepted = True
            self._rename()

    def discard(self, *, whole: bool) -> None:
        """The rows are not kept: remove what was copied of them.

        Args:
            whole: Also a copy that has its name already: there is no batch that it belongs to.
        """
        with self._renaming:
            self._accepted = self._unnamed = False
            self._discarded = True
            Path(self.path + ".partial").unlink(missing_ok=True)
            if whole:
                Path(self.path).unlink(missing_ok=True)

    def release(self) -> None:
        """Wake whoever waits; they see an end. The copier stays in its read until the process ends."""
        self.extent.end()

    def _copy(self, stdin: int, piece: bytes) -> None:
        # Whatever ends this thread early must not look like the end of the input.
        error: ArrieroError | None = InputError("<stdin>: the copy of standard input ended by a defect of arriero")
        try:
            while piece:
                self._write(piece)
                piece = read_piece(stdin)
            self._finish()
            error = None
        except ArrieroError as caught:
            error = caught
        finally:
            self.extent.end(error)

    def _write(self, piece: bytes) -> None:
        try:
            view = memoryview(piece)
            while view:
                written = os.write(self.file, view)
                view = view[written:]
        except OSError as error:
            raise StorageError(f"{self.path}: standard input cannot be kept: {error.strerror}") from error
        self.extent.add(len(piece))

    def _finish(self) -> None:
        try:
            os.fsync(self.file)
        except OSError as error:
            raise StorageError(f"{self.path}: standard input cannot be kept: {error.strerror}") from error
        with self._renaming:
            self._unnamed = not self._discarded
            self._rename()

    def _rename(self) -> None:
        if not (self._unnamed and self._accepted):
            return
        try:
            Path(self.path + ".partial").replace(self.path)
        except OSError as error:
            raise StorageError(f"{self.path}: standard input cannot be kept: {error.strerror}") from error
        self._unnamed = False


def spool(stdin: int | None, path: str, input_format: InputFormat, *, templated: bool = False) -> FileSource:
    """Rows of standard input.

    Args:
        stdin: Its descriptor; None on ``arriero resume``, where nothing is given again.
        path: Where its copy lies, beside the journal.
        input_format: ``txt`` or ``jsonl``.
        templated: A template makes the prompts.

    Returns:
        What standard input brings, if it brings anything: the same rows as before are compared with the journal like
        those of a file, others are refused there. If it brings nothing (a terminal, ``/dev/null``, None), the copy of
        the run before.

    Raises:
        InputError: If standard input brings nothing and there is no whole copy.
        StorageError: If the copy cannot be made.

    Waits for the first byte of standard input, or its end.
    """
    first = b"" if stdin is None or os.isatty(stdin) else read_piece(stdin)
    if not first:
        return _copy_of_before(stdin, path, input_format, templated=templated)
    try:
        file = open_anew(path + ".partial", os.O_RDWR | os.O_APPEND)
    except OSError as error:
        raise StorageError(f"{path}.partial: standard input cannot be kept: {error.strerror}") from error
    source = SpoolingSource("<stdin>", input_format, file, GrowingExtent(), path=path, templated=templated)
    source.start(stdin if stdin is not None else 0, first)
    return source


def read_piece(stdin: int) -> bytes:
    """What standard input brings next; empty at its end.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        # The descriptor, not sys.stdin: a thread that waits inside a buffered reader stops Python from exiting.
        return os.read(stdin, PIECE_BYTES)
    except OSError as error:
        raise InputError(f"<stdin>: cannot be read: {error.strerror}") from error


def _copy_of_before(stdin: int | None, path: str, input_format: InputFormat, *, templated: bool) -> FileSource:
    if Path(path).exists():
        return FileSource.open(path, input_format, name="<stdin>", templated=templated)
    if stdin is None or os.isatty(stdin) or Path(path + ".partial").exists():
        raise InputError(
            "<stdin>: was not read to its end before, and brings nothing now",
            hint="Pipe the same rows in again; those that are finished are skipped.",
        )
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    return FileSource("<stdin>", input_format, nothing, FixedExtent(0), path=os.devnull)
