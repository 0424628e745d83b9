"""Real servers that are stopped, and go on later."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from arriero_command import arriero, attempts, ended, records, started, wait_finished
from ollama_fleet import OllamaFleet

pytestmark = pytest.mark.timeout(60)

PROMPTS = [f"Write one sentence about the number {number}." for number in range(24)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS))
    return tmp_path


def command(fleet: OllamaFleet, *more: str) -> list[str]:
    return ["run", "prompts.txt", "-o", "results.json", *more, *fleet.flags_of(fleet.model, "num_predict=8")]


def failed(folder: Path) -> Counter[tuple[str, str]]:
    """Failed attempts of rows, by instance and kind."""
    rows = [attempt for attempt in attempts(folder) if attempt.purpose == "request"]
    return Counter((attempt.instance, str(attempt.kind)) for attempt in rows)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "whole", [pytest.param(False, id="model-process", marks=SLOW), pytest.param(True, id="server")]
)
def test_nobody_is_blamed_for_a_pause_shorter_than_the_timeout(own_fleet, folder: Path, *, whole: bool) -> None:
    fleet: OllamaFleet = own_fleet(2, 1)
    paused, other = fleet.servers
    send = paused.signal if whole else paused.signal_models
    with started(folder, *command(fleet)) as process:
        wait_finished(folder, "results.json", 2, process, paused.address)
        send(signal.SIGSTOP)
        wait_finished(folder, "results.json", 5, process, other.address)
        send(signal.SIGCONT)
        code, said = ended(folder, process)

    assert code == 0, said
    assert not failed(folder)
    assert {result["status"] for result in records(folder)} == {"success"}
    assert Counter(result["instance"] for result in records(folder))[paused.address] >= 4
    assert arriero(folder, "verify", "results.json").returncode == 0


@pytest.mark.parametrize(
    "whole", [pytest.param(False, id="model-process"), pytest.param(True, id="server", marks=SLOW)]
)
def test_rows_of_one_that_hangs_time_out_and_succeed_elsewhere(own_fleet, folder: Path, *, whole: bool) -> None:
    fleet: OllamaFleet = own_fleet(2, 1)
    hung, _ = fleet.servers
    send = hung.signal if whole else hung.signal_models
    with started(folder, *command(fleet, "--timeout", "4s", "--retries", "20")) as process:
        wait_finished(folder, "results.json", 2, process, hung.address)
        send(signal.SIGSTOP)
        code, said = ended(folder, process)

    assert code == 0, said
    assert {result["status"] for result in records(folder)} == {"success"}
    assert failed(folder)[hung.address, "timeout"] >= 2
    assert arriero(folder, "verify", "results.json").returncode == 0
