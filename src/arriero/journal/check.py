"""Checks that a journal keeps its promises: one end a row and round, books that agree, kinds of the list."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from arriero.core.outcome import FailureKind
from arriero.errors import StorageError
from arriero.journal.reader import JournalReader


class Check(NamedTuple):
    """One promise, whether it holds, and what was counted."""

    name: str
    ok: bool
    text: str


def check(reader: JournalReader) -> list[Check]:
    """Read everything and compare; minutes for 10,000,000 rows, no writer should run.

    Damage that keeps a check from its end is that check's answer, never an exception.
    """
    kinds = msgspec.json.encode([kind.value for kind in FailureKind]).decode()
    return [
        _structure(reader),
        _counted(reader, "one end", "ends whose outcome is missing or another's", "check_dangling"),
        _counted(reader, "no stray outcome", "outcomes without an end of their own", "check_orphans"),
        _counted(reader, "counters", "batches whose counters differ from their rows", "check_counts"),
        _counted(reader, "complete", "finished batches with rows that have not ended", "check_complete"),
        _counted(reader, "kinds", "ends and attempts with a kind that is not in the list", "check_kinds", kinds),
        _counted(reader, "rounds", "earlier ends that are not followed by a later round", "check_history"),
        _outcomes(reader),
    ]


def _structure(reader: JournalReader) -> Check:
    try:
        wrong = reader.quick_check()
    except StorageError as error:
        wrong = [error.message]
    return Check("structure", not wrong, wrong[0] if wrong else "SQLite finds nothing wrong with the file")


def _counted(reader: JournalReader, name: str, what: str, statement: str, *bindings: str) -> Check:
    try:
        found = reader.number(statement, bindings)
    except StorageError as error:
        return Check(name, ok=False, text=error.message)
    return Check(name, found == 0, f"{abs(found)} {what}")


def _outcomes(reader: JournalReader) -> Check:
    """Every outcome can be read and is the kind of end that its row says."""
    read = 0
    try:
        for batch in reader.batches():
            for results in (reader.results(batch), reader.history(batch)):
                for _ in results:
                    read += 1
    except StorageError as error:
        return Check("outcomes", ok=False, text=error.message)
    return Check("outcomes", ok=True, text=f"{read} outcomes read")
