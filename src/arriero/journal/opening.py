"""Opening: what a batch's journal knows when a process begins to write to it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import apsw

from arriero.core.batch import BatchStatus
from arriero.core.request import BatchId
from arriero.journal import stored
from arriero.journal.binding import compare
from arriero.journal.done import POSITIONS, Done
from arriero.journal.faults import damaged
from arriero.journal.statements import statement
from arriero.journal.stored import StoredBatch


class Opening(NamedTuple):
    """The state of one batch at the beginning of a session.

    Attributes:
        batch: The batch's own row; a stopped one is running again.
        session: Name of the session, 12 hex digits.
        session_key: Key of its row.
        done: Rows that have ended.
        attempts_used: Attempts charged in this round to rows that have not ended, by position.
        answer: Highest key in the log of outcomes.
    """

    batch: StoredBatch
    session: str
    session_key: int
    done: Done
    attempts_used: dict[int, int]
    answer: int


def begin(
    path: Path,
    connection: apsw.Connection,
    batch: BatchId,
    binding: Mapping[str, str],
    command: str,
    settings: bytes,
    session: str = "",
) -> Opening:
    """Check the binding, add a session, and read what has ended, in one transaction.

    A session that is named goes on if the journal knows it; else it has a name by chance.

    Raises:
        BindingError: If the batch is bound to something else; nothing is changed then.
        StorageError: If the counters do not fit the rows.
        apsw.Error: If the file cannot be read or written.
    """
    execute = connection.execute
    execute("BEGIN IMMEDIATE")
    if not execute(statement("batch"), (batch,)).fetchall():
        execute(statement("add_batch"), (batch, BatchStatus.RUNNING.value))
        _bind(connection, batch, binding)
    elif execute(statement("untouched"), (batch,)).get:
        # A run that sent nothing, say for a mistyped model, binds nobody.
        execute(statement("unbind"), (batch,))
        _bind(connection, batch, binding)
    else:
        compare(path, dict(execute(statement("binding"), (batch,))), binding)
    execute(statement("resume"), (BatchStatus.RUNNING.value, batch, BatchStatus.STOPPED.value))
    row = _row(path, connection, batch)
    session = session or secrets.token_hex(6)
    session_key = execute(statement("session_key"), (session,)).get
    if session_key is None:
        process = (os.getpid(), os.uname().nodename, version("arriero"))
        execute(statement("add_session"), (session, batch, *process, command, settings, time.time(), time.monotonic()))
        session_key = connection.last_insert_rowid()
    opening = Opening(
        batch=row,
        session=session,
        session_key=session_key,
        done=_done(path, connection, row),
        attempts_used=dict(execute(statement("attempts_used"), (batch, row.round))),
        answer=execute(statement("last_answer")).get,
    )
    execute("COMMIT")
    return opening


def _bind(connection: apsw.Connection, batch: BatchId, binding: Mapping[str, str]) -> None:
    for name, value in binding.items():
        connection.execute(statement("bind"), (batch, name, value))


def _row(path: Path, connection: apsw.Connection, batch: BatchId) -> StoredBatch:
    try:
        return stored.batch(next(connection.execute(statement("batch"), (batch,))))
    except ValueError as error:
        raise damaged(path, f"the row of batch {batch} cannot be read") from error


def _done(path: Path, connection: apsw.Connection, row: StoredBatch) -> Done:
    rows = connection.execute(statement("last_position"), (row.batch,)).get + 1
    if rows > POSITIONS:
        raise damaged(path, f"a finished row has position {rows - 1}")
    done = Done.of(rows, connection.execute(statement("done"), (row.batch,)))
    if (done.succeeded, done.failed) != (row.succeeded, row.failed):
        raise damaged(path, "its counters differ from its rows")
    return done
