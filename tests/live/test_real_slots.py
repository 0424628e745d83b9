"""The slots of real servers, found by what overlaps there, and the limit that was asked for instead."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest
from arriero_command import arriero, attempts, records
from ollama_fleet import OllamaFleet

pytestmark = pytest.mark.timeout(60)

LOG_S = 10.0
TRIES = 6
PROMPTS = [f"Write one sentence about the number {number}." for number in range(48)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS))
    return tmp_path


def answered(fleet: OllamaFleet, least: int) -> Counter[int]:
    """Generations, loads and unloads the servers logged, by status; a line is written after its answer has left."""
    until = time.monotonic() + LOG_S
    while True:
        found = sum((log.statuses("/api/chat", "/api/generate") for log in fleet.read_logs()), Counter())
        if found.total() >= least or time.monotonic() > until:
            return found


def test_auto_fills_the_slots_of_each_server_and_the_books_balance(own_fleet, folder: Path) -> None:
    fleet: OllamaFleet = own_fleet(1, 2, 4)
    flags = fleet.flags_of(fleet.model, "num_predict=12")
    done = arriero(folder, "run", "prompts.txt", "-o", "results.json", "-c", "auto", *flags)

    assert done.returncode == 0, done.stderr
    logs = fleet.read_logs()
    assert [log.overlap() for log in logs] == [1, 2, 4], "what the servers themselves had under way"
    upkeep = sum(attempt.purpose in ("preload", "unload", "probe") for attempt in attempts(folder))
    assert answered(fleet, len(records(folder)) + upkeep) == {200: len(records(folder)) + upkeep}


@pytest.mark.timeout(180)
def test_the_slots_that_a_batch_has_learned_are_those_of_the_servers(own_fleet, folder: Path, state: Path) -> None:
    """Forty-eight answers of a few tokens say little where other work delays them by as long as they take: then once more."""
    fleet: OllamaFleet = own_fleet(1, 2, 4)
    flags = fleet.flags_of(fleet.model, "num_predict=12")
    truth = dict(zip(fleet.urls, (1, 2, 4), strict=True))
    found = []
    while truth not in found and len(found) < TRIES:
        done = arriero(folder, "run", "prompts.txt", "-o", "results.json", "-c", "auto", "--force", *flags)
        assert done.returncode == 0, done.stderr
        told = json.loads(arriero(folder, "status", "results.json", "--json").stdout)["instances"]
        found.append({one["url"]: one["slots"] for one in told})
        shutil.rmtree(state)

    assert truth in found, found


def test_a_given_concurrency_is_reached_and_never_exceeded_where_more_would_fit(own_fleet, folder: Path) -> None:
    fleet: OllamaFleet = own_fleet(4)
    flags = fleet.flags_of(fleet.model, "num_predict=8")
    done = arriero(folder, "run", "prompts.txt", "-o", "results.json", "-c", "3", "--first", "12", *flags)

    assert done.returncode == 0, done.stderr
    assert fleet.read_logs()[0].overlap() == 3
