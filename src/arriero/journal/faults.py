"""SQLite's errors in our words: damaged, full, unreadable, busy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from arriero.errors import StorageError
from arriero.journal.place import free_bytes

SPACE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""System errors that mean no byte more; SQLite reports only the first as SQLITE_FULL (``os_unix.c``, ``unixWrite``)."""


def output_of(journal: Path) -> str:
    """The output a journal belongs to by its name, for hints; else a placeholder."""
    if journal.name == "stdout.journal":
        return "-"
    return journal.name.removesuffix(".journal") if journal.name.endswith(".journal") else "OUTPUT"


def damaged(journal: Path, what: str) -> StorageError:
    """The error for a journal whose bytes are not what was written."""
    return StorageError(
        f"The journal {journal} is damaged: {what}.",
        hint=f"arriero results {output_of(journal)} --salvage reads what can be read; "
        "run with --force to move it aside and begin again",
    )


def full(journal: Path) -> StorageError:
    """The error for a disk, quota or file size limit that is used up."""
    try:
        left = f"{free_bytes(journal)} bytes are free on the disk"
    except OSError:
        left = "its free space cannot be told"
    return StorageError(
        f"The journal {journal} cannot grow: the disk, the quota or a file size limit is full; {left}.",
        hint="make room and run the same command again; what was counted is kept",
    )


def storage_error(error: apsw.Error, journal: Path, system_errno: int = 0) -> StorageError:
    """What an error of SQLite means for its user.

    Args:
        error: As apsw raised it.
        journal: The file.
        system_errno: ``Connection.system_errno`` after it; 0 if there was none.
    """
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.FormatError)):
        return damaged(journal, str(error))
    if isinstance(error, apsw.FullError) or (isinstance(error, apsw.IOError) and system_errno in SPACE_ERRORS):
        return full(journal)
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return StorageError(f"The journal {journal} is in use by another process.", hint="run the command again")
    if isinstance(error, apsw.IOError):
        cause = os.strerror(system_errno) if system_errno else str(error)
        return StorageError(
            f"The disk failed under the journal {journal}: {cause}.",
            hint="run the same command again once the disk is sound; what was counted is kept",
        )
    if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError)):
        denied = "written" if isinstance(error, apsw.ReadOnlyError) else "opened"
        return StorageError(
            f"The journal {journal} may not be {denied}.",
            hint=f"ls -l {journal} shows whose it is; --journal PATH names another place",
        )
    return StorageError(f"The journal {journal} cannot be used: {error}.")


@contextmanager
def translated(journal: Path, connection: apsw.Connection | None = None) -> Iterator[None]:
    """Raise ``StorageError`` for every error of SQLite inside, and for a text that is none any more."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise damaged(journal, "a text in it is not UTF-8") from error
    except apsw.Error as error:
        system_errno = connection.system_errno if connection is not None else 0
        raise storage_error(error, journal, system_errno) from error
