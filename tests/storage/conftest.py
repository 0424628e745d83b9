"""What the tests of a journal's place share: a batch that was stopped half way, a fleet, and commands that start at once."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from dying import Mortals, mortals
from fake_ollama import Speed
from half_batch import REJECTED, ROWS
from running import Fleet, environment, fake_fleet, started, wait_committed, write_prompts


@pytest.fixture(scope="session")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a batch that was stopped half way, with one failure among what ended."""
    folder = tmp_path_factory.mktemp("half")
    write_prompts(folder, ROWS)
    slow = Speed(decode_tokens_per_s=100.0)
    with (
        fake_fleet(2, speed=slow, faults=[REJECTED]) as fleet,
        started(folder, "run", "prompts.txt", "-m", "mistral:7b", "-c", "2", *fleet.flags) as running,
    ):
        wait_committed(folder, 5, running)
        assert running.end(signal.SIGINT).code == 130
    return folder


@pytest.fixture
def folder(half: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(half, tmp_path / "batch"))


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortals]:
    with mortals(environment(tmp_path_factory.mktemp("home"))) as found:
        yield found


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    with fake_fleet(2, faults=[REJECTED]) as found:
        yield found
