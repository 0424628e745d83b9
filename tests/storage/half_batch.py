"""A batch that was stopped half way: what its folder holds, what a command says to it, and how it must end."""

from __future__ import annotations

import stat
from pathlib import Path

from dying import Died, Mortals
from fake_ollama import Fault
from running import Ended, Fleet, read_results

OUTPUT, JOURNAL = "results.json", "results.json.journal"
ROWS = 100
"""Seconds of work at the speeds below, so that a slow test is still in time to disturb it."""
REJECTED = Fault("status", status=400, text="no", contains="number 1.")
NO_PLACE = "name another place with --journal PATH"


def run_words(fleet: Fleet) -> tuple[str, ...]:
    return ("run", "prompts.txt", "-m", "mistral:7b", *fleet.flags)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by what is in it, but for SQLite's count of changes, which a look at the binding raises."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.name.startswith(".") and ".home" not in path.parts:
            kind = stat.S_IFMT(path.lstat().st_mode)
            found[str(path.relative_to(folder))] = (
                uncounted(path.read_bytes()) if kind == stat.S_IFREG else b"%o" % kind
            )
    return found


def uncounted(data: bytes) -> bytes:
    """Without the change counter and the place that repeats it (SQLite file format, sections 1.3.7 and 1.3.16)."""
    return data[:24] + data[28:92] + data[96:] if data.startswith(b"SQLite") else data


def assert_says(ended: Died | Ended, code: int, words: str, next_step: str, what: str) -> None:
    said = ended.err + ended.out
    assert ended.code == code, (what, said)
    assert "Traceback" not in said
    assert words in said, what
    assert next_step in said, what
    assert code not in (2, 7) or "help: " in ended.err, f"{what}: the next command is not said"


def assert_ended(folder: Path, commands: Mortals) -> None:
    """Every row is there once, the one that the server refuses as a failure, and all promises hold."""
    records = read_results(folder)
    assert [record["id"] for record in records] == [str(number + 1) for number in range(ROWS)]
    assert [record["id"] for record in records if record["status"] != "success"] == ["2"]
    assert commands.run(folder, "verify", OUTPUT).code == 0
