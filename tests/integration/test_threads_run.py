"""The engine of threads under the real command: a whole batch, a stop, a kill, the other engine on the same journal."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from fake_ollama import Fault, Speed, answer
from running import (
    arriero,
    assert_answered,
    assert_verified,
    fake_fleet,
    prompts,
    read_results,
    started,
    stored_results,
    wait_committed,
    write_prompts,
)

import arriero as library

pytestmark = pytest.mark.timeout(20)

ASKED = prompts(60)
SLOW = Speed(decode_tokens_per_s=150.0)
THREADS = ("--engine", "threads")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path, ASKED)
    return tmp_path


def test_a_batch_with_failing_servers_ends_whole_and_the_books_balance(folder: Path) -> None:
    each = ({}, {"faults": [Fault("status", status=500, every=7)]}, {"faults": [Fault("html", every=9)]})
    with fake_fleet(1, 2, 4, each=each) as fleet:
        done = arriero(folder, "run", "prompts.txt", *THREADS, *fleet.flags)

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    kept = {one.attempt_name for one in stored_results(folder)}
    assert kept == {entry.attempt for entry in fleet.requests("completed")} & kept
    assert len(kept) == len(ASKED)
    assert_verified(folder)


def test_a_given_concurrency_is_reached_and_never_exceeded(folder: Path) -> None:
    with fake_fleet(8, speed=SLOW) as fleet:
        done = arriero(folder, "run", "prompts.txt", *THREADS, "-c", "5", *fleet.flags)

    assert done.code == 0, done.err
    assert max(entry.in_flight for entry in fleet.requests()) + 1 == 5


@pytest.mark.parametrize(
    ("signals", "code"), [((signal.SIGTERM,), 143), ((signal.SIGINT, signal.SIGINT), 130)], ids=["drained", "aborted"]
)
def test_a_stopped_batch_goes_on_with_either_engine(folder: Path, signals: tuple[int, ...], code: int) -> None:
    with fake_fleet(2, speed=SLOW) as fleet:
        with started(folder, "run", "prompts.txt", *THREADS, "-c", "4", *fleet.flags) as running:
            wait_committed(folder, 3, running)
            for number in signals[:-1]:
                running.process.send_signal(number)
                running.until_said("draining")
            stopped = running.end(signals[-1])
        kept = {one.attempt_name for one in stored_results(folder)}
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        resumed = arriero(folder, "run", "prompts.txt", *fleet.flags)

    assert stopped.code == code, stopped.err
    assert "Traceback" not in stopped.err
    assert 3 <= len(kept) < len(ASKED)
    assert resumed.code == 0, resumed.err
    assert kept <= {one.attempt_name for one in stored_results(folder)}
    assert_answered(read_results(folder), ASKED)
    assert_verified(folder)


def test_a_killed_batch_loses_and_doubles_nothing(folder: Path) -> None:
    words = ("run", "prompts.txt", *THREADS, "-c", "4")
    with fake_fleet(2, speed=SLOW) as fleet:
        for more in (5, 10, 15):
            with started(folder, *words, *fleet.flags) as running:
                fleet.until_completed(len(fleet.requests("completed")) + more)
                running.end(signal.SIGKILL)
        kept = {one.attempt_name for one in stored_results(folder)}
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        done = arriero(folder, *words, *fleet.flags)

    assert done.code == 0, done.err
    marks = [entry.attempt for entry in fleet.requests("completed")]
    assert len(marks) == len(set(marks))
    assert kept <= {one.attempt_name for one in stored_results(folder)} <= set(marks)
    assert_answered(read_results(folder), ASKED)


def test_map_and_client_can_use_it_too() -> None:
    settings = {"engine": "threads"}

    async def streamed(urls: list[str]) -> list[str | None]:
        async with library.Client(fleet=urls, settings=settings) as client:
            return [one.response async for one in client.stream(ASKED[:20])]

    with fake_fleet(2) as fleet:
        mapped = [one.response for one in library.map(ASKED, fleet=fleet.urls, settings=settings)]
        found = asyncio.run(streamed(fleet.urls))

    assert mapped == [answer(prompt) for prompt in ASKED]
    assert sorted(map(str, found)) == sorted(answer(prompt) for prompt in ASKED[:20])
