"""Ctrl-C, SIGTERM and SIGHUP on a running batch: what runs is kept, and the printed command goes on exactly there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from fake_ollama import Fault, Speed, answer
from running import (
    Fleet,
    arriero,
    assert_answered,
    assert_verified,
    fake_fleet,
    prompts,
    read_results,
    resume_words,
    started,
    stored_results,
    wait_committed,
    write_prompts,
)

pytestmark = pytest.mark.timeout(20)

ASKED = prompts(40)
SLOW = Speed(decode_tokens_per_s=100.0)
STILL = Fault("stall", every=1, after_tokens=2, pause_s=3.0)
"""An answer that begins, then takes longer than any test waits for a signal to arrive."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path, ASKED)
    return tmp_path


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_one_signal_drains_and_the_printed_command_goes_on_exactly_there(
    folder: Path, number: signal.Signals, code: int
) -> None:
    with fake_fleet(2, speed=SLOW) as fleet:
        with started(folder, "run", "prompts.txt", "-o", "my results.json", "-c", "4", *fleet.flags) as running:
            wait_committed(folder, 3, running, "my results.json.journal")
            stopped = running.end(number)
        partial = read_results(folder, "my results.json.partial")
        kept = len(partial)
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        completed = len(fleet.requests("completed"))
        fleet.calm()
        resumed = arriero(folder, *resume_words(stopped.err))

    assert stopped.code == code, stopped.err
    assert "draining" in stopped.err
    assert "my results.json.partial" in stopped.err
    assert 3 <= kept < len(ASKED)
    assert completed == kept, "what ran was let end, and kept"
    assert all(record["response"] == answer(record["prompt"]) for record in partial)
    assert f"{kept} of 40 requests" in stopped.err
    assert resumed.code == 0, resumed.err
    assert f"{kept} ended before" in resumed.err
    assert (
        f"finished   40 requests   {len(ASKED)} succeeded   0 failed\nthis run   {40 - kept} requests in "
        in resumed.err
    )
    assert len(fleet.requests("completed")) == len(ASKED), "none was answered twice"
    assert_answered(read_results(folder, "my results.json"), ASKED)
    assert not (folder / "my results.json.partial").exists()
    assert_verified(folder, "my results.json")


@pytest.mark.parametrize(
    ("signals", "code"), [((signal.SIGTERM,), 143), ((signal.SIGINT,), 130), ((signal.SIGINT, signal.SIGINT), 130)]
)
def test_a_signal_in_a_retry_round_loses_nothing_and_the_same_retry_ends_it(
    folder: Path, signals: tuple[int, ...], code: int
) -> None:
    with fake_fleet(2, faults=[Fault("status", status=400, every=1)]) as fleet:
        failed = arriero(folder, "run", "prompts.txt", "-c", "4", *fleet.flags)
        fleet.calm()
        for server in fleet.servers:
            server.speed = SLOW
        with started(folder, "retry", "results.json") as running:
            fleet.until_completed(len(ASKED) // 8)
            hold(fleet, 4)
            for number in signals[:-1]:
                running.process.send_signal(number)
                running.until_said("draining")
            stopped = running.end(signals[-1])
        kept = {one.attempt_name for one in stored_results(folder) if one.succeeded}
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        fleet.calm()
        again = arriero(folder, "retry", "results.json")

    assert failed.code == 3, failed.err
    assert stopped.code == code, stopped.err
    assert again.code == 0, again.err
    assert_answered(read_results(folder), ASKED)
    assert kept <= {one.attempt_name for one in stored_results(folder)}, "a kept result was replaced"
    assert kept
    assert_verified(folder)


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ((signal.SIGHUP,), 129),
        ((signal.SIGINT,), 130),
        ((signal.SIGINT, signal.SIGINT), 130),
        ((signal.SIGINT, signal.SIGINT, signal.SIGINT), 130),
    ],
)
def test_a_resume_that_is_stopped_is_resumed_again(folder: Path, signals: tuple[int, ...], code: int) -> None:
    with fake_fleet(2, speed=SLOW) as fleet:
        with started(folder, "run", "prompts.txt", "-c", "4", *fleet.flags) as running:
            wait_committed(folder, 3, running)
            first = running.end(signal.SIGTERM)
        kept = len(stored_results(folder))
        with started(folder, "resume", "results.json") as running:
            wait_committed(folder, kept + 3, running)
            if len(signals) > 1:
                hold(fleet, 4)
            for number, said in zip(signals[:-1], ("draining", "aborting"), strict=False):
                running.process.send_signal(number)
                running.until_said(said)
            stopped = running.end(signals[-1])
        then = {one.attempt_name for one in stored_results(folder)}
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        fleet.calm()
        resumed = arriero(folder, "resume", "results.json")

    assert first.code == 143, first.err
    assert stopped.code == code, stopped.err
    assert resumed.code == 0, resumed.err
    assert kept < len(then) < len(ASKED)
    assert then <= {one.attempt_name for one in stored_results(folder)}, "a kept result was replaced"
    assert_answered(read_results(folder), ASKED)
    assert [record["attempts"] for record in read_results(folder)] == [1] * len(ASKED), "a stop is no failed attempt"
    assert_verified(folder)


