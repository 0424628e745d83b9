"""PartialFile: records written to NAME.partial, never torn, then fsynced and renamed."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

from arriero.errors import OutputError, StorageError

BUFFER_BYTES = 1 << 20
"""One write a megabyte: the cost of the system call is then below 1 ns a byte."""


class Frame(NamedTuple):
    """Bytes around records.

    Attributes:
        opening: Before the first.
        between: Before each further one.
        after: After each; it belongs to the record.
        closing: After the last.
        empty: Instead of all of them when there is no record.
    """

    opening: bytes = b""
    between: bytes = b""
    after: bytes = b""
    closing: bytes = b""
    empty: bytes = b""

    def around(self, record: bytes, *, first: bool) -> bytes:
        """A record with what stands beside it."""
        return b"".join((self.opening if first else self.between, record, self.after))


ARRAY = Frame(opening=b"[\n  ", between=b",\n  ", closing=b"\n]\n", empty=b"[]\n")
"""A JSON array, a record an element."""

LINES = Frame(after=b"\n")
"""A record a line."""


def partial_path(path: Path) -> Path:
    """Where a file is written before it is whole: ``NAME.partial`` beside it."""
    return path.with_name(path.name + ".partial")


class PartialFile:
    """Appends records; what is on disk ends with a whole record whenever a write fails.

    Args:
        path: The final name.
        frame: What stands around the records.

    Attributes:
        path: The final name.
        partial: Where it is written until ``publish``.
    """

    def __init__(self, path: Path, frame: Frame) -> None:
        self.path = path
        self.partial = partial_path(path)
        self._frame = frame
        self._fd = -1
        self._buffer: list[bytes] = []  # a framed record each
        self._buffered_bytes = 0
        self._on_disk_bytes = 0
        self._records = 0

    def open(self) -> None:
        """Create the partial file anew, for its owner only (0600).

        Raises:
            OutputError: If a link or a folder has its name, or the folder cannot be written.
            StorageError: If the disk fails.
        """
        try:
            if _is_file(self.partial):
                self.partial.unlink()
            self._fd = os.open(self.partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except (PermissionError, FileNotFoundError, NotADirectoryError, FileExistsError) as error:
            raise OutputError(f"cannot write {self.partial}: {error.strerror}") from error
        except OSError as error:
            raise self._failed(error) from error

    def append(self, record: bytes) -> None:
        """Add one record; it reaches the disk when the buffer is full or flushed.

        Raises:
            StorageError: If the disk is full or fails; the file then ends with its last whole record.
        """
        framed = self._frame.around(record, first=not self._records)
        self._buffer.append(framed)
        self._buffered_bytes += len(framed)
        self._records += 1
        if self._buffered_bytes >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand the buffer to the system.

        Raises:
            StorageError: As ``append``.
        """
        records = self._buffer
        self._buffer, self._buffered_bytes = [], 0
        try:
            self._on_disk_bytes += _write(self._fd, b"".join(records))
        except _ShortWriteError as short:
            ends = itertools.accumulate(map(len, records))
            self._keep_whole(max((end for end in ends if end <= short.written), default=0))
            raise self._failed(short.error) from short.error

    def end(self) -> Path:
        """Close the frame and make the partial file durable; it stays under its own name.

        Returns:
            The partial file's path.

        Raises:
            StorageError: As ``append``.
        """
        if self._fd < 0:
            return self.partial
        self.flush()
        try:
            _write(self._fd, self._frame.closing if self._records else self._frame.empty)
            os.fsync(self._fd)
        except _ShortWriteError as short:
            self._keep_whole(0)
            raise self._failed(short.error) from short.error
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self.close()
        return self.partial

    def publish(self) -> Path:
        """End it, give it its final name, and make the name durable.

        Returns:
            The final path.

        Raises:
            StorageError: As ``append``.
        """
        self.end()
        try:
            self.partial.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._failed(error) from error
        return self.path

    def close(self) -> None:
        """Let go of the file as it is; harmless when closed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _keep_whole(self, more_bytes: int) -> None:
        """Cut what a failed write left behind the last whole record, and close the frame if there is room for it."""
        with contextlib.suppress(OSError):  # the first failure is the one to tell
            size = self._on_disk_bytes + more_bytes
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)
            closing = self._frame.closing if size else self._frame.empty
            if os.write(self._fd, closing) < len(closing):
                os.ftruncate(self._fd, size)
            os.fsync(self._fd)
        self.close()

    def _failed(self, error: OSError) -> StorageError:
        free = ""
        with contextlib.suppress(OSError):
            free = f" ({shutil.disk_usage(self.path.parent).free / 1e6:,.1f} MB free)"
        return StorageError(
            f"cannot write {self.partial}: {error.strerror or error}{free}",
            hint="every result is in the journal: make room, then run the same command again",
        )


class StreamFile:
    """The same for a stream such as standard output: nothing is renamed, nothing can be taken back."""

    def __init__(self, stream: BinaryIO, frame: Frame) -> None:
        self._stream = stream
        self._frame = frame
        self._records = 0

    def append(self, record: bytes) -> None:
        """Write one record.

        Raises:
            OSError: As the stream does; a reader that went away is no fault of the storage.
        """
        self._stream.write(self._frame.around(record, first=not self._records))
        self._records += 1

    def end(self) -> None:
        """Close the frame and flush.

        Raises:
            OSError: As ``append``.
        """
        self._stream.write(self._frame.closing if self._records else self._frame.empty)
        self._stream.flush()


class _ShortWriteError(Exception):
    """A write failed after some bytes were taken."""

    def __init__(self, written: int, error: OSError) -> None:
        self.written = written
        self.error = error
        super().__init__(written)


def _write(fd: int, data: bytes) -> int:
    view, written = memoryview(data), 0
    while written < len(data):
        try:
            written += os.write(fd, view[written:])
        except OSError as error:
            raise _ShortWriteError(written, error) from error
    return written


def _is_file(path: Path) -> bool:
    """Whether a plain file has this name; anything else that has it is in the way."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no plain file"
        raise OutputError(f"{path} is {kind}; the output is written there", hint=f"remove {path} or choose another -o")
    return True
