"""PatientStream: standard output that waits for its reader, but no longer than a signal lets it."""

from __future__ import annotations

import io
import os
import select
from collections.abc import Callable
from typing import BinaryIO, cast

LOOK_S = 0.5
"""How often a writer that waits looks whether it is to stop; a reader that reads takes something within microseconds."""

BUFFER_BYTES = 64 * 1024
"""What a pipe of Linux holds, pipe(7)."""


class UnreadError(Exception):
    """Nobody took what was to be written, and the writer was asked to stop."""


class PatientStream:
    """A stream to a descriptor; never blocks where a signal could not end it.

    Python goes on with a write that a signal interrupted (PEP 475), so a full pipe would hold the process for ever.

    Args:
        descriptor: An open file.
        stopped: Whether nothing more is to be waited for.
    """

    def __init__(self, descriptor: int, stopped: Callable[[], bool]) -> None:
        self._descriptor = descriptor
        self._stopped = stopped
        self._buffer = bytearray()
        self._look = select.poll()
        self._look.register(descriptor, select.POLLOUT)

    def write(self, data: bytes) -> int:
        """Add bytes; they are handed over when the buffer is full or flushed.

        Raises:
            UnreadError: If the stream is full, and it was asked to stop.
            OSError: As the file does; ``BrokenPipeError`` when the reader has enough.
        """
        self._buffer += data
        if len(self._buffer) >= BUFFER_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Hand everything over.

        Raises:
            UnreadError: As ``write``.
            OSError: As ``write``.
        """
        with memoryview(bytes(self._buffer)) as left:
            self._buffer.clear()
            written = 0
            while written < len(left):
                self._await_room()
                written += os.write(self._descriptor, left[written : written + select.PIPE_BUF])

    def _await_room(self) -> None:
        """Wait until ``select.PIPE_BUF`` bytes are taken without blocking, or until whoever reads has left."""
        while not self._look.poll(LOOK_S * 1000):
            if self._stopped():
                raise UnreadError


def patient(stream: BinaryIO, stopped: Callable[[], bool]) -> BinaryIO:
    """A stream that a signal ends, where this one is a file of the process; else the same stream."""
    if not hasattr(select, "poll"):
        return stream
    try:
        descriptor = stream.fileno()
    except (OSError, io.UnsupportedOperation):
        return stream
    stream.flush()
    return cast("BinaryIO", PatientStream(descriptor, stopped))
