"""Outputs of the whole command: formats, the file that grows, standard output, and what is said when one is in the way."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from fake_ollama import Fault, Speed, answer
from running import (
    COMMAND,
    arriero,
    assert_answered,
    assert_verified,
    environment,
    fake_fleet,
    prompts,
    read_results,
    started,
    wait_committed,
    write_prompts,
)

pytestmark = pytest.mark.timeout(20)

ASKED = prompts(40)
SLOW = Speed(decode_tokens_per_s=200.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path, ASKED)
    return tmp_path


def test_an_unordered_output_grows_while_the_batch_runs_and_a_resume_goes_on_with_it(folder: Path) -> None:
    grown = folder / "out.jsonl.partial"
    with fake_fleet(2, speed=SLOW) as fleet:
        words = ("run", "prompts.txt", "-o", "out.jsonl", "--unordered", *fleet.flags)
        with started(folder, *words) as first:
            wait_committed(folder, 5, first, "out.jsonl.journal")
            fleet.until(lambda _: grown.exists() and grown.read_bytes().count(b"\n") >= 3)
            seen = [json.loads(line) for line in grown.read_bytes().split(b"\n")[:3]]
            first.end(signal.SIGKILL)
        again = arriero(folder, *words)

    assert all(record["response"] == answer(record["prompt"]) for record in seen)
    assert again.code == 0, again.err
    records = read_results(folder, "out.jsonl")
    assert_answered(sorted(records, key=lambda record: int(record["id"])), ASKED)
    assert not grown.exists()
    assert_verified(folder, "out.jsonl")


def test_standard_output_gets_the_results_and_nothing_else(folder: Path) -> None:
    with fake_fleet(4) as fleet:
        as_lines = arriero(folder, "run", "prompts.txt", "-o", "-", "--journal", "a.journal", *fleet.flags)
        words = ("run", "prompts.txt", "-o", "-", "--format", "json", "--journal", "b.journal")
        done = arriero(folder, *words, *fleet.flags)

    assert done.code == as_lines.code == 0, done.err
    assert_answered(done.json, ASKED)
    assert_answered(as_lines.lines, ASKED)
    assert "output     standard output" in done.err
    assert not (folder / "results.json").exists()


def test_the_summary_as_json_says_what_the_lines_say(folder: Path) -> None:
    with fake_fleet(4) as fleet:
        done = arriero(folder, "run", "prompts.txt", "--json", *fleet.flags)

    told = done.json
    assert (done.code, told["exit_code"]) == (0, 0)
    assert told["written"] == ["results.json"]
    assert told["snapshot"]["counts"] == {"total": 40, "succeeded": 40, "failed": 0, "running": 0, "waiting": 0}
    assert told["snapshot"]["attempts"] == {"success": 40}
    assert told["resume"] == []
    assert any(line.startswith("finished   40 requests") for line in done.err.splitlines())


def test_a_status_after_the_end_tells_the_same_as_the_summary(folder: Path) -> None:
    with fake_fleet(2, 2) as fleet:
        done = arriero(folder, "run", "prompts.txt", "--json", *fleet.flags).json["snapshot"]
        told = arriero(folder, "status", "--json").json

    assert told["state"] == done["state"] == "finished"
    assert told["counts"] == done["counts"]
    assert told["attempts"] == {"success": 40}
    assert sum(one["succeeded"] for one in told["instances"]) == 40
    assert told["usage"] == done["usage"]
    assert (told["p50_s"], told["p95_s"]) == (done["p50_s"], done["p95_s"])


def test_results_are_read_at_any_moment_also_those_of_a_batch_that_was_killed(folder: Path) -> None:
    with fake_fleet(2, speed=Speed(decode_tokens_per_s=30.0)) as fleet:
        with started(folder, "run", "prompts.txt", *fleet.flags) as running:
            wait_committed(folder, 5, running)
            live = arriero(folder, "results")
            during = arriero(folder, "status", "--json").json
            running.end(signal.SIGKILL)
        after = arriero(folder, "results", "--only", "succeeded")
        told = arriero(folder, "status", "--json").json

    assert live.code == after.code == 0
    assert 5 <= len(live.lines) <= len(after.lines) < len(ASKED)
    assert all(record["response"] == answer(record["prompt"]) for record in after.lines)
    assert during["state"] == "running"
    assert (told["state"], told["counts"]["running"]) == ("stopped", 0)
    assert told["counts"]["succeeded"] == len(after.lines)


def test_failures_are_records_too_and_a_retry_asks_only_them_again(folder: Path) -> None:
    refusal = Fault("status", contains="number 7.", status=400, text="invalid something")
    with fake_fleet(2, faults=[refusal]) as fleet:
        first = arriero(folder, "run", "prompts.txt", *fleet.flags)
        failed = read_results(folder)[7]
        errors = arriero(folder, "errors")
        fleet.servers[0].script.faults = []
        sent = len(fleet.requests())
        second = arriero(folder, "retry")

    assert (first.code, second.code) == (3, 0), first.err + second.err
    assert failed["status"] == "failed"
    assert failed["error"] == "rejected: invalid something"
    assert "response" not in failed
    assert "rejected  1" in errors.out
    assert "invalid something" in errors.out
    assert "invalid something" not in first.err
    assert "1 request waits again" in second.err
    assert len(fleet.requests()) == sent + 1
    assert_answered(read_results(folder), ASKED)
    assert_verified(folder)


def test_every_file_is_for_its_owner_only(folder: Path) -> None:
    old = os.umask(0)
    try:
        with fake_fleet(1, speed=SLOW) as fleet:
            words = ("run", "-", "-o", "out.jsonl", "--unordered", *fleet.flags)
            with (folder / "prompts.txt").open() as piped, started(folder, *words, stdin=piped) as running:
                wait_committed(folder, 3, running, "out.jsonl.journal")
                during = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("out*")}
                running.end(signal.SIGINT)
    finally:
        os.umask(old)

    assert {"out.jsonl.journal", "out.jsonl.journal-wal", "out.jsonl.partial", "out.jsonl.journal.input"} <= {*during}
    assert set(during.values()) == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("out*")} == {0o600}


def test_an_output_in_a_missing_folder_or_in_the_place_of_a_link_is_refused_before_sending(folder: Path) -> None:
    (folder / "link.json").symlink_to("elsewhere.json")
    with fake_fleet(1) as fleet:
        missing = arriero(folder, "run", "prompts.txt", "-o", "no/where.json", *fleet.flags)
        link = arriero(folder, "run", "prompts.txt", "-o", "link.json", *fleet.flags)

    assert (missing.code, link.code) == (2, 2)
    assert "mkdir -p no" in missing.err
    assert "symbolic link" in link.err
    assert not fleet.requests()


def test_a_reader_of_standard_output_that_leaves_ends_the_command_quietly(folder: Path) -> None:
    with fake_fleet(4) as fleet:
        arriero(folder, "run", "prompts.txt", *fleet.flags)
    read_end, write_end = os.pipe()
    os.close(read_end)

    ended = subprocess.run(
        [*COMMAND, "results"],
        cwd=folder,
        env=environment(folder),
        stdout=write_end,
        stderr=subprocess.PIPE,
        timeout=15,
        check=False,
    )

    os.close(write_end)
    assert ended.returncode == 141
    assert ended.stderr == b""


def test_a_pipe_leaves_nothing_behind_and_the_next_one_is_another_batch(folder: Path) -> None:
    with fake_fleet(4) as fleet:
        words = ("run", "-", "-o", "-", *fleet.flags)
        first = arriero(folder, *words, stdin="one\ntwo\n")
        second = arriero(folder, *words, stdin="three\n")

    assert (first.code, second.code) == (0, 0), second.err
    assert [record["prompt"] for record in second.lines] == ["three"]
    assert not list(folder.glob("stdout*"))


def test_an_interrupted_pipe_is_named_and_goes_on_and_another_one_is_told_what_is_in_its_way(folder: Path) -> None:
    piped = "".join(f"{prompt}\n" for prompt in ASKED)
    with fake_fleet(1, speed=SLOW) as fleet:
        words = ("run", "-", "-o", "-", *fleet.flags)
        with (folder / "prompts.txt").open() as lines, started(folder, *words, stdin=lines) as running:
            wait_committed(folder, 3, running, "stdout.journal")
            stopped = running.end(signal.SIGINT)
        told = [arriero(folder, command, "-") for command in ("status", "results", "errors")]
        fleet.calm()
        before = sorted(path.name for path in folder.glob("stdout*"))
        other = arriero(folder, *words, stdin="other\n")
        after = sorted(path.name for path in folder.glob("stdout*"))
        again = arriero(folder, *words, stdin=piped)

    assert stopped.code == 130
    assert "journal    stdout.journal keeps what has ended" in stopped.err
    assert "arriero resume -\n" in stopped.err
    assert [one.code for one in told] == [0, 0, 0], told
    assert other.code == 2
    assert "the journal stdout.journal holds the batch of other rows" in other.err
    assert "remove stdout.journal, or name another with --journal PATH" in other.err
    assert before == after
    assert again.code == 0, again.err
    assert_answered(again.lines, ASKED)
    assert not list(folder.glob("stdout*"))
