"""Planted bugs: patches of the core that break a promise each; the worlds must find every one.

``python tests/simulation/planted.py NAME`` plants one in a copy of the package and says which seed finds it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent / "src" / "arriero"

WORLDS = 600
"""Worlds that have to do; the default suite runs more."""

HUNT = f"""
import sys
from checker import BrokenError
from worlds import live_seed
for seed in range({WORLDS}):
    try:
        live_seed(seed)
    except BrokenError as found:
        print(found)
        sys.exit(3)
"""

FOUND = 3


@dataclass(frozen=True)
class Bug:
    """One patch: what stands in the file now, once, and what stands there instead."""

    promise: str
    file: str
    right: str
    wrong: str
    says: str


BUGS = {
    "one too many on an instance": Bug(
        "P10", "fleet.py", "return most - member.in_flight", "return most + 1 - member.in_flight", "P10"
    ),
    "one too many over the fleet": Bug(
        "P10",
        "dispatch.py",
        "while total is None or self._fleet.in_flight < total",
        "while total is None or self._fleet.in_flight <= total",
        "requests in flight, -c is",
    ),
    "a cancelled batch forgets what is delayed": Bug(
        "P1",
        "endings.py",
        "self._waiting.clear(batch) + self.delays.clear(batch)",
        "self._waiting.clear(batch)",
        "",
    ),
    "a second end counts": Bug(
        "P4",
        "flight.py",
        "running = self._running.pop(attempt, None)",
        "running = self._running.get(attempt, None)",
        "",
    ),
    "closed places are open": Bug("P10", "fleet.py", " - member.health.closed(now)", "", "closed place"),
    "an ejected instance gets work": Bug(
        "P6",
        "member.py",
        "return self.phase is Phase.READY and not self.health.ejected",
        "return self.phase is Phase.READY",
        "",
    ),
    "work starts before the unit is loaded": Bug(
        "P10", "member.py", "return self.ready_for == unit", "return True", "does not hold its unit"
    ),
    "work starts after the drain": Bug(
        "P3",
        "scheduler.py",
        "not self._paused_by and not self._draining",
        "not self._paused_by",
        "after the drain",
    ),
    "a refund is kept to ourselves": Bug(
        "P6",
        "endings.py",
        "plan.notices += [AttemptRefunded(attempt, now) for entry, attempt in member.streak if refund(entry)]",
        "_ = [AttemptRefunded(attempt, now) for entry, attempt in member.streak if refund(entry)]",
        "were told",
    ),
    "one retry too few": Bug("P6", "policies/retry.py", "charged > retries", "charged >= retries", "attempts"),
    "the window never gets its bytes back": Bug(
        "P7",
        "waiting.py",
        "self._batches[entry.request.batch].bytes -= entry.request.size_bytes",
        "pass",
        "the window counts",
    ),
    "a suspect has company": Bug(
        "P6", "fleet.py", "if member.alone:\n", "if member.alone and not member.running:\n", "suspect"
    ),
    "a request goes back to where it failed": Bug(
        "P6",
        "queue.py",
        "if better and (instance not in failed_on or stranded(failed_on)):",
        "if better:",
        "goes back to",
    ),
    "a re-opened place is forgotten": Bug(
        "P6",
        "upkeep.py",
        "self._fleet.touch(member, now)\n            again_at",
        "again_at",
        "",
    ),
    "classes are mixed up": Bug(
        "P6", "waiting.py", "-(queue.batch.priority + entries.priority)", "-queue.batch.priority", "of a higher one"
    ),
    "an outage never ends": Bug("P6", "upkeep.py", "member.health.probe_passed(now)", "pass", ""),
    "a retry is never due": Bug("P6", "delays.py", "return self._heap[0][0] if self._heap else inf", "return inf", ""),
}


def hunt(name: str) -> tuple[bool, str]:
    """Plant a bug in a copy of the package and run worlds on it, up to the first that finds it.

    Returns:
        Whether it was found, and what was said.
    """
    bug = BUGS[name]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "arriero"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        file = copy / "core" / bug.file
        source = file.read_text(encoding="utf-8")
        if source.count(bug.right) != 1:
            raise LookupError(f"{bug.file} holds {source.count(bug.right)} times what {name!r} replaces")
        file.write_text(source.replace(bug.right, bug.wrong), encoding="utf-8")
        path = os.pathsep.join((folder, str(HERE)))
        done = subprocess.run(
            [sys.executable, "-c", HUNT],
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    return done.returncode == FOUND and bug.says in done.stdout, done.stdout + done.stderr


if __name__ == "__main__":
    for chosen in sys.argv[1:] or BUGS:
        found, said = hunt(chosen)
        print("found" if found else "NOT FOUND", chosen, said.splitlines()[:1])  # noqa: T201
