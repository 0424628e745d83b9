"""Real servers and their model processes killed in the middle of a batch."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from arriero_command import arriero, attempts, ended, records, started, wait_finished, wait_until
from ollama_fleet import OllamaFleet
from server_log import ServerLog

pytestmark = pytest.mark.timeout(60)

PROMPTS = [f"Write one sentence about the number {number}." for number in range(24)]
MANY = 2000
"""Rows that no machine of ours gets through before the test has seen what it waits for."""

ANSWERED = '"/api/chat"'
"""In a server's access log once it has answered one."""

LOST = {"unreachable", "server_error"}
"""How the loss of a server and of its model process look to whoever waits for an answer."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS))
    (tmp_path / "many.txt").write_text("".join(f"Name the number {number}.\n" for number in range(MANY)))
    return tmp_path


def command(fleet: OllamaFleet, prompts: str = "prompts.txt") -> list[str]:
    return ["run", prompts, "-o", "results.json", *fleet.flags_of(fleet.model, "num_predict=8")]


def assert_all_answered(folder: Path, code: int, said: str) -> None:
    assert code == 0, said
    results = records(folder)
    assert [result["prompt"] for result in results] == PROMPTS
    assert all(result["status"] == "success" and result["response"] for result in results)
    assert arriero(folder, "verify", "results.json").returncode == 0


def drain(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """End the batch with what runs; what it has is whole."""
    process.send_signal(signal.SIGINT)
    code, said = ended(folder, process)
    assert code == 130, said
    assert "no request has failed" in arriero(folder, "errors", "results.json").stdout
    assert arriero(folder, "verify", "results.json").returncode == 0


def failures(folder: Path) -> Counter[str]:
    """Failed attempts of rows, by where they ran and how they ended."""
    failed = [attempt for attempt in attempts(folder) if attempt.purpose == "request"]
    assert {str(attempt.kind) for attempt in failed} <= LOST
    return Counter(attempt.instance for attempt in failed)


def test_rows_of_a_killed_server_succeed_elsewhere(own_fleet, folder: Path) -> None:
    fleet: OllamaFleet = own_fleet(2, 2)
    dying, living = fleet.servers
    with started(folder, *command(fleet)) as process:
        wait_finished(folder, "results.json", 2, process, dying.address)
        dying.kill()
        code, said = ended(folder, process)

    assert_all_answered(folder, code, said)
    lost = failures(folder)
    assert set(lost) == {dying.address}
    assert lost[dying.address] >= 2, "what ran there was lost"
    answers = Counter(result["instance"] for result in records(folder))
    assert answers[living.address] > answers[dying.address]


def test_a_killed_model_process_costs_only_attempts_and_its_server_goes_on(own_fleet, folder: Path) -> None:
    fleet: OllamaFleet = own_fleet(1, 2)
    _, hit = fleet.servers
    with started(folder, *command(fleet, "many.txt")) as process:
        wait_finished(folder, "results.json", 2, process, hit.address)
        hit.signal_models(signal.SIGKILL)
        wait_until(lambda: ServerLog.read(hit.log).loads() == 2, process)
        before = len(hit.log.read_text())
        wait_until(lambda: ANSWERED in hit.log.read_text()[before:], process)
        drain(folder, process)

    assert set(failures(folder)) == {hit.address}


def test_a_server_that_comes_back_on_its_port_is_used_again(own_fleet, folder: Path) -> None:
    fleet: OllamaFleet = own_fleet(1, 4)
    _, restarted = fleet.servers
    with started(folder, *command(fleet, "many.txt")) as process:
        wait_finished(folder, "results.json", 2, process, restarted.address)
        restarted.kill()
        before = len(restarted.log.read_text())
        restarted.start()
        wait_until(lambda: ANSWERED in restarted.log.read_text()[before:], process)
        drain(folder, process)

    assert set(failures(folder)) == {restarted.address}


@pytest.mark.slow
def test_one_server_alone_is_waited_for_until_it_is_back(own_fleet, folder: Path) -> None:
    fleet: OllamaFleet = own_fleet(2)
    (server,) = fleet.servers
    with started(folder, *command(fleet)) as process:
        wait_finished(folder, "results.json", 4, process)
        server.kill()
        server.start()
        code, said = ended(folder, process)

    assert_all_answered(folder, code, said)
    assert failures(folder)[server.address] >= 2
