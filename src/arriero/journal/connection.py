"""Connections to a journal: opened, recognised and set up, for writing or for reading."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import apsw

from arriero.errors import ArrieroError, BindingError, StorageError
from arriero.journal import place
from arriero.journal.faults import damaged, translated
from arriero.journal.lock import Lock, holder
from arriero.journal.statements import schema, statement

APPLICATION_ID = 0x41525249
"""``ARRI``; bytes 68 to 71 of the file (SQLite file format, section 1.3)."""

SCHEMA_VERSION = 2
"""``user_version`` of the file. The tables of version 1 are the same, but their outcomes have no seal; they are read as
they are, and whoever writes on makes the file one of version 2, so that an older arriero refuses it."""

BUSY_TIMEOUT_MS = 5000
"""A reader holds a lock for one page of rows, milliseconds; only a checkpoint or a change of mode waits for it."""

MADE_LOOK_S, MADE_LOOKS = 0.05, 60
"""A journal in the making is looked at for three seconds; it takes milliseconds."""

CHECKED_WHOLE_BYTES = 64 * 1024 * 1024
"""Up to here a whole ``quick_check`` is made at every opening: below 0.3 s (``bench/journal_rate.py``)."""


@contextmanager
def writing(path: Path) -> Iterator[apsw.Connection]:
    """The one write connection, left open for the caller, who holds the lock; closed if something is raised inside.

    A journal at rest is in rollback mode, so that readers of it need and leave no side file; it is in WAL mode while
    it is written.

    Args:
        path: As ``place.resolve`` gave it; the file is made if there is none.

    Raises:
        StorageError: If it cannot be made, is no journal, is damaged or is of a newer schema.
    """
    if place.exists(path):
        place.refuse_planted(path)
    else:
        place.create(path)
    killed = place.side_file(path, "-wal").exists()
    with translated(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
    with ExitStack() as unless_opened:
        unless_opened.callback(abandon, connection)
        with translated(path, connection):
            _prepare(connection, path, killed=killed)
            try:
                yield connection
            except BindingError:
                unless_opened.pop_all()
                settle(connection)  # the file is sound; leave it as it was found
                raise
        unless_opened.pop_all()


@contextmanager
def reading(path: Path) -> Iterator[apsw.Connection]:
    """A read-only connection, left open for the caller; works while a writer runs.

    One that is being made is waited for.

    Raises:
        StorageError: If there is no journal, nothing was ever kept in it, it is damaged or is of a newer schema.
    """
    if not place.exists(path):
        raise StorageError(f"There is no journal {path}.", hint="arriero run makes one beside the output")
    with ExitStack() as unless_opened:
        connection = _made(path)
        unless_opened.callback(connection.close)
        with translated(path, connection):
            yield connection
        unless_opened.pop_all()


def _made(path: Path) -> apsw.Connection:
    """A connection to a journal that holds a batch; a process that is about to make one is given a while."""
    for _ in range(MADE_LOOKS):
        connection = _readable(path)
        if connection is not None:
            return connection
        if holder(path) is None:
            _undo(path)
            break
        time.sleep(MADE_LOOK_S)
    else:
        raise StorageError(f"The journal {path} is still being made.", hint="look again in a moment")
    # Its maker may have finished, and ended, between the two looks.
    connection = _readable(path)
    if connection is None and _half_done(path):
        raise StorageError(
            f"The process that wrote the journal {path} was killed in the middle of a change.",
            hint="run the same command again: it undoes the change; nothing that was counted is lost",
        )
    if connection is None:
        raise StorageError(
            f"The journal {path} holds nothing: the process that began it was killed at once.",
            hint="run the same command again",
        )
    return connection


def _half_done(path: Path) -> bool:
    """Whether SQLite's rollback journal has something to undo."""
    try:
        return place.side_file(path, "-journal").stat().st_size > 0
    except OSError:
        return False


def _undo(path: Path) -> None:
    """Let SQLite undo a change in which its writer was killed; a connection that only reads cannot.

    Such a change is the one between rollback mode and WAL mode, at either end of a session.
    """
    if not _half_done(path):
        return
    with suppress(ArrieroError):  # held by another by now, or a folder that is not ours to write
        lock = Lock.take(path)
        try:
            rejoin(path)
        finally:
            lock.release()


