"""The real command line under a failing disk: run as a script, ``python hindered.py HOW WORDS`` runs ``arriero WORDS``.

HOW is JSON of ``Hindrance``. Nothing of the product knows of it: limits are the system's, a journal's sync fails in a VFS
of SQLite, an output's in ``os.fsync``. What failed and what was asked again is said at the end, behind ``SAID``.
"""

from __future__ import annotations

import atexit
import errno
import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SAID = "syncs: "
"""Begins the last line on standard error."""


@dataclass(frozen=True)
class Hindrance:
    """What goes wrong.

    Attributes:
        file_bytes: No file may grow beyond (EFBIG); 0: no limit.
        wal_bytes: The first sync of the journal's WAL once so much was written to it fails with EIO, and what it should
            have made durable is lost, as the page cache of Linux loses it. A later one works. 0: none fails.
        output: The first ``os.fsync`` of the file or folder of that name fails with EIO; ``""``: none.
        low_water: Whether the batch looks how much of the disk is free.
    """

    file_bytes: int = 0
    wal_bytes: int = 0
    output: str = ""
    low_water: bool = True


@dataclass
class Hindered:
    """How a command ended; ``after`` counts the syncs of the same file that were asked for after the one that failed."""

    code: int
    out: str
    err: str
    failed: int
    after: int


def hindered(folder: Path, env: dict[str, str], how: Hindrance, *words: str, timeout_s: float) -> Hindered:
    """A command under a failing disk, from its start to its end."""
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(asdict(how)), *words],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    err, _, said = done.stderr.rpartition(SAID)
    failed, after = map(int, said.split())
    return Hindered(done.returncode, done.stdout, err, failed, after)


class Fails:
    """One failure, and what came after it."""

    def __init__(self) -> None:
        self.failed = 0
        self.after = 0

    def now(self, due: bool) -> bool:
        """Whether the sync that is asked for now is the one that fails."""
        if self.failed:
            self.after += 1
            return False
        self.failed += due
        return due


def hinder(how: Hindrance, fails: Fails) -> None:
    """From now on the disk of this process fails."""
    if how.file_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (how.file_bytes, resource.RLIM_INFINITY))
    if how.output:
        os.fsync = output_sync(how.output, os.fsync, fails)
    if not how.low_water:
        from arriero.client import stop  # noqa: PLC0415 - only where it is wanted

        stop.DISK_LEAST_BYTES = 0


def output_sync(name: str, sync: Any, fails: Fails) -> Any:
    def failing(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink().name == name and fails.now(due=True):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(fd)

    return failing


def failing_disk(wal_bytes: int, fails: Fails) -> Any:
    """A VFS in place of SQLite's own; whoever calls keeps it."""
    import apsw  # noqa: PLC0415 - only the child process needs it

    class Disk(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("failing", "unix", makedefault=True)

        def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's name
            kind = Wal if flags[0] & apsw.SQLITE_OPEN_WAL else apsw.VFSFile
            return kind("unix", name, flags)

    class Wal(apsw.VFSFile):
        size = synced = 0

        def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
            super().xWrite(data, offset)
            self.size = max(self.size, offset + len(data))

        def xSync(self, flags: int) -> None:  # noqa: N802
            if fails.now(due=self.size > wal_bytes):
                self.xTruncate(self.synced)
                error = apsw.IOError("a sync failed")
                error.extendedresult = apsw.SQLITE_IOERR_FSYNC  # type: ignore[attr-defined]
                raise error
            super().xSync(flags)
            self.synced = self.size

    return Disk()


def main(how: Hindrance, words: list[str]) -> None:
    """Run the command; never returns."""
    from arriero.cli import main as arriero_main  # noqa: PLC0415 - only the child process needs it

    fails = Fails()
    hinder(how, fails)
    disk = failing_disk(how.wal_bytes, fails) if how.wal_bytes else None
    atexit.register(lambda: print(f"{SAID}{fails.failed} {fails.after}", file=sys.stderr, flush=True))  # noqa: T201
    sys.argv = ["arriero", *words]
    arriero_main()
    del disk


if __name__ == "__main__":
    main(Hindrance(**json.loads(sys.argv[1])), sys.argv[2:])
