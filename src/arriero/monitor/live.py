"""Live: shows the snapshot on standard error while a batch runs: a line that rewrites itself, or a log."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TextIO

from arriero.monitor.display import Shown, live_line, log_line, progress_line
from arriero.monitor.snapshot import Snapshot

FRAME_S = 0.5
"""Two frames a second: more cannot be read, and each costs a snapshot."""

LOG_S = 10.0
"""One log line in ten seconds; a change of state is told with the next frame."""

_CLEAR = "\r\x1b[K"


class Live:
    """Shows a batch from a thread of its own; every write of talk to the stream goes through it.

    Only ``shown="line"`` writes carriage returns and one escape, "clear to the end of the line"; the cursor is never
    hidden and no colour is used, so a process that is killed leaves a line, not a broken terminal.

    Args:
        snapshot: Asked for the moment, from this object's thread.
        stream: Standard error.
        shown: ``display_shown`` decides.
        columns: Asked for the terminal's width at each frame.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        stream: TextIO,
        shown: Shown,
        *,
        columns: Callable[[], int] | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._stream = stream
        self._shown: Shown = shown
        self._columns = columns or self._stream_columns
        self._lock = threading.RLock()  # a signal handler may speak while a frame is being written
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._line = ""
        self._state = ""
        self._quiet_s = LOG_S

    def start(self) -> None:
        """Begin to show; ``none`` shows nothing and starts no thread."""
        if self._shown != "none":
            self._thread = threading.Thread(target=self._run, name="arriero-live", daemon=True)
            self._thread.start()

    def say(self, text: str) -> None:
        """Print a line of talk above the live line; the text is already safe for a terminal."""
        with self._lock:
            self._write(f"{_CLEAR if self._line else ''}{text}\n{self._line}")

    def stop(self) -> None:
        """Stop and leave the terminal clean; may be called again, and from a signal handler."""
        self._over.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=2 * FRAME_S)
        with self._lock:
            if self._line:
                self._line = ""
                self._write(_CLEAR)
            self._shown = "none"

    def frame(self, waited_s: float) -> None:
        """Show the moment if it is time to; ``waited_s`` is how long ago the last frame was."""
        snapshot = self._snapshot()
        with self._lock:
            if self._shown == "line":
                self._line = live_line(snapshot, self._columns() - 1)  # the last column would wrap on some terminals
                self._write(_CLEAR + self._line)
            elif self._shown != "none" and self._due(snapshot.state, waited_s):
                self._write((progress_line if self._shown == "json" else log_line)(snapshot) + "\n")

    def _due(self, state: str, waited_s: float) -> bool:
        self._quiet_s += waited_s
        due = self._quiet_s >= LOG_S or state != self._state
        if due:
            self._quiet_s, self._state = 0.0, state
        return due

    def _run(self) -> None:
        self.frame(0.0)
        while not self._over.wait(FRAME_S):
            self.frame(FRAME_S)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone, or the stream closed: the batch goes on unseen
            self._shown, self._line = "none", ""

    def _stream_columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):  # no terminal behind it
            return 80
