"""Salvage: the outcomes that can still be read from a damaged journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from arriero.errors import StorageError
from arriero.journal import place
from arriero.journal.done import POSITIONS, Done
from arriero.journal.faults import storage_error
from arriero.journal.outcome import either, unseal
from arriero.journal.statements import statement
from arriero.journal.stored import StoredResult

RANGE_ROWS = 256
UNREADABLE = (apsw.Error, UnicodeDecodeError)
"""What a damaged place may raise; the second where a text is not UTF-8 any more."""

SMALLEST_ROW_BYTES = 64
"""An outcome is longer; bounds the keys to look for when the log's end cannot be read."""


class Salvage:
    """Reads the log of outcomes alone, range by range, and steps over what is unreadable.

    Args:
        path: The damaged journal; it is not written to.

    Attributes:
        unreadable: Outcomes, or keys where one may have been, that could not be read so far.
        older: Outcomes of earlier rounds that were left out because a later one of the same row was read.
    """

    def __init__(self, path: Path | str) -> None:
        self.unreadable = 0
        self.older = 0
        self._path = Path(path)

    def results(self) -> Iterator[StoredResult]:
        """The last readable outcome of each row, newest first; ``row_hash`` is empty.

        Raises:
            StorageError: If the file cannot be opened at all or its first page, which holds the schema, is lost.
        """
        path = place.resolve(self._path)
        if not place.exists(path):
            raise StorageError(f"There is no journal {path}.")
        try:
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_NOFOLLOW)
            connection.execute("SELECT outcome FROM answer LIMIT 0")
        except apsw.Error as error:
            raise storage_error(error, path) from error
        try:
            yield from self._newest(connection, _last(connection, path))
        finally:
            connection.close()

    def _newest(self, connection: apsw.Connection, last: int) -> Iterator[StoredResult]:
        sessions = _sessions(connection)
        seen: dict[int, Done] = {}
        for high in range(last + 1, 0, -RANGE_ROWS):
            for row in self._rows(connection, max(1, high - RANGE_ROWS), high):
                found = _decode(row, sessions)
                if found is None:
                    self.unreadable += 1
                    continue
                done = seen.setdefault(found.batch, Done())
                if found.position in done:
                    self.older += 1
                    continue
                done.add(found.position, succeeded=found.succeeded)
                yield found

    def _rows(self, connection: apsw.Connection, low: int, high: int) -> Iterator[tuple[Any, ...]]:
        """Rows with ``low <= key < high``, newest first; a range that fails is halved until single keys fail."""
        ranges = [(low, high)]
        while ranges:
            low, high = ranges.pop()
            try:
                rows = connection.execute(statement("salvage"), (low, high)).fetchall()
            except UNREADABLE:
                if high - low == 1:
                    self.unreadable += 1
                else:
                    middle = (low + high) // 2
                    ranges += [(low, middle), (middle, high)]
                continue
            yield from rows


def _last(connection: apsw.Connection, path: Path) -> int:
    """The highest key there may be."""
    for sql in (statement("last_answer"), "SELECT max(answer) FROM finished"):
        try:
            return connection.execute(sql).get or 0
        except UNREADABLE:
            continue
    return path.stat().st_size // SMALLEST_ROW_BYTES


def _sessions(connection: apsw.Connection) -> dict[int, str]:
    try:
        return dict(connection.execute(statement("session_names")))
    except UNREADABLE:
        return {}


def _decode(row: tuple[Any, ...], sessions: dict[int, str]) -> StoredResult | None:
    """A row as a result; None if its values are not what a writer writes."""
    _, *key, sealed = row
    batch, position, round_, id_, session, instance, model, attempts, attempt, ended_at = key
    try:
        decoded = either(unseal(tuple(key), sealed))
        if not 0 <= position < POSITIONS:
            return None
    except (ValueError, TypeError):
        return None
    return StoredResult(
        batch=batch,
        position=position,
        round=round_,
        id=id_,
        row_hash=b"",
        outcome=decoded,
        model=model,
        instance=instance,
        attempts=attempts,
        attempt=attempt,
        session=sessions.get(session, ""),
        ended_at=ended_at,
    )
