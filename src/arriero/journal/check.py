"""Checks that a journal keeps its promises: one end a row and round, books that agree, kinds of the list."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from arriero.core.outcome import FailureKind, Success
from arriero.errors import StorageError
from arriero.journal.reader import JournalReader
from arriero.journal.stored import StoredResult


class Check(NamedTuple):
    """What was looked at, whether it holds, what was counted, and the promise that it belongs to.

    ``ok`` None is worth knowing and not wrong.
    """

    promise: str
    name: str
    ok: bool | None
    text: str


class Plan(msgspec.Struct, frozen=True):
    """What the settings of a session say about its attempts.

    Attributes:
        instances: Configured ones; each an object with the instance in it.
        local: The embedded instance joined them.
        retries: Attempts after the first.
    """

    instances: tuple[dict[str, Any], ...] = ()
    local: bool = False
    retries: int = 4


def check(reader: JournalReader) -> list[Check]:
    """Read everything and compare; minutes for 10,000,000 rows, no writer should run.

    Damage that keeps a check from its end is that check's answer, never an exception.
    """
    kinds = msgspec.json.encode([kind.value for kind in FailureKind]).decode()
    return [
        _structure(reader),
        _counted(reader, "P1", "one end", "ends whose outcome is missing or another's", "check_dangling"),
        _counted(reader, "P1", "complete", "finished batches with rows that have not ended", "check_complete"),
        _counted(reader, "P2", "counters", "batches whose counters differ from their rows", "check_counts"),
        _counted(reader, "P4", "no stray outcome", "outcomes without an end of their own", "check_orphans"),
        _counted(reader, "P4", "rounds", "earlier ends that are not followed by a later round", "check_history"),
        *_planned(reader),
        _counted(reader, "P14", "kinds", "ends and attempts with a kind that is not in the list", "check_kinds", kinds),
        _counted(
            reader, "P15", "attempts", "attempts named twice, or that failed and gave an answer", "check_attempts"
        ),
        *_outcomes(reader),
    ]


def _structure(reader: JournalReader) -> Check:
    try:
        wrong = reader.quick_check()
    except StorageError as error:
        wrong = [error.message]
    return Check("P3", "structure", not wrong, wrong[0] if wrong else "SQLite finds nothing wrong with the file")


def _counted(reader: JournalReader, promise: str, name: str, what: str, statement: str, *bindings: object) -> Check:
    try:
        found = reader.number(statement, bindings)
    except StorageError as error:
        return Check(promise, name, ok=False, text=error.message)
    return Check(promise, name, found == 0, f"{abs(found):,} {what}")


def _planned(reader: JournalReader) -> list[Check]:
    """Nothing was asked oftener, or elsewhere, than the settings of the sessions say."""
    try:
        plans = [msgspec.json.decode(session.settings, type=Plan) for session in reader.sessions()]
    except (StorageError, msgspec.DecodeError) as error:
        text = error.message if isinstance(error, StorageError) else "the settings of a session cannot be read"
        return [Check("P6", "retries", ok=False, text=text), Check("P11", "instances", ok=False, text=text)]
    most = max((plan.retries for plan in plans), default=0) + 1
    names = {one["instance"]["name"] for plan in plans for one in plan.instances if "instance" in one}
    known = msgspec.json.encode(sorted(names)).decode()
    retries = _counted(
        reader, "P6", "retries", f"rows that were charged more than {most} attempts", "check_charged", most
    )
    if not names or any(plan.local for plan in plans):
        return [retries]
    elsewhere = "ends and attempts at instances that were not configured"
    return [retries, _counted(reader, "P11", "instances", elsewhere, "check_instances", known)]


def _outcomes(reader: JournalReader) -> list[Check]:
    """Every outcome can be read and is the kind of end that its row says; no duration is impossible."""
    read = odd = 0
    try:
        for batch in reader.batches():
            for results in (reader.results(batch), reader.history(batch)):
                for stored in results:
                    read += 1
                    odd += not _in_order(stored)
    except StorageError as error:
        text = error.message
        return [Check("P3", "outcomes", ok=False, text=text), Check("P13", "durations", ok=False, text=text)]
    return [
        Check("P3", "outcomes", ok=True, text=f"{read:,} outcomes read"),
        Check("P13", "durations", ok=not odd, text=f"{odd:,} outcomes that took less than no time"),
    ]


def _in_order(stored: StoredResult) -> bool:
    """Whether the first token of the deciding attempt came neither before its start nor after its end."""
    outcome = stored.outcome
    if not isinstance(outcome, Success):
        return outcome.latency_s >= 0
    return 0 <= (outcome.timing.ttft_s or 0.0) <= outcome.timing.latency_s
