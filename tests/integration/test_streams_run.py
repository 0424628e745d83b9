"""A full pipe, a closed terminal, a reader that has left: none of them costs a result or stops a batch for ever."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from fake_ollama import Speed, answer
from running import (
    COMMAND,
    arriero,
    assert_answered,
    assert_verified,
    environment,
    fake_fleet,
    prompts,
    read_results,
    stored_results,
    write_prompts,
)

pytestmark = pytest.mark.timeout(40)

ASKED = prompts(40)
SLOW = Speed(decode_tokens_per_s=100.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path, ASKED)
    return tmp_path


def test_a_standard_error_that_nobody_reads_any_more_does_not_stop_the_batch(folder: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with fake_fleet(4) as fleet:
        ended = subprocess.run(
            [*COMMAND, "run", "prompts.txt", *fleet.flags],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stderr=write_end,
            timeout=15,
            check=False,
        )
    os.close(write_end)

    assert ended.returncode == 0
    assert_answered(read_results(folder), ASKED)


def full_pipe() -> tuple[int, int]:
    """A pipe that takes nothing more."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write_end, b"x" * 4096)
    os.set_blocking(write_end, True)
    return read_end, write_end


def test_a_standard_error_that_is_full_and_never_read_stops_neither_the_batch_nor_a_signal(folder: Path) -> None:
    """The first run ends by itself; the second one, unheard as it is, drains when it is told to."""
    read_end, write_end = full_pipe()
    with fake_fleet(4) as fleet:
        words = [*COMMAND, "run", "prompts.txt", *fleet.flags]
        settings = {"cwd": folder, "env": environment(folder), "stdin": subprocess.DEVNULL, "stderr": write_end}
        assert subprocess.run(words, timeout=15, check=False, **settings).returncode == 0
        assert_answered(read_results(folder), ASKED)
        done = len(fleet.requests())
        for server in fleet.servers:
            server.speed = SLOW
        second = subprocess.Popen([*words, "-o", "second.json"], **settings)
        try:
            fleet.until_completed(done + 3)
            second.send_signal(signal.SIGTERM)
            assert second.wait(15) == 143
        finally:
            second.kill()
            second.wait()
        fleet.calm()
        resumed = arriero(folder, "resume", "second.json")
    os.close(read_end)
    os.close(write_end)

    assert resumed.code == 0, resumed.err
    assert_answered(read_results(folder, "second.json"), ASKED)
    assert_verified(folder, "second.json")


def test_a_terminal_that_is_closed_drains_the_batch_as_sighup_does(folder: Path) -> None:
    """A terminal of its own: when its other side is closed, the system sends SIGHUP and every write fails."""
    words = ["run", "prompts.txt", "-c", "4"]
    with fake_fleet(2, speed=SLOW) as fleet:
        pid, master = pty.fork()
        if not pid:
            os.chdir(folder)
            os.execve(sys.executable, [*COMMAND, *words, *fleet.flags], environment(folder))  # noqa: S606
        try:
            fleet.until_completed(3)
        finally:
            os.close(master)
            _, status = os.waitpid(pid, 0)
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        kept = len(stored_results(folder))
        completed = len(fleet.requests("completed"))
        fleet.calm()
        resumed = arriero(folder, *words, *fleet.flags)

    assert os.waitstatus_to_exitcode(status) == 129
    assert 3 <= kept == completed < len(ASKED), "what ran was let end, and kept"
    assert resumed.code == 0, resumed.err
    assert len(fleet.requests("completed")) == len(ASKED), "none was answered twice"
    assert_answered(read_results(folder), ASKED)
    assert_verified(folder)


def test_a_reader_of_standard_output_that_leaves_costs_nothing_that_is_kept(folder: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with fake_fleet(4) as fleet:
        words = ["run", "prompts.txt", "-o", "-", *fleet.flags]
        gone = subprocess.run(
            [*COMMAND, *words],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=subprocess.PIPE,
            timeout=15,
            check=False,
        )
        os.close(write_end)
        again = arriero(folder, *words)

    assert gone.returncode == 141
    assert b"Traceback" not in gone.stderr
    assert again.code == 0, again.err
    assert [line["response"] for line in again.lines] == [answer(prompt) for prompt in ASKED]
    assert len(fleet.requests()) == len(ASKED), "nothing was asked for again"
