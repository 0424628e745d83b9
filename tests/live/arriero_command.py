"""The installed command line, started as a user starts it, and what its journal says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from arriero.errors import ArrieroError
from arriero.journal.reader import JournalReader
from arriero.journal.stored import StoredAttempt

COMMAND = [sys.executable, "-m", "arriero"]
PATIENCE_S = 50.0

QUIET = {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}


def arriero(
    folder: Path, *arguments: str, timeout_s: float = PATIENCE_S, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a folder."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, **QUIET, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that runs beside the test; gone when the block is left."""
    with (folder / "stderr.txt").open("wb") as said:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=folder,
            env={**os.environ, **QUIET},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(holds: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Look again and again until something holds; the command must still run."""
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"the command ended with {process.wait(0.02)}")


def wait_finished(folder: Path, output: str, count: int, process: subprocess.Popen[bytes], instance: str = "") -> None:
    """Wait until so many requests are finished (by one instance), as the journal has it."""

    def enough() -> bool:
        with suppress(ArrieroError), JournalReader(folder / f"{output}.journal") as reader:  # it may be in the making
            return sum(instance in result.instance for result in reader.results()) >= count
        return False

    wait_until(enough, process)


def ended(folder: Path, process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Wait for the end: the exit code, and what was said."""
    code = process.wait(PATIENCE_S)
    return code, (folder / "stderr.txt").read_text()


def finished(status: dict[str, Any]) -> int:
    """Requests that have ended, of ``status --json``."""
    return status["counts"]["succeeded"] + status["counts"]["failed"]


def records(folder: Path, output: str = "results.json") -> list[dict[str, Any]]:
    """The output, ``.json`` or ``.jsonl``."""
    text = (folder / output).read_text()
    return [json.loads(line) for line in text.splitlines()] if output.endswith(".jsonl") else json.loads(text)


def attempts(folder: Path, output: str = "results.json") -> list[StoredAttempt]:
    """Attempts that failed or were no request, as the journal has them."""
    with JournalReader(folder / f"{output}.journal") as reader:
        return list(reader.attempts())


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    """``rows.jsonl``."""
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
