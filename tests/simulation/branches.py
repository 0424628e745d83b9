"""Branches: which ways through the policies the worlds have taken."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coverage import Coverage

import arriero.core.verdict

CORE = Path(arriero.core.verdict.__file__).parent

FILES = (
    *sorted((CORE / "policies").glob("*.py")),
    *(CORE / f"{name}.py" for name in ("assignment", "delays", "dispatch", "endings", "outage", "queue", "upkeep")),
    *(CORE / f"{name}.py" for name in ("verdict", "waiting")),
)
"""Where what is decided stands."""

UNTAKEN = {
    # Beyond what a small world holds; unit tests of the same module take them.
    "lengths.py: if len(table) >= most: -> del table[next(iter(table))]": "4,096 kinds of rows",
    "verdict.py: if entry.forgiven >= FORGIVEN_MOST: -> return False": "ten ejections under one request, then a streak",
    "endings.py: if entry.crashes: -> self._waiting.push_suspect(entry)": "a suspect is called back from its cell",
    "waiting.py: if kept: -> self.suspects[unit] = kept": "suspects of two batches, of which one is cancelled",
    "points.py: if point.running < point.present: -> for point in reversed(self._points):": "a tie of first tokens",
    "overlap.py: if running is None or running.first is not None: -> return": "a first token is told twice, or too late",
    # So rare that the worlds of the default run need not meet them.
    'endings.py: if not run.why or why != "moved": -> for run in runs:': "an instance leaves after it was ejected",
    "upkeep.py: elif isinstance(outcome, Failure): -> self.eject(member, outcome, now)": "ejected while nothing waits",
    "points.py: if point.assumed is not None: -> continue": "streams and whole answers side by side",
    "upkeep.py: if step.unit is not None and member.in_flight >= self._fleet.limit(member, step.unit).limit(now): -> "
    "return  # P10; the same": "a gateway is full of one unit when the first request of another comes",
    "ladder.py: if sample.output_tokens is not None: -> if self.needed and busy:": "an OpenAI server that counts nothing",
    # Second lines of defence.
    'upkeep.py: if step.purpose in ("unload", "preload") and member.in_flight: -> '
    "return  # it drains first; ``freed`` comes back here": "only idle instances are given another unit",
    "upkeep.py: if unit is None or not isinstance(outcome, Success): -> return": "for the type checker alone",
}
"""Branches that the worlds of the default run need not take, each with its reason."""


class Branches:
    """Counts the branches of ``FILES`` while something runs.

    Attributes:
        watched: Whether they can be counted: somebody else's trace function (a debugger, another coverage) would be lost.
    """

    def __init__(self) -> None:
        self.watched = sys.gettrace() is None
        self._coverage = Coverage(
            data_file=None, branch=True, include=[str(file) for file in FILES], config_file=False, messages=False
        )

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what runs inside."""
        if not self.watched:
            yield
            return
        self._coverage.start()
        try:
            yield
        finally:
            self._coverage.stop()

    def missing(self) -> list[str]:
        """Each branch that was never taken, as ``verdict.py:54: if … -> where it would have gone``."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "branches.json"
            self._coverage.json_report(outfile=str(report))
            files = json.loads(report.read_text(encoding="utf-8"))["files"]
        found = []
        for path, told in sorted(files.items()):
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            for start, end in told["missing_branches"]:
                to = lines[end - 1].strip() if end > 0 else "out"
                found.append(f"{Path(path).name}:{start}: {lines[start - 1].strip()} -> {to}")
        return found


def place(branch: str) -> str:
    """A branch without its line number, which changes when something else does."""
    file, _, rest = branch.partition(":")
    return f"{file}: {rest.partition(': ')[2]}"
