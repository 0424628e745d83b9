"""The installed command line, started as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = [sys.executable, "-m", "arriero"]
NO_BATCH_YET = (2, 7)
"""``status`` of a batch that was started a moment ago: there is no journal, or one that is in the making."""

QUIET = {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}


def arriero(folder: Path, *arguments: str, timeout_s: float = 50.0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a folder."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, **QUIET},
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


def wait_finished(folder: Path, output: str, count: int, process: subprocess.Popen[bytes]) -> None:
    """Ask ``arriero status`` until so many requests are finished; the batch must still run."""
    while True:
        assert process.poll() is None, (folder / "stderr.txt").read_text()
        told = arriero(folder, "status", output, "--json")
        assert told.returncode in (0, *NO_BATCH_YET), told.stdout
        if told.returncode == 0 and finished(json.loads(told.stdout)) >= count:
            return


def finished(status: dict) -> int:
    """Requests that have ended, of ``status --json``."""
    return status["counts"]["succeeded"] + status["counts"]["failed"]
