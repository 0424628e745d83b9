"""kill -9 of the real command at seeded instants, then the same command again: the journal against the servers' own record."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections import Counter
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
    started,
    stored_results,
    wait_committed,
    write_prompts,
)

from arriero.journal.reader import JournalReader

UNKEPT_S = 0.5
"""An answer that came longer before the kill than this must have been committed; 9 ms were seen on two busy cores.

The processes live 1.1 s at most, so a larger bound would check nothing.
"""

AT_ONCE = 20

UNKEPT_MOST = 2 * AT_ONCE
"""Answers that one kill may cost; 4 were seen. A disk that stalls for a moment is no fault of ours."""


class Killed:
    """A batch that is killed again and again, and what its servers and its journal then say."""

    def __init__(self, folder: Path, fleet: Fleet, asked: list[str], *words: str) -> None:
        self.folder = folder
        self.fleet = fleet
        self.asked = asked
        self.words = ("run", "prompts.txt", *words, *fleet.flags)
        self.killed_at: list[float] = []
        self.told: dict[int, str] = {}
        write_prompts(folder, asked)

    def run_and_kill(self, after_s: float) -> bool:
        """Start, kill after so many seconds, look at the journal; False if it had ended by itself before."""
        with started(self.folder, *self.words) as running:
            try:
                assert running.process.wait(after_s) == 0, running.err
            except subprocess.TimeoutExpired:
                running.process.send_signal(signal.SIGKILL)
                self.killed_at.append(time.monotonic())
                assert running.end().code == -signal.SIGKILL
                self.look()
                return True
            return False

    def look(self) -> None:
        """What was kept before is there unchanged; each answer is its prompt's."""
        journal = self.folder / "results.json.journal"
        kept = {} if not journal.exists() else {one.position: one.attempt_name for one in stored_results(self.folder)}
        assert self.told.items() <= kept.items(), "a result that was kept is gone or was replaced"
        self.told = kept

    def finish(self) -> None:
        """The same command to its end; everything is checked."""
        done = arriero(self.folder, *self.words)
        assert done.code == 0, done.err
        self.look()
        assert_answered(read_results(self.folder), self.asked)
        assert_verified(self.folder)
        self.check_books()

    def check_books(self) -> None:
        """P15, P3: one completed entry a result; the other completed ones came too late to be kept by a killed process."""
        completed = self.fleet.requests("completed")
        marks = [entry.attempt for entry in completed]
        assert len(set(marks)) == len(marks), "an attempt was sent twice"
        results = {one.attempt_name: one for one in stored_results(self.folder)}
        assert len(results) == len(self.asked)
        assert results.keys() <= set(marks)
        unkept: Counter[str] = Counter()
        for entry in completed:
            if entry.attempt in results:
                assert results[entry.attempt].text == answer(self.asked[results[entry.attempt].position])
                continue
            assert entry.ended is not None
            late = min((at - entry.ended for at in self.killed_at if at >= entry.started), default=None)
            assert late is not None, f"{entry} belongs to no result and to no kill"
            assert late < UNKEPT_S, f"{entry} was answered {late:.2f} s before the kill and not kept"
            unkept[entry.attempt.partition("-")[0]] += 1
        with JournalReader(self.folder / "results.json.journal") as reader:
            sessions = {session.name: session.ended_wall_s for session in reader.sessions()}
        assert {mark.partition("-")[0] for mark in marks} <= {*sessions}
        assert all(sessions[name] is None for name in unkept), "an orderly end left an answer out"
        assert max(unkept.values(), default=0) <= UNKEPT_MOST, "a kill cost too many answers"


def scenario(folder: Path, kills: int, seed: int) -> int:
    """Kill a batch so often, at instants of chance over its whole life; how many struck while it ran."""
    chance = random.Random(seed)
    speed = Speed(decode_tokens_per_s=400.0)
    with fake_fleet(1, 2, 4, speed=speed) as fleet:
        batch = Killed(folder, fleet, prompts(100 * kills), "-c", str(AT_ONCE))
        struck = sum(batch.run_and_kill(chance.uniform(0.05, 1.1)) for _ in range(kills))
        assert len(batch.told) > 0
        fleet.calm()
        batch.finish()
    return struck


@pytest.mark.timeout(45)
def test_ten_kills_at_any_instant_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    assert scenario(tmp_path, kills=10, seed=4) >= 8


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_kills_at_any_instant_lose_nothing_and_double_nothing(tmp_path: Path, seed: int) -> None:
    assert scenario(tmp_path, kills=34, seed=seed) >= 30


