"""Lock: one process owns a journal, and the system lets go when it dies."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path
from typing import NamedTuple

from arriero.errors import HeldError, StorageError
from arriero.journal.place import Identity, identity, side_file

TRIES = 4
TRY_AGAIN_S = 0.02
"""A reader that asks who holds the lock has it for some microseconds; 4 tries outlast that."""


class Holder(NamedTuple):
    """Who owns a journal."""

    pid: int
    host: str


class Lock:
    """An exclusive lock (``flock``) on a file beside the journal.

    Not on the journal itself: closing any descriptor of that file would drop the locks SQLite has on it (fcntl(2)).
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, journal: Path) -> Lock:
        """Own the journal until ``release`` or the end of the process.

        Raises:
            HeldError: If another process owns it; names it.
            StorageError: If the lock file cannot be made.
        """
        path = side_file(journal, ".lock")
        holder: Holder | None = None
        for left in reversed(range(TRIES)):
            descriptor = _open(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _read(descriptor)
                os.close(descriptor)
                if left:
                    time.sleep(TRY_AGAIN_S)
                continue
            found = os.fstat(descriptor)
            if identity(path) == Identity(found.st_dev, found.st_ino):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()} {os.uname().nodename}\n".encode(), 0)
                return cls(path, descriptor)
            os.close(descriptor)  # the owner before us removed it between our open and our lock
        who = f"process {holder.pid} on {holder.host}" if holder else "another process"
        raise HeldError(f"The journal {journal} is held by {who}.", hint="wait for it, or stop it with Ctrl-C there")

    def release(self) -> None:
        """Let go and remove the lock file; harmless a second time."""
        if self._descriptor < 0:
            return
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1


def holder(journal: Path) -> Holder | None:
    """Who owns a journal now; None if nobody does, or it cannot be told."""
    try:
        descriptor = os.open(side_file(journal, ".lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unfit(path, error.strerror or "unknown") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # what we write into it would go into another file
        os.close(descriptor)
        raise _unfit(path, "it has a second name" if stat.S_ISREG(found.st_mode) else "it is no plain file")
    return descriptor


def _unfit(path: Path, why: str) -> StorageError:
    return StorageError(
        f"The lock of the journal cannot be made: {path}: {why}.", hint="name another place with --journal PATH"
    )


def _read(descriptor: int) -> Holder | None:
    pid, _, host = os.pread(descriptor, 512, 0).decode("utf-8", "replace").strip().partition(" ")
    return Holder(int(pid), host) if pid.isdigit() else None
