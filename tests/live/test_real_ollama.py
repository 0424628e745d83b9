"""The main job on real Ollama servers: the user's own command, killed, run again, compared."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from arriero_command import arriero, finished, started, wait_finished
from ollama_fleet import OllamaFleet

pytestmark = pytest.mark.timeout(60)

PROMPTS = [f"Write one sentence about the number {number}." for number in range(40)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS))
    return tmp_path


def test_a_batch_killed_in_the_middle_and_run_again_keeps_every_result_once(
    ollama_fleet: OllamaFleet, folder: Path
) -> None:
    flags = ollama_fleet.flags_of(ollama_fleet.model, "num_predict=10")
    command = ["run", "prompts.txt", "-o", "results.json", "-c", "30", *flags]
    with started(folder, *command) as first:
        wait_finished(folder, "results.json", 10, first)
        first.send_signal(signal.SIGKILL)
        first.wait()
    told = json.loads(arriero(folder, "status", "results.json", "--json").stdout)
    kept = [json.loads(line) for line in arriero(folder, "results", "results.json").stdout.splitlines()]

    again = arriero(folder, *command)

    assert 10 <= finished(told) < len(PROMPTS)
    assert len(kept) == finished(told)
    assert again.returncode == 0, again.stderr
    results = json.loads((folder / "results.json").read_text())
    assert [result["prompt"] for result in results] == PROMPTS
    assert {result["status"] for result in results} == {"success"}
    assert all(result["response"] for result in results)
    assert {result["prompt"]: result["response"] for result in kept}.items() <= {
        result["prompt"]: result["response"] for result in results
    }.items()


def test_a_finished_batch_verifies_and_is_not_sent_again(ollama_fleet: OllamaFleet, folder: Path) -> None:
    flags = ollama_fleet.flags_of(ollama_fleet.model, "num_predict=8")
    command = ["run", "prompts.txt", "-o", "results.json", "-c", "auto", "--first", "16", *flags]
    answered = ollama_fleet.answered("/api/chat")
    first = arriero(folder, *command)
    sent = ollama_fleet.answered("/api/chat") - answered

    again = arriero(folder, *command)

    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    assert "nothing to do" in again.stderr
    assert arriero(folder, "verify", "results.json").returncode == 0
    if ollama_fleet.logs:
        assert sent >= 16
        assert ollama_fleet.answered("/api/chat") == answered + sent


def test_every_instance_takes_part_and_tokens_are_counted(ollama_fleet: OllamaFleet, folder: Path) -> None:
    flags = ollama_fleet.flags_of(ollama_fleet.model, "num_predict=12")
    done = arriero(folder, "run", "prompts.txt", "-o", "results.json", "-c", "12", "--first", "24", *flags)

    assert done.returncode == 0, done.stderr
    results = json.loads((folder / "results.json").read_text())
    assert len({result["instance"] for result in results}) == len(ollama_fleet.urls)
    assert all(1 <= result["usage"]["output_tokens"] <= 12 for result in results)
    assert all(result["finish_reason"] in ("stop", "length") for result in results)


def test_a_missing_model_is_said_before_anything_is_sent(ollama_fleet: OllamaFleet, folder: Path) -> None:
    answered = ollama_fleet.answered("/api/chat")

    refused = arriero(folder, "run", "prompts.txt", "-m", "no-such-model:1b", "-i", ollama_fleet.urls[0])

    assert refused.returncode == 5, refused.stderr
    assert "ollama pull no-such-model:1b" in refused.stderr
    assert ollama_fleet.model in refused.stderr
    assert not (folder / "results.json").exists()
    assert ollama_fleet.answered("/api/chat") == answered
