"""A process that writes is killed at random instants; what it told is there, and nothing is there twice.

Run as a script, this file is that process: it records rows and prints each position once its commit is told.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from arriero.core.events import AttemptFailed
from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.request import Attempt, Content, Request, Result, Timeouts, Unit
from arriero.errors import HeldError
from arriero.journal.check import check
from arriero.journal.journal import Journal
from arriero.journal.lock import holder
from arriero.journal.reader import JournalReader
from arriero.journal.rounds import retry

KILLS = 4
BINDING = {"model": "m"}
UNIT = Unit("m")


def result_of(position, round_, session):
    """Every ninth row fails in round 0; the text names the session, so that a row written twice would show."""
    asked = Request(
        batch=1,
        position=position,
        line=position + 1,
        id=str(position),
        content=Content(),
        unit=UNIT,
        row_hash=b"h",
        round=round_,
    )
    if position % 9 == 0 and round_ == 0:
        return Result(request=asked, outcome=Failure(kind=FailureKind.REJECTED), attempts=1)
    text = json.dumps([position, session]) + "x" * (position % 3000)
    outcome = Success(text=text, finish_reason="stop", usage=Usage(1, 2), timing=Timing(1.0))
    return Result(request=asked, outcome=outcome, instance="one", attempt=position + 1, attempts=1)


def attempt_of(position, round_):
    asked = result_of(position, round_, "").request
    attempt = Attempt(id=1_000_000 + position, instance="one", request=asked, unit=UNIT, timeouts=Timeouts(1, 1, 1))
    return AttemptFailed(attempt=attempt, kind=FailureKind.TIMEOUT, detail="", charged=True, retry_in_s=1.0, at=0.0)


def write(path, rows):
    """Record the rows that have not ended, in groups of chance, as fast as there is room."""
    chance = random.Random(os.getpid())
    with Journal.open(path, binding=BINDING, command="test", settings=b"{}") as journal:
        journal.on_commit = lambda kept, _: os.write(1, "".join(f"{r.request.position}\n" for r in kept).encode())
        os.write(1, b"open\n")
        left = [p for p in range(rows) if p not in journal.done]
        while left:
            if journal.room():
                group, left = left[: (size := chance.randint(1, 60))], left[size:]
                notices = [attempt_of(p, journal.round) for p in group if p % 10 == 0]
                journal.record([result_of(p, journal.round, journal.session) for p in group], notices)


def start(path, rows):
    command = [sys.executable, __file__, str(path), str(rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def told_before_kill(process, acknowledgements):
    """Kill the process once it has told of so many rows; all that it told, complete lines only."""
    lines = [process.stdout.readline() for _ in range(acknowledgements + 1)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    process.wait()
    return [int(line) for line in lines if line.endswith(b"\n") and line != b"open\n"]


@pytest.mark.timeout(60)
def test_nothing_told_is_lost_however_often_the_writer_is_killed(tmp_path):
    path = tmp_path / "j"
    chance = random.Random(11)
    told = set()
    for _ in range(KILLS):
        fresh = told_before_kill(start(path, 1_000_000), chance.randint(1, 1500))
        assert not told & set(fresh), "a row that was told ended again"
        told |= set(fresh)
        with JournalReader(path) as reader:
            stored = {r.position: r for r in reader.results()}
            known = {session.name for session in reader.sessions()}
            assert [one for one in check(reader) if not one.ok] == []
        assert told <= set(stored)
        for position, result in stored.items():
            assert result.succeeded == (position % 9 != 0)
            assert not result.succeeded or json.loads(result.text.rstrip("x")) == [position, result.session]
            assert result.session in known
        assert holder(path) is None

    with JournalReader(path) as reader:
        assert [session.ended_wall_s for session in reader.sessions()] == [None] * KILLS


@pytest.mark.timeout(60)
def test_a_killed_batch_ends_complete_and_its_retry_too(tmp_path):
    path, rows = tmp_path / "j", 3000
    told_before_kill(start(path, rows), 500)
    write_to_the_end(path, rows)
    assert retry(path) == len(range(0, rows, 9))
    told_before_kill(start(path, rows), 50)
    write_to_the_end(path, rows)

    with JournalReader(path) as reader:
        results = list(reader.results())
        assert [r.position for r in results] == list(range(rows))
        assert {r.round for r in results} == {0, 1}
        assert all(r.succeeded for r in results)
        assert [r.position for r in reader.history()] == list(range(0, rows, 9))
        assert [one for one in check(reader) if not one.ok] == []
    assert [p.name for p in tmp_path.iterdir()] == ["j"]


@pytest.mark.timeout(30)
def test_a_second_process_is_refused_while_the_first_lives_and_let_in_when_it_is_dead(tmp_path):
    path = tmp_path / "j"
    process = start(path, 1_000_000)
    assert process.stdout.readline() == b"open\n"
    with pytest.raises(HeldError, match=f"process {process.pid} on {os.uname().nodename}"):
        Journal.open(path, binding=BINDING, command="", settings=b"{}")
    with pytest.raises(HeldError):
        retry(path)
    assert holder(path).pid == process.pid

    told_before_kill(process, 1)
    Journal.open(path, binding=BINDING, command="", settings=b"{}").close()


def write_to_the_end(path, rows):
    process = start(path, rows)
    process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
