"""Real servers and their model processes killed in the middle of a batch."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from arriero_command import arriero, attempts, ended, records, started, wait_finished
from ollama_fleet import OllamaFleet

pytestmark = pytest.mark.timeout(60)

PROMPTS = [f"Write one sentence about the number {number}." for number in range(24)]
LOST = {"unreachable", "server_error"}
"""How the loss of a server and of its model process look to whoever waits for an answer."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS))
    return tmp_path


def command(fleet: OllamaFleet) -> list[str]:
    return ["run", "prompts.txt", "-o", "results.json", *fleet.flags_of(fleet.model, "num_predict=8")]


def assert_all_answered(folder: Path, code: int, said: str) -> None:
    assert code == 0, said
    results = records(folder)
    assert [result["prompt"] for result in results] == PROMPTS
    assert all(result["status"] == "success" and result["response"] for result in results)
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
    assert answers[dying.address] < len(PROMPTS) / 2 < answers[living.address]


def test_a_killed_model_process_costs_only_attempts_and_its_server_goes_on(own_fleet, folder: Path) -> None:
    fleet: OllamaFleet = own_fleet(1, 2)
    _, hit = fleet.servers
    with started(folder, *command(fleet)) as process:
        wait_finished(folder, "results.json", 2, process, hit.address)
        hit.signal_models(signal.SIGKILL)
        code, said = ended(folder, process)

    assert_all_answered(folder, code, said)
    assert set(failures(folder)) == {hit.address}
    log = fleet.read_logs()[fleet.servers.index(hit)]
    assert log.loads() == 2, "it was loaded again"
    assert Counter(result["instance"] for result in records(folder))[hit.address] > 2


def test_a_server_that_comes_back_on_its_port_is_used_again(own_fleet, folder: Path) -> None:
    fleet: OllamaFleet = own_fleet(1, 4)
    _, restarted = fleet.servers
    with started(folder, *command(fleet)) as process:
        wait_finished(folder, "results.json", 2, process, restarted.address)
        restarted.kill()
        before = len(restarted.log.read_text())
        restarted.start()
        code, said = ended(folder, process)

    assert_all_answered(folder, code, said)
    again = restarted.log.read_text()[before:]
    assert '"/api/chat"' in again, "it answered after its restart"
    assert set(failures(folder)) <= {restarted.address}


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
