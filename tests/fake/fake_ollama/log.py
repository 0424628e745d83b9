"""The server's own record of what it was asked and how that ended; tests compare it with the client's journal."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Ending = Literal["", "completed", "failed", "disconnected", "stopped"]


@dataclass
class Entry:
    """One request as the server saw it; times are ``time.monotonic()``, one clock for all processes of a machine.

    ``how``: ``completed`` (a whole answer with status 200 was written), ``failed`` (an error or a fault was played),
    ``disconnected`` (the client hung up), ``stopped`` (this server went down); empty while it goes on.
    """

    server: str
    path: str
    attempt: str = ""
    model: str = ""
    purpose: str = ""
    prompt: str = ""
    in_flight: int = 0
    started: float = 0.0
    began: float | None = None
    ended: float | None = None
    status: int = 0
    how: Ending = ""
    fault: str = ""
    n_tokens: int = 0
    n_bytes: int = 0  # written, head included


class Log:
    """Entries in memory and, if a path is given, one JSON line for each that ended, written at once."""

    def __init__(self, path: Path | None = None) -> None:
        self.entries: list[Entry] = []
        self.path = path
        self._file = path.open("a", encoding="utf-8") if path else None

    def add(self, entry: Entry) -> None:
        entry.started = time.monotonic()
        self.entries.append(entry)

    def end(self, entry: Entry, how: Ending) -> None:
        """The first ending stays."""
        if entry.how:
            return
        entry.how = how
        entry.ended = time.monotonic()
        if self._file:
            self._file.write(json.dumps(asdict(entry)) + "\n")
            self._file.flush()

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def requests(self, how: Ending | None = None) -> list[Entry]:
        """Entries of generations for the batch, without probes, preloads and listings."""
        return [e for e in self.entries if e.purpose == "request" and (how is None or e.how == how)]


def read_log(path: Path) -> list[Entry]:
    """Entries of a log file; a torn last line is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [Entry(**json.loads(line)) for line in lines if line.endswith("\n")]