@pytest.mark.timeout(20)
def test_a_kill_while_the_output_is_written_leaves_the_old_name_free_or_whole(tmp_path: Path) -> None:
    """Three thousand results take some hundredths of a second to write; the partial file tells when that begins."""
    asked = write_prompts(tmp_path, 3000)
    with fake_fleet(8) as fleet:
        words = ("run", "prompts.txt", "-c", "32", *fleet.flags)
        with started(tmp_path, *words) as running:
            wait_committed(tmp_path, len(asked), running)
            wait_partial(tmp_path, running.process)
            running.end(signal.SIGKILL)
        output = tmp_path / "results.json"
        whole = json.loads(output.read_text()) if output.exists() else None
        again = arriero(tmp_path, *words)

    assert whole is None or len(whole) == len(asked)
    assert again.code == 0, again.err
    assert "nothing to do" in again.err
    assert_answered(read_results(tmp_path), asked)
    assert len(fleet.requests()) == len(asked)
    assert_verified(tmp_path)


def wait_partial(folder: Path, process: subprocess.Popen[str]) -> None:
    while process.poll() is None and not (folder / "results.json.partial").exists():
        pass


@pytest.mark.timeout(20)
def test_a_resume_redoes_only_what_ran(tmp_path: Path) -> None:
    asked = write_prompts(tmp_path, 60)
    with fake_fleet(2, speed=Speed(decode_tokens_per_s=200.0)) as fleet:
        words = ("run", "prompts.txt", "-c", "6", *fleet.flags)
        with started(tmp_path, *words) as running:
            wait_committed(tmp_path, 10, running)
            running.end(signal.SIGKILL)
        kept = {one.position for one in stored_results(tmp_path)}
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        first = len(fleet.requests())
        fleet.calm()
        again = arriero(tmp_path, *words)

    assert again.code == 0, again.err
    assert f"{len(kept)} ended before" in again.err
    assert len(fleet.requests()) - first == len(asked) - len(kept)
    assert first - len(kept) <= 6 + 2, "redone: what was in flight, and answers of the group that was being committed"
    assert_answered(read_results(tmp_path), asked)


@pytest.mark.timeout(20)
def test_after_a_kill_what_an_ejection_refunded_is_not_counted_again(tmp_path: Path) -> None:
    """Four answers of the bad server are charged, the fifth ejects it: none of the five counts."""
    asked = write_prompts(tmp_path, 60)
    bad = {"faults": [Fault("html", contains="number", times=5)]}
    with fake_fleet(2, 2, each=(bad, {}), speed=Speed(decode_tokens_per_s=200.0)) as fleet:
        words = ("run", "prompts.txt", "-c", "4", "--retries", "1", *fleet.flags)
        with started(tmp_path, *words) as running:
            running.until_said("ejected")
            wait_committed(tmp_path, len(fleet.requests("completed")) + 3, running)
            running.end(signal.SIGKILL)
        with JournalReader(tmp_path / "results.json.journal") as reader:
            failed = [one for one in reader.attempts() if one.purpose == "request"]
        fleet.calm()
        again = arriero(tmp_path, *words)

    assert [(one.kind, one.charged) for one in failed] == [("bad_reply", False)] * 5
    assert again.code == 0, again.err
    assert_answered(read_results(tmp_path), asked)
    assert_verified(tmp_path)


@pytest.mark.timeout(30)
def test_verify_finds_nothing_wrong_with_a_batch_that_runs_and_with_one_that_was_killed(tmp_path: Path) -> None:
    write_prompts(tmp_path, 60)
    with fake_fleet(2, speed=Speed(decode_tokens_per_s=150.0)) as fleet:
        words = ("run", "prompts.txt", "-c", "4", *fleet.flags)
        with started(tmp_path, *words) as running:
            wait_committed(tmp_path, 5, running)
            while_it_runs = arriero(tmp_path, "verify", "results.json")
            assert running.process.poll() is None
            running.process.send_signal(signal.SIGKILL)
            running.end()
        killed = arriero(tmp_path, "verify", "results.json")
        told = arriero(tmp_path, "status", "results.json").out
        as_json = arriero(tmp_path, "verify", "results.json", "--json").json
        fleet.calm()
        assert arriero(tmp_path, *words).code == 0
        ended = arriero(tmp_path, "verify", "results.json")
        (tmp_path / "results.json").unlink()
        lost = arriero(tmp_path, "verify", "results.json")

    assert [one.code for one in (while_it_runs, killed, ended, lost)] == [0, 0, 0, 7]
    unwritten = "not written yet: it is written when the batch ends"
    last = {one.out: one.out.splitlines()[-1] for one in (while_it_runs, killed)}
    assert last[while_it_runs.out].split(maxsplit=3) == ["note", "P5", "output", unwritten]
    assert last[killed.out].split(maxsplit=3) == ["note", "P5", "output", f"{unwritten}; run the same command again"]
    assert "answered rows are in prompts.txt, unchanged" in while_it_runs.out
    assert "ETA" not in told
    assert as_json["ok"] is True
    assert as_json["promises"][-1]["ok"] is None
