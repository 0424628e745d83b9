"""Who may write a journal: not who lacks the right, not two at once (P9), and nobody one that was taken away."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from pathlib import Path

import pytest
from dying import Mortals
from fake_ollama import Speed
from half_batch import JOURNAL, NO_PLACE, OUTPUT, ROWS, assert_says, content, run_words
from running import (
    COMMAND,
    PATIENCE_S,
    Ended,
    Fleet,
    environment,
    fake_fleet,
    read_results,
    started,
    wait_committed,
    write_prompts,
)


def unprivileged() -> list[str]:
    """What lets a command meet permissions: nothing for a user, for root a process without the right to pass them."""
    if os.geteuid():
        return []
    lost = "-dac_override,-dac_read_search"
    prefix = ["setpriv", f"--bounding-set={lost}", f"--inh-caps={lost}", "--"]
    if not shutil.which("setpriv") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: permissions; root passes them all and has no setpriv: run the tests as a user")
    return prefix


def as_user(folder: Path, *words: str) -> Ended:
    done = subprocess.run(
        [*unprivileged(), *COMMAND, *words],
        cwd=folder,
        env=environment(folder.parent),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("file", (7, "results.json.journal may not be written", "ls -l")),
        ("folder", (2, "the folder . cannot be written", "another -o")),
        ("another folder", (7, "shut/j.lock: Permission denied", NO_PLACE)),
    ],
)
def test_what_may_not_be_written_is_read_and_a_run_says_so_and_sends_nothing(
    folder: Path, commands: Mortals, fleet: Fleet, what: str, said: tuple[int, str, str]
) -> None:
    whole = commands.run(folder, "results", OUTPUT).out
    shut, journal = folder, ()
    if what == "file":
        shut = folder / JOURNAL
    elif what == "another folder":
        shut = folder / "shut"
        shut.mkdir()
        (folder / JOURNAL).rename(shut / "j")
        journal = ("--journal", "shut/j")
    before, sent = content(folder), len(fleet.entries)
    shut.chmod(0o500)
    try:
        read = as_user(folder, "results", OUTPUT, *journal)
        ran = as_user(folder, *run_words(fleet), *journal)
    finally:
        shut.chmod(0o700)

    assert (read.code, read.out) == (0, whole), read.err
    assert_says(ran, *said, "run")
    assert content(folder) == before, "a run that was refused changed something"
    assert len(fleet.entries) == sent, "a run that was refused asked the fleet"
    assert commands.run(folder, *run_words(fleet), *journal).code == 3, "what was shut is lost"


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_a_journal_that_is_taken_away_stops_the_batch_that_writes_it(
    half: Path, tmp_path: Path, replaced: bool
) -> None:
    write_prompts(tmp_path, ROWS)
    other = (half / JOURNAL).read_bytes()
    with fake_fleet(1, speed=Speed(decode_tokens_per_s=200.0)) as fleet:
        with started(tmp_path, "run", "prompts.txt", "-m", "mistral:7b", "-c", "1", *fleet.flags) as running:
            wait_committed(tmp_path, 2, running)
            (tmp_path / JOURNAL).rename(tmp_path / "taken")
            if replaced:
                (tmp_path / JOURNAL).write_bytes(other)
            ended = running.end()
        sent = len(fleet.requests())

    assert_says(ended, 7, "was deleted or replaced while it was written", "", "run")
    assert sent < ROWS, "the batch went on without its journal"
    assert not (tmp_path / OUTPUT).exists()
    assert (tmp_path / JOURNAL).exists() == replaced
    assert not replaced or (tmp_path / JOURNAL).read_bytes() == other, "the batch wrote into another's journal"


def test_of_two_that_start_at_once_one_has_the_journal_and_the_other_is_told_who(tmp_path: Path) -> None:
    asked = write_prompts(tmp_path, ROWS)
    with fake_fleet(2, speed=Speed(decode_tokens_per_s=100.0)) as fleet:
        words = run_words(fleet)
        with started(tmp_path, *words) as one, started(tmp_path, *words) as other:
            first_out = wait_for_either(one.process, other.process)
            refused, owner = (one, other) if first_out == one.process.pid else (other, one)
            told = refused.end()
            assert told.code == 6, f"two processes had one journal: {told.err}"
            fleet.calm()
            ended = owner.end()
        sent = len(fleet.requests())

    assert f"process {owner.process.pid} on {os.uname().nodename}" in told.err
    assert ended.code == 0, ended.err
    assert sent == len(asked), "a row was sent twice"
    assert [record["prompt"] for record in read_results(tmp_path)] == asked


def wait_for_either(*processes: subprocess.Popen[str]) -> int:
    """The process that ends first; it is not reaped."""
    handles = {os.pidfd_open(process.pid): process.pid for process in processes}
    try:
        ready, _, _ = select.select(list(handles), [], [], PATIENCE_S)
        assert ready, "neither process ended"
        return handles[ready[0]]
    finally:
        for handle in handles:
            os.close(handle)
