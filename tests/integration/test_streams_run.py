"""A full pipe, a closed terminal, a reader that has left: none of them costs a result or stops a batch for ever."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fake_ollama import Speed, answer
from running import (
    COMMAND,
    PATIENCE_S,
    arriero,
    assert_answered,
    assert_verified,
    environment,
    fake_fleet,
    prompts,
    read_results,
    resume_words,
    stored_results,
    write_prompts,
)

pytestmark = pytest.mark.timeout(40)

ASKED = prompts(40)
SLOW = Speed(decode_tokens_per_s=100.0)
SMALL_BYTES = 4096
"""The smallest pipe there is on Linux."""

LINE_BYTES = 300
"""Less than a line of results has."""


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


@contextmanager
def writing_to(pipe: int, folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A command whose standard output is a pipe; gone when the block is left."""
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def small_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that holds less than the output of ``ASKED``."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, SMALL_BYTES)
    try:
        yield read_end, write_end
    finally:
        os.close(read_end)
        os.close(write_end)


def wait_full(read_end: int, process: subprocess.Popen[str]) -> None:
    """Wait until a small pipe has no room for another line."""
    until = time.monotonic() + PATIENCE_S
    while int.from_bytes(fcntl.ioctl(read_end, termios.FIONREAD, bytes(4)), sys.byteorder) < SMALL_BYTES - LINE_BYTES:
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"ended with {process.wait(0.02)}")
        assert time.monotonic() < until, "the output does not come"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str)
def test_a_standard_output_that_is_full_holds_no_signal_up_and_the_printed_command_goes_on(
    folder: Path, number: signal.Signals, code: int
) -> None:
    """The journal has every answer, and the resume prints all of them."""
    with fake_fleet(4) as fleet:
        words = ("run", "prompts.txt", "-o", "-", *fleet.flags)
        with small_pipe() as (read_end, write_end), writing_to(write_end, folder, *words) as process:
            wait_full(read_end, process)
            process.send_signal(number)
            _, said = process.communicate(timeout=10)
        kept = len(stored_results(folder, "stdout.journal"))
        resumed = arriero(folder, *resume_words(said))

    assert process.returncode == code, said
    assert "Traceback" not in said
    assert kept == len(ASKED)
    assert resumed.code == 0, resumed.err
    assert [line["response"] for line in resumed.lines] == [answer(prompt) for prompt in ASKED]
    assert len(fleet.requests()) == len(ASKED), "nothing was asked for again"


def test_a_signal_lets_a_reader_that_reads_have_the_whole_output(folder: Path) -> None:
    """The pipe is full when the signal comes, and read from then on."""
    with fake_fleet(4) as fleet:
        words = ("run", "prompts.txt", "-o", "-", *fleet.flags)
        with small_pipe() as (read_end, write_end), writing_to(write_end, folder, *words) as process:
            wait_full(read_end, process)
            process.send_signal(signal.SIGTERM)
            read = b""
            while len(lines := read.splitlines()) < len(ASKED) or not read.endswith(b"\n"):
                read += os.read(read_end, SMALL_BYTES)
            _, said = process.communicate(timeout=10)

    assert process.returncode == 0, said
    assert [json.loads(line)["response"] for line in lines] == [answer(prompt) for prompt in ASKED]
    assert not (folder / "stdout.journal").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)], ids=str)
def test_results_that_nobody_reads_hold_no_signal_up(folder: Path, number: signal.Signals, code: int) -> None:
    with fake_fleet(4) as fleet:
        assert arriero(folder, "run", "prompts.txt", *fleet.flags).code == 0
    with (
        small_pipe() as (read_end, write_end),
        writing_to(write_end, folder, "results", "results.json") as process,
    ):
        wait_full(read_end, process)
        process.send_signal(number)
        _, said = process.communicate(timeout=10)

    assert process.returncode == code, said
    assert "Traceback" not in said
    assert_verified(folder)


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
