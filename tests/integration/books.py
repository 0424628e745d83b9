"""What the servers' log and the journal say of one another, without a clock."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from arriero.client import verify


def attempt_number(mark: str) -> int:
    """Which attempt of its process a header names: they count up from 1 in the order in which they start."""
    return int(mark.partition("-")[2])


def assert_no_hole(completed: Iterable[str], kept: Iterable[str], at_once: int) -> None:
    """P3, without a clock: when an attempt starts, at most ``at_once - 1`` others are in flight, all else was recorded.

    The journal commits in the order in which it is handed results. So if an attempt's result is kept, of the answers
    to attempts that started before it at most ``at_once - 1`` are not.
    """
    last: dict[str, int] = {}
    for mark in kept:
        session = mark.partition("-")[0]
        last[session] = max(last.get(session, 0), attempt_number(mark))
    left = set(completed) - set(kept)
    for session, number in last.items():
        holes = [mark for mark in left if mark.startswith(f"{session}-") and attempt_number(mark) < number]
        assert len(holes) < at_once, (
            f"{session}-{number} was kept, and these before it were answered and are not: {holes}"
        )


def assert_promises(folder: Path, output: str) -> None:
    """What ``arriero verify`` checks; unlike it, from any thread."""
    checked = verify(str(folder / output), None)
    assert checked.ok, checked.lines()