@pytest.mark.parametrize(
    ("words", "signals"),
    [
        ((), (signal.SIGTERM,)),
        ((), (signal.SIGINT,) * 3),
        (("--format", "openai", "-o", "results.jsonl"), (signal.SIGINT,) * 2),
    ],
)
def test_a_signal_while_the_output_is_written_leaves_it_whole_or_absent(
    tmp_path: Path, words: tuple[str, ...], signals: tuple[int, ...]
) -> None:
    asked = write_prompts(tmp_path, 1500)
    name = words[-1] if words else "results.json"
    with fake_fleet(8) as fleet:
        command = ("run", "prompts.txt", "-c", "32", *words, *fleet.flags)
        with started(tmp_path, *command) as running:
            wait_committed(tmp_path, len(asked), running, f"{name}.journal")
            while running.process.poll() is None and not (tmp_path / f"{name}.partial").exists():
                pass
            for number in signals[:-1]:
                running.process.send_signal(number)
            stopped = running.end(signals[-1])
        whole = len(read_results(tmp_path, name)) if (tmp_path / name).exists() else None
        again = arriero(tmp_path, *command)

    assert stopped.code in (0, 143 if signals == (signal.SIGTERM,) else 130), stopped.err
    assert "Traceback" not in stopped.err
    assert whole == len(asked) or (whole is None and stopped.code)
    assert again.code == 0, again.err
    assert "nothing to do" in again.err
    assert len(read_results(tmp_path, name)) == len(asked)
    assert len(fleet.requests()) == len(asked), "nothing was sent again"
    assert_verified(tmp_path, name)


def test_a_drain_does_not_await_what_waits_for_the_only_slot(folder: Path) -> None:
    with fake_fleet(1, speed=SLOW) as fleet:
        with started(folder, "run", "prompts.txt", "-c", "30", *fleet.flags) as running:
            wait_committed(folder, 3, running)
            stopped = running.end(signal.SIGINT)
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        kept, answered = len(read_results(folder, "results.json.partial")), len(fleet.requests("completed"))
        fleet.calm()
        resumed = arriero(folder, *resume_words(stopped.err))

    assert stopped.code == 130, stopped.err
    assert "what waits for a slot is called back" in stopped.err
    assert kept == answered < 15, "of thirty in flight only the one that ran was awaited"
    assert resumed.code == 0, resumed.err
    assert_answered(read_results(folder), ASKED)
    assert [record["attempts"] for record in read_results(folder)] == [1] * len(ASKED)
    assert_verified(folder)


def test_a_second_ctrl_c_drops_what_runs_and_a_resume_redoes_it(folder: Path) -> None:
    with fake_fleet(2, speed=SLOW) as fleet:
        with started(folder, "run", "prompts.txt", "-c", "4", *fleet.flags) as running:
            wait_committed(folder, 3, running)
            hold(fleet, 4)
            running.process.send_signal(signal.SIGINT)
            running.until_said("draining")
            stopped = running.end(signal.SIGINT)
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        dropped = [entry for entry in fleet.requests("failed") if entry.fault == "stall"]
        partial = read_results(folder, "results.json.partial")
        fleet.calm()
        resumed = arriero(folder, *resume_words(stopped.err))

    assert stopped.code == 130, stopped.err
    assert "aborting" in stopped.err
    assert len(dropped) == 4
    assert resumed.code == 0, resumed.err
    assert len(fleet.requests("completed")) == len(ASKED)
    assert 3 <= len(partial) < len(ASKED)
    assert_answered(read_results(folder), ASKED)
    assert [record["attempts"] for record in read_results(folder)] == [1] * len(ASKED), "an abort is no failed attempt"
    assert_verified(folder)


