"""kill -9 of the real command at seeded instants, then the same command again: the journal against the servers' own record."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from books import assert_no_hole, assert_promises
from fake_ollama import Fault, Speed, answer
from running import (
    PATIENCE_S,
    Fleet,
    Running,
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

from arriero.errors import StorageError
from arriero.journal.reader import JournalReader
from arriero.journal.stored import StoredResult

AT_ONCE = 20
ANSWERS_A_KILL = 120
"""Prompts a kill: more than are answered until it strikes."""

FIRST_S = 0.6
"""Within this a process imports, makes its journal, scans, asks the fleet what it is and begins to send."""

SLOWEST_PER_S = 50
"""Answers a second on a machine with other work; an idle one has thousands."""

SOON_S = 0.02
"""About as long as a commit takes on a busy machine."""


@dataclass(frozen=True)
class Form:
    """What is read and written.

    Attributes:
        words: The command, without the fleet.
        output: Its output.
        piped: The prompts are its standard input.
    """

    words: tuple[str, ...] = ("run", "prompts.txt")
    output: str = "results.json"
    piped: bool = False


FORMS = {
    "json": Form(),
    "unordered": Form(("run", "prompts.txt", "--unordered", "-o", "results.jsonl"), "results.jsonl"),
    "openai": Form(("run", "prompts.txt", "--format", "openai", "-o", "results.jsonl"), "results.jsonl"),
    "stdin": Form(("run", "-", "-o", "results.json"), piped=True),
}


class Killed:
    """A batch that is killed again and again, and what its servers and its journal then say."""

    def __init__(self, folder: Path, fleet: Fleet, asked: list[str], form: Form) -> None:
        self.folder = folder
        self.fleet = fleet
        self.asked = asked
        self.form = form
        self.words = (*form.words, "-c", str(AT_ONCE), *fleet.flags)
        self.told: dict[int, str] = {}
        write_prompts(folder, asked)

    @contextmanager
    def begun(self) -> Iterator[Running]:
        """The command under way."""
        with ExitStack() as stack:
            stdin = stack.enter_context((self.folder / ("prompts.txt" if self.form.piped else os.devnull)).open())
            yield stack.enter_context(started(self.folder, *self.words, stdin=stdin))

    def run_and_kill(self, chance: random.Random) -> None:
        """Start, kill at an instant of chance, look at the journal.

        One kill in three strikes in the first instants, by time; the others soon after so many more answers, however fast the
        machine is.
        """
        before = len(self.fleet.requests("completed"))
        with self.begun() as running:
            if chance.random() < 1 / 3:
                with suppress(subprocess.TimeoutExpired):
                    running.process.wait(chance.uniform(0.05, FIRST_S))
            else:
                self.fleet.until_completed(before + chance.randint(1, ANSWERS_A_KILL // 2))
                with suppress(subprocess.TimeoutExpired):
                    running.process.wait(chance.uniform(0.0, SOON_S))
            assert running.end(signal.SIGKILL).code == -signal.SIGKILL, running.err
        self.look()

    def look(self) -> None:
        """What was kept or told before is there unchanged."""
        kept = {one.position: one.attempt_name for one in self.results()}
        assert self.told.items() <= kept.items(), "a result that was kept is gone or was replaced"
        followed = self.folder / f"{self.form.output}.partial"
        if "--unordered" in self.words and followed.exists():
            told = {json.loads(line)["prompt"] for line in followed.read_text().split("\n")[:-1]}
            assert told <= {self.asked[position] for position in kept}, "a result was told and is not kept"
        self.told = kept

    def results(self) -> list[StoredResult]:
        """What the journal holds; nothing if its maker was killed before anything was kept."""
        try:
            return stored_results(self.folder, f"{self.form.output}.journal")
        except StorageError:
            assert not self.told, "the journal cannot be read any more"
            return []

    def finish(self) -> None:
        """The same command to its end; everything is checked."""
        self.fleet.calm()
        with self.begun() as running:
            done = running.end(patience_s=PATIENCE_S + len(self.asked) / SLOWEST_PER_S)
        assert done.code == 0, done.err
        self.look()
        assert sorted(self.answers()) == sorted(map(answer, self.asked))
        assert_promises(self.folder, self.form.output)
        self.check_books()

    def answers(self) -> list[str]:
        """Every answer of the output."""
        records = read_results(self.folder, self.form.output)
        if "openai" in self.words:
            return [one["response"]["body"]["choices"][0]["message"]["content"] for one in records]
        return [one["response"] for one in records]

    def check_books(self) -> None:
        """P15, P3: one completed entry a result; what else was answered was in flight, or uncommitted, at a kill."""
        completed = self.fleet.requests("completed")
        marks = [entry.attempt for entry in completed]
        assert len(set(marks)) == len(marks), "an attempt was sent twice"
        results = {one.attempt_name: one for one in self.results()}
        assert len(results) == len(self.asked)
        assert results.keys() <= set(marks), "a result that no server gave"
        for one in results.values():
            assert one.text == answer(self.asked[one.position])
        assert_no_hole(marks, results, AT_ONCE)
        with JournalReader(self.folder / f"{self.form.output}.journal") as reader:
            sessions = {session.name: session.ended_wall_s for session in reader.sessions()}
        assert {mark.partition("-")[0] for mark in marks} <= {*sessions}
        unkept = {mark.partition("-")[0] for mark in marks if mark not in results}
        assert all(sessions[name] is None for name in unkept), "an orderly end left an answer out"


def scenario(folder: Path, name: str, kills: int, seed: int) -> None:
    """Kill a batch so often, at instants of chance over its whole life, then let it end."""
    chance = random.Random(f"{name} {seed}")
    folder.mkdir()
    with fake_fleet(1, 2, 4, speed=Speed(decode_tokens_per_s=400.0)) as fleet:
        batch = Killed(folder, fleet, prompts(ANSWERS_A_KILL * kills), FORMS[name])
        for _ in range(kills):
            batch.run_and_kill(chance)
        assert batch.told, "every kill struck before anything was kept"
        batch.finish()


def side_by_side(folder: Path, kills: int, seed: int) -> None:
    """A batch of each form, killed beside the others."""
    with ThreadPoolExecutor(len(FORMS)) as pool:
        list(pool.map(lambda name: scenario(folder / name, name, kills, seed), FORMS))


@pytest.mark.timeout(60)
def test_thirty_kills_at_any_instant_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    side_by_side(tmp_path, kills=8, seed=4)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_kills_at_any_instant_lose_nothing_and_double_nothing(tmp_path: Path, seed: int) -> None:
    side_by_side(tmp_path, kills=25, seed=seed)


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


@pytest.mark.timeout(40)
def test_an_answer_waits_for_no_other_to_be_kept_and_a_resume_redoes_exactly_what_was_in_flight(tmp_path: Path) -> None:
    """Ten answers come, then none: a journal that waited for a group would keep none of them."""
    asked = write_prompts(tmp_path, 60)
    silent = Fault("hang", at=tuple(range(10, len(asked))))
    with fake_fleet(2, faults=[silent]) as fleet:
        words = ("run", "prompts.txt", "-c", "6", *fleet.flags)
        with started(tmp_path, *words) as running:
            wait_committed(tmp_path, 10, running)
            fleet.until(lambda fleet: len(fleet.requests()) == 16)
            running.end(signal.SIGKILL)
        kept = {one.position for one in stored_results(tmp_path)}
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        fleet.calm()
        again = arriero(tmp_path, *words)

    assert again.code == 0, again.err
    assert len(kept) == 10
    assert "10 ended before" in again.err
    assert len(fleet.requests()) == len(asked) + 6, "redone: the six that were in flight"
    assert len(fleet.requests("completed")) == len(asked)
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
