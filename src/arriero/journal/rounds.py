"""retry(): failed rows move to the history and wait again, in a new round."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import apsw
import msgspec

from arriero.core.batch import BatchStatus
from arriero.core.outcome import FailureKind
from arriero.core.request import BatchId
from arriero.errors import BindingError, StorageError
from arriero.journal import place
from arriero.journal.connection import settle, writing
from arriero.journal.faults import damaged, translated
from arriero.journal.lock import Lock
from arriero.journal.statements import statement
from arriero.journal.stored import batch as stored_batch


def retry(path: Path | str, kinds: Collection[FailureKind] | None = None, *, batch: BatchId = 1) -> int:
    """Open a round for the requests that failed; the next run sends them, the batch is ``stopped`` until then.

    Args:
        path: The journal.
        kinds: Only requests that failed so; None: all that failed.
        batch: The batch.

    Returns:
        How many requests wait again; 0 leaves everything as it was.

    Raises:
        HeldError: If a process owns the journal.
        BindingError: If the journal has no such batch, or it was cancelled.
        StorageError: If there is no journal, or the disk or the file is bad.
    """
    resolved = place.resolve(Path(path))
    if not place.exists(resolved):
        raise StorageError(f"There is no journal {resolved}.", hint="arriero run makes one beside the output")
    lock = Lock.take(resolved)
    try:
        with writing(resolved) as connection:
            reopened = _reopen(connection, resolved, kinds, batch)
        with translated(resolved):
            settle(connection)
    finally:
        lock.release()
    return reopened


def _reopen(connection: apsw.Connection, path: Path, kinds: Collection[FailureKind] | None, batch: BatchId) -> int:
    wanted = sorted(FailureKind if kinds is None else kinds)
    kinds_json = msgspec.json.encode(wanted).decode()
    connection.execute("BEGIN IMMEDIATE")
    rows = connection.execute(statement("batch"), (batch,)).fetchall()
    if not rows:
        raise BindingError(f"The journal {path} has no batch {batch}.")
    try:
        status = stored_batch(rows[0]).status
    except ValueError as error:
        raise damaged(path, f"the row of batch {batch} cannot be read") from error
    if status is BatchStatus.CANCELLED:
        raise BindingError(f"Batch {batch} of the journal {path} was cancelled; its requests do not wait again.")
    connection.execute(statement("keep_history"), (batch, kinds_json))
    reopened = connection.changes()
    if reopened:
        connection.execute(statement("reopen"), (batch, kinds_json))
        connection.execute(statement("next_round"), (reopened, BatchStatus.STOPPED.value, batch))
    connection.execute("COMMIT")
    return reopened