def test_a_third_ctrl_c_leaves_at_once_and_nothing_told_is_lost(folder: Path) -> None:
    with fake_fleet(1, speed=SLOW) as fleet:
        with started(folder, "run", "prompts.txt", "-c", "2", *fleet.flags) as running:
            wait_committed(folder, 3, running)
            hold(fleet, 2)
            running.process.send_signal(signal.SIGINT)
            running.until_said("draining")
            running.process.send_signal(signal.SIGINT)
            running.until_said("aborting")
            left = running.end(signal.SIGINT)
        kept = len(stored_results(folder))
        fleet.calm()
        resumed = arriero(folder, "run", "prompts.txt", *fleet.flags)

    assert left.code == 130
    assert kept >= 3
    assert resumed.code == 0, resumed.err
    assert_answered(read_results(folder), ASKED)
    assert_verified(folder)


def test_a_signal_before_the_first_request_stops_before_anything_is_sent(folder: Path) -> None:
    silent = Fault("silent", path="/api/version")
    with fake_fleet(1, faults=[silent]) as fleet:
        with started(folder, "run", "prompts.txt", "-m", "mistral:7b", *fleet.flags) as running:
            fleet.until(lambda fleet: fleet.entries)
            stopped = running.end(signal.SIGTERM)
        fleet.calm()
        resumed = arriero(folder, "run", "prompts.txt", "-m", "mistral:7b", *fleet.flags)

    assert stopped.code == 143, stopped.err
    assert "Traceback" not in stopped.err
    assert resumed.code == 0, resumed.err
    assert_answered(read_results(folder), ASKED)
    assert len(fleet.requests()) == len(ASKED)


def test_a_second_process_on_the_same_journal_is_sent_away_and_told_who_has_it(folder: Path) -> None:
    with fake_fleet(1, speed=SLOW) as fleet, started(folder, "run", "prompts.txt", *fleet.flags) as running:
        wait_committed(folder, 1, running)
        second = arriero(folder, "run", "prompts.txt", *fleet.flags)
        forced = arriero(folder, "run", "prompts.txt", "--force", *fleet.flags)
        fleet.calm()
        ended = running.end()

    for one in (second, forced):
        assert one.code == 6, one.err
        assert str(running.process.pid) in one.err
    assert ended.code == 0, ended.err
    assert_answered(read_results(folder), ASKED)
    assert len(fleet.requests()) == len(ASKED)


def test_a_frozen_owner_keeps_its_journal_and_others_are_sent_away(folder: Path) -> None:
    words = ("run", "prompts.txt", "-c", "4")
    with fake_fleet(2, speed=SLOW) as fleet, started(folder, *words, *fleet.flags) as running:
        wait_committed(folder, 3, running)
        running.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, running.process.pid, os.WSTOPPED | os.WNOWAIT)
        second = arriero(folder, *words, *fleet.flags)
        retried = arriero(folder, "retry", "results.json")
        fleet.calm()
        ended = running.end(signal.SIGCONT)

    for one in (second, retried):
        assert one.code == 6, one.err
        assert str(running.process.pid) in one.err
    assert ended.code == 0, ended.err
    assert len(fleet.requests("completed")) == len(ASKED)
    assert_answered(read_results(folder), ASKED)
    assert_verified(folder)


def test_a_stopped_and_continued_process_blames_nobody_and_ends_the_batch(folder: Path) -> None:
    words = ("run", "prompts.txt", "-c", "4")
    with fake_fleet(2, speed=SLOW) as fleet, started(folder, *words, *fleet.flags) as running:
        wait_committed(folder, 3, running)
        running.process.send_signal(signal.SIGSTOP)
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        fleet.calm()
        ended = running.end(signal.SIGCONT)

    assert ended.code == 0, ended.err
    assert_answered(read_results(folder), ASKED)
    assert [record["attempts"] for record in read_results(folder)] == [1] * len(ASKED)


def hold(fleet: Fleet, count: int) -> None:
    """From now on answers begin and go on only after seconds; wait until so many such run, and no other."""
    for server in fleet.servers:
        server.script.faults = [STILL]
    fleet.until(lambda fleet: [entry.fault for entry in fleet.entries if not entry.how] == ["stall"] * count)
