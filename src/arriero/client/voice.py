"""Voice: what a batch says on standard error: lines for a person, JSON objects for a program, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TextIO

from arriero.client.batch import BatchFiles
from arriero.config.settings import Display
from arriero.monitor.display import Started, display_shown, folded, said_line, started_line
from arriero.monitor.live import Live
from arriero.monitor.safe import safe_text
from arriero.monitor.snapshot import Snapshot
from arriero.monitor.words import plural

UNBROKEN = 1 << 30
"""Columns of what is no terminal: a pipe or a file gets each line whole."""


class Voice:
    """Says what ``--display`` lets it say; all talk of a batch goes through it.

    Args:
        stream: Standard error; None: nobody listens.
        display: ``--display``.
    """

    def __init__(self, stream: TextIO | None, display: Display) -> None:
        self._stream = stream if display != "none" else None
        self._as_json = display == "json"
        self._display: Display = display
        self._live: Live | None = None

    def say(self, line: str) -> None:
        """Say a line of talk."""
        self._write(said_line(line) if self._as_json else folded(line, self._columns()))

    def begin(self, files: BatchFiles) -> None:
        """Say what is to be done; a program is told the whole first."""
        scan, journal, name = files.scan, files.journal, safe_text(files.source.name)
        ended = len(journal.done)
        if self._as_json:
            started = Started(
                input=name,
                output=safe_text(files.settings.output),
                journal=safe_text(str(journal.path)),
                session=journal.session,
                total=scan.total,
                ended_before=ended,
            )
            self._write(started_line(started))
        count = plural(scan.total if scan.total is not None else scan.scanned, "row")
        if scan.total is None:
            count += " so far, still scanning"
        former = f" (was {safe_text(files.former_input)})" if files.former_input else ""
        parts = [f"{name}{former}", count]
        if ended:
            parts.append(f"{ended:,} ended before")
        if scan.appended:
            parts.append(f"{scan.appended:,} appended since")
        if scan.bad_rows:
            parts.append(f"{plural(scan.bad_rows, 'bad line')} will fail")
        self.say(f"{'input':<11}" + "   ".join(parts))
        for note in files.binder.notes:
            self.say(f"{'note':<11}{note}")

    def show(self, snapshot: Callable[[], Snapshot]) -> None:
        """Show the moment from now on, in a thread of its own."""
        if self._stream is None:
            return
        shown = display_shown(self._display, is_terminal=self._stream.isatty(), environ=os.environ)
        self._live = Live(snapshot, self._stream, shown)
        self._live.start()

    def stop(self) -> None:
        """Show nothing more; may be called again."""
        if self._live is not None:
            self._live.stop()

    def _columns(self) -> int:
        """Width of the terminal; where there is none, nothing is broken."""
        if self._stream is None:
            return UNBROKEN
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or UNBROKEN
        except (OSError, ValueError):
            return UNBROKEN

    def _write(self, line: str) -> None:
        if self._live is not None:
            self._live.say(line)
        elif self._stream is not None:
            try:
                print(line, file=self._stream, flush=True)
            except (OSError, ValueError):  # whoever listened has left: the batch goes on unheard
                self._stream = None