def _readable(path: Path) -> apsw.Connection | None:
    """A connection to what can be read; None while there is no batch in it."""
    with translated(path), ExitStack() as unless_opened:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_NOFOLLOW)
        unless_opened.callback(connection.close)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        try:
            if _recognise(connection, path) or not connection.execute(statement("batches")).fetchall():
                return None
        except apsw.ReadOnlyError:  # a crash left a change half done, and only a writer can undo that
            return None
        except apsw.CorruptError:  # what can be read is read, and the damage is said where it is met
            pass
        unless_opened.pop_all()
        return connection


def settle(connection: apsw.Connection) -> None:
    """Put everything into the journal file itself and close, so that no side file is left.

    With a reader at work the file stays in WAL mode; the next writer's end tries again.

    Raises:
        apsw.Error: If the disk fails.
    """
    connection.set_busy_timeout(0)
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        connection.pragma("journal_mode", "DELETE")
    except apsw.BusyError:
        pass  # a reader is inside; nothing is lost, the WAL is read with the file
    finally:
        connection.close()


def rejoin(path: Path) -> None:
    """Put what a killed process left in side files into the journal itself, so that its file alone is all of it.

    For who holds the lock. What is damaged, or read by another at this moment, may keep side files.
    """
    if not any(place.side_file(path, suffix).exists() for suffix in place.SIDE_FILES):
        return
    with suppress(apsw.Error):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
        with ExitStack() as unless_read:
            unless_read.callback(abandon, connection)  # an ordinary close would remove the WAL of what it cannot read
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # the look undoes what is half done
            unless_read.pop_all()
        settle(connection)
    with suppress(OSError):  # one that was begun and never written: SQLite has no use for it, and lets it lie
        if not (begun := place.side_file(path, "-journal")).stat().st_size:
            begun.unlink()


def abandon(connection: apsw.Connection) -> None:
    """Close without touching the disk again: after a failed sync the file must be read anew before it is written."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.close()


def _prepare(connection: apsw.Connection, path: Path, *, killed: bool) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    new = _recognise(connection, path)
    connection.pragma("synchronous", "FULL")
    if connection.pragma("journal_mode", "WAL") != "wal":
        raise StorageError(f"The disk of the journal {path} has no shared memory for SQLite's WAL.")
    if new:
        _create(connection)
    else:
        _check(connection, path, killed=killed)
        if connection.pragma("user_version") != SCHEMA_VERSION:
            connection.pragma("user_version", SCHEMA_VERSION)
    connection.execute(statement("set_meta"), ("version", version("arriero")))


def _recognise(connection: apsw.Connection, path: Path) -> bool:
    """Whether the file is empty; otherwise it is a journal that this version can read."""
    application, version = connection.pragma("application_id"), connection.pragma("user_version")
    if application == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").get == 0:
        return True
    if application != APPLICATION_ID:
        raise StorageError(f"{path} is not a journal of arriero.", hint="name another place with --journal PATH")
    if version > SCHEMA_VERSION:
        needed = connection.execute(statement("meta"), ("version",)).get or "a newer version"
        raise StorageError(
            f"The journal {path} has schema {version}, and this arriero reads up to {SCHEMA_VERSION}: "
            f"it needs arriero {needed}.",
            hint=f"pip install 'arriero>={needed}'",
        )
    if version < 1:
        raise damaged(path, f"schema {version} was never in use")
    return False


def _create(connection: apsw.Connection) -> None:
    connection.execute(
        f"BEGIN IMMEDIATE; {schema()}; PRAGMA application_id = {APPLICATION_ID}; "
        f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
    )


def _check(connection: apsw.Connection, path: Path, *, killed: bool) -> None:
    """Look for damage; whole files up to 64 MiB, and what a resume stands on in larger ones.

    The cost of a whole check grows with the answers (1.5 s a GB), and what it would find in an answer is found, and
    said, when that answer is read. A process that was killed is no reason for damage by itself (the WAL's checksums
    drop a torn tail), but a power cut looks the same, so then ``finished`` and ``attempt`` are checked at any size.
    """
    if path.stat().st_size <= CHECKED_WHOLE_BYTES:
        checks = ["PRAGMA quick_check(1)"]
    elif killed:
        checks = ["PRAGMA quick_check('finished')", "PRAGMA quick_check('attempt')"]
    else:
        checks = []
    for check in checks:
        verdict = connection.execute(check).get
        if verdict != "ok":
            first = verdict if isinstance(verdict, str) else str(verdict[0])
            raise damaged(path, first.splitlines()[-1])
    if path.stat().st_size <= CHECKED_WHOLE_BYTES and (wrong := connection.execute(statement("check_dangling")).get):
        raise damaged(path, f"{wrong} of its rows belong to the outcomes of others")  # whoever goes on would skip them
