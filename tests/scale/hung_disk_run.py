"""``virtual_run.py`` over a disk that hangs: from the HUNG_FROM-th sync on none returns until the loop has come to rest.

Usage: python hung_disk_run.py FIRST_FILE STALL_FILE WORDS_OF_ARRIERO…

STALL_FILE gets the requests sent so far at the moment of the hang, and those sent until nothing flew any more and the
loop only waited for the journal, or SENT_MOST were sent meanwhile. Then the disk goes on.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import apsw
from virtual_run import VirtualEngine, run

from arriero.core.events import Event

HUNG_FROM = 10
STILL = 3
"""Waits with nothing in flight in a row, each a second of the journal's silence, that show a loop at rest."""

SENT_MOST = 6000
"""More than may ever wait for the disk: whoever sends so much does not wait for it."""

MOST_HUNG_S = 40.0


class Stall:
    """The disk's hang and what the engine sees of it."""

    def __init__(self) -> None:
        self.syncs = 0
        self.still = 0
        self.sent_before = 0
        self.hung = threading.Event()
        self.over = threading.Event()


STALL = Stall()


class HungFile(apsw.VFSFile):
    """A file whose sync hangs while the disk does."""

    def xSync(self, flags: int) -> None:  # noqa: N802 - as SQLite calls it
        """Hang once, until the loop is at rest."""
        STALL.syncs += 1
        if STALL.syncs >= HUNG_FROM and not STALL.over.is_set():
            STALL.hung.set()
            STALL.over.wait(MOST_HUNG_S)
            STALL.over.set()
        super().xSync(flags)


class HungDisk(apsw.VFS):
    """SQLite's own files, but for their sync."""

    def __init__(self, base: str) -> None:
        self.base = base
        super().__init__("hung", base, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> HungFile:  # noqa: N802 - as SQLite calls it
        """Open as the base does."""
        return HungFile(self.base, name, flags)


class PatientEngine(VirtualEngine):
    """Tells the disk to go on once nothing flies and the loop has waited in vain."""

    stall_file: Path

    async def wait(self, until: float) -> Sequence[Event]:
        if STALL.hung.is_set() and not STALL.over.is_set():
            STALL.sent_before = STALL.sent_before or self.sent
            STALL.still = 0 if self._flights else STALL.still + 1
            if STALL.still > STILL or self.sent - STALL.sent_before > SENT_MOST:
                self.stall_file.write_text(json.dumps({"before": STALL.sent_before, "after": self.sent}))
                DISKS.pop().unregister()  # what is opened from now on is opened as ever
                STALL.over.set()
        return await super().wait(until)


DISKS: list[HungDisk] = []

if __name__ == "__main__":
    PatientEngine.stall_file = Path(sys.argv[2])
    DISKS.append(HungDisk(apsw.vfs_names()[0]))
    sys.exit(run(PatientEngine, Path(sys.argv[1]), sys.argv[3:]))
