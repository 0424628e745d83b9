"""What a batch says on standard error to a program (``--display json``) and to nobody (``none``), from start to end."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from fake_ollama import Fault, Speed
from running import Ended, arriero, fake_fleet, prompts, started, wait_committed, write_prompts

pytestmark = pytest.mark.timeout(30)

ASKED = prompts(30)
NOWHERE = ("-i", "http://127.0.0.1:9")
"""Port 9 discards; nobody listens there."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path, ASKED)
    return tmp_path


def events(done: Ended) -> list[dict[str, Any]]:
    """Every line of standard error, each an object that names its event."""
    told = [json.loads(line) for line in done.err.splitlines()]
    assert {one["event"] for one in told} <= {"started", "progress", "said", "ended", "error"}
    return told


def names(told: list[dict[str, Any]]) -> list[str]:
    """The events in order, those of talk and progress left out."""
    return [one["event"] for one in told if one["event"] not in ("said", "progress")]


def test_a_program_reads_the_whole_course_of_a_batch_as_objects(folder: Path) -> None:
    with fake_fleet(4, faults=[Fault("status", contains="number 7.", status=400)]) as fleet:
        words = ("run", "prompts.txt", "--display", "json", "-O", "tempreture=1", *fleet.flags)
        done = arriero(folder, *words)
        retried = arriero(folder, "retry", "--display", "json")
        again = arriero(folder, *words)

    told = events(done)
    (begun,) = [one for one in told if one["event"] == "started"]
    progress = [one["snapshot"] for one in told if one["event"] == "progress"]
    said = "\n".join(one["text"] for one in told if one["event"] == "said")
    assert (done.code, done.out) == (3, "")
    assert names(told) == ["started", "ended"]
    assert told[-1]["event"] == "ended"
    assert (begun["input"], begun["output"], begun["total"], begun["ended_before"]) == (
        "prompts.txt",
        "results.json",
        30,
        0,
    )
    assert progress[0]["counts"]["total"] == 30
    assert "warning: option tempreture" in said
    assert fleet.urls[0] in said
    assert told[-1]["exit_code"] == 3
    assert told[-1]["written"] == ["results.json"]
    assert told[-1]["snapshot"]["counts"] == {"total": 30, "succeeded": 29, "failed": 1, "running": 0, "waiting": 0}
    assert "1 request waits again" in events(retried)[0]["text"]
    assert (retried.code, again.code) == (3, 3)
    assert next(one for one in events(again) if one["event"] == "started")["ended_before"] == 30


def test_a_program_reads_of_an_interrupt_by_its_state_and_how_to_go_on(folder: Path) -> None:
    with fake_fleet(1, speed=Speed(decode_tokens_per_s=100.0)) as fleet:
        words = ("run", "prompts.txt", "--display", "json", "-c", "2", *fleet.flags)
        with started(folder, *words) as running:
            wait_committed(folder, 2, running)
            stopped = running.end(signal.SIGINT)

    told = events(stopped)
    assert stopped.code == told[-1]["exit_code"] == 130
    assert told[-1]["resume"] == ["arriero", "resume", "results.json"]


@pytest.mark.parametrize("where", ["flag", "environment", "file"])
def test_a_program_reads_an_error_as_the_last_object(folder: Path, where: str) -> None:
    words, env = ("run", "prompts.txt", "-m", "mistral:7b", *NOWHERE), {}
    if where == "flag":
        words = (*words, "--display", "json")
    elif where == "environment":
        env = {"ARRIERO_DISPLAY": "json"}
    else:
        (folder / "arriero.toml").write_text('[defaults]\ndisplay = "json"\n')
    refused = arriero(folder, *words, env=env)
    wrong = arriero(folder, "run", "prompts.txt", "-c", "lots", "--display", "json")

    told = events(refused)
    assert refused.code == 5
    assert names(told) == ["started", "error"]
    assert told[-1]["kind"] == "fleet"
    assert "unreachable: connection refused" in told[-1]["message"]
    assert (wrong.code, [one["kind"] for one in events(wrong)]) == (2, ["config"])


def test_with_none_nothing_is_said_but_errors(folder: Path) -> None:
    quiet = ("--display", "none")
    with fake_fleet(1, faults=[Fault("status", contains="number 7.", status=400)]) as fleet:
        done = arriero(folder, "run", "prompts.txt", "-O", "tempreture=1", *quiet, *fleet.flags)
        retried = arriero(folder, "retry", *quiet)
        fleet.calm()
        for server in fleet.servers:
            server.speed = Speed(decode_tokens_per_s=100.0)
        words = ("run", "prompts.txt", "-o", "other.json", *quiet, *fleet.flags)
        with started(folder, *words) as running:
            wait_committed(folder, 2, running, "other.json.journal")
            stopped = running.end(signal.SIGINT)
    refused = arriero(folder, "run", "prompts.txt", "-o", "third.json", *quiet, *NOWHERE)

    assert [(one.code, one.out, one.err) for one in (done, retried, stopped)] == [
        (3, "", ""),
        (3, "", ""),
        (130, "", ""),
    ]
    assert refused.code == 5
    assert refused.err.startswith("error: no usable instance")


def test_with_none_what_stopped_the_batch_is_an_error(folder: Path) -> None:
    with fake_fleet(1, faults=[Fault("status", contains="number", status=400, text="invalid words")]) as fleet:
        done = arriero(folder, "run", "prompts.txt", "--max-errors", "2", "--display", "none", *fleet.flags)

    assert done.code == 4
    assert done.err.splitlines() == [
        "error: more requests failed than --max-errors allows",
        "help: arriero resume results.json",
    ]
