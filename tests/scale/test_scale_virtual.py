"""P7 over simulated servers: the real command line, journal, scan, feed and export; memory and files do not grow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from watching import (
    HERE,
    MIB,
    Course,
    committed,
    environment,
    fleet,
    read_first,
    virtual,
    watched,
    write_prompts,
)

ABOVE_EMPTY_BYTES = 150 * MIB
RESUME_PASSES = 6.0
"""A resume may take so many times the CPU of one bare pass over what it skips, before it sends: a ratio, because seconds
are those of one machine."""

QUEUE_RECORDS = 2000
GROUP_RESULTS = 500

LONG = [pytest.mark.slow, pytest.mark.timeout(5400)]
MILLION = pytest.mark.parametrize(
    ("rows", "patience_s"),
    [
        pytest.param(100_000, 280.0, marks=pytest.mark.timeout(600), id="100000"),
        pytest.param(1_000_000, 2600.0, marks=LONG, id="1000000"),
    ],
)
TENTH = pytest.mark.parametrize(
    ("rows", "patience_s"),
    [
        pytest.param(10_000, 55.0, id="10000"),
        pytest.param(100_000, 800.0, marks=LONG, id="100000"),
    ],
)


def carry(
    folder: Path, rows: int, patience_s: float, *words: str, name: str = "results.jsonl", **how: object
) -> Course:
    """Run a batch of so many prompts over four simulated servers."""
    prompts = folder / f"prompts-{rows}.txt"
    if not prompts.exists():
        write_prompts(prompts, rows)
    how = {"instances": 4, "done": committed(folder / f"{name}.journal"), **how}
    command = virtual(folder / "first", "run", prompts.name, "-o", name, *fleet(how.pop("instances")), *words)
    return watched(command, folder, patience_s=patience_s, **how)


def empty(folder: Path) -> Course:
    """A run that does nothing but one row: what the program itself weighs."""
    course = carry(folder, 1, 55.0, name="empty.jsonl")
    assert course.code == 0, course.err
    return course


@MILLION
def test_memory_and_files_stay_flat_over_a_batch_that_is_killed_and_resumed(
    tmp_path: Path, rows: int, patience_s: float
):
    base = empty(tmp_path)
    base_first = read_first(tmp_path / "first")
    half = rows // 2
    killed = carry(tmp_path, rows, patience_s, kill_at=half)
    assert killed.code == -9, killed.err
    killed.assert_flat(half)
    finished = committed(tmp_path / "results.jsonl.journal")()
    assert finished >= half
    skipped = pass_cpu_s(tmp_path, rows)

    resumed = carry(tmp_path, rows, patience_s)

    assert resumed.code == 0, resumed.err
    resumed.assert_flat(rows, begin=finished)
    for course in (killed, resumed):
        assert course.most_bytes - base.most_bytes <= ABOVE_EMPTY_BYTES, f"{course.said()}; empty: {base.said()}"
    first = read_first(tmp_path / "first")
    resume_cpu_s = first["cpu_s"] - base_first["cpu_s"]
    told = f"first request of the resume after {resume_cpu_s:.2f} CPU s, a bare pass over {finished} rows {skipped:.2f}"
    print(f"\nempty {base.said()}\nkilled {killed.said()}\nresumed {resumed.said()}\n{told}")  # noqa: T201
    assert resume_cpu_s <= RESUME_PASSES * skipped, told
    assert rows_written(tmp_path / "results.jsonl") == rows


def pass_cpu_s(folder: Path, rows: int) -> float:
    """CPU seconds of one pass over the finished rows of input and journal, and nothing else."""
    command = [sys.executable, str(HERE / "pass_run.py"), f"prompts-{rows}.txt", "results.jsonl.journal"]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=True, timeout=600
    )
    return float(done.stdout)


def rows_written(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


@TENTH
def test_a_thousand_instances_do_not_make_it_grow(tmp_path: Path, rows: int, patience_s: float):
    course = carry(tmp_path, rows, patience_s, "-c", "512", instances=1000)
    assert course.code == 0, course.err
    course.assert_flat(rows)
    assert course.most_bytes - empty(tmp_path).most_bytes <= ABOVE_EMPTY_BYTES, course.said()
    assert rows_written(tmp_path / "results.jsonl") == rows


@TENTH
def test_an_output_that_is_followed_stays_flat(tmp_path: Path, rows: int, patience_s: float):
    course = carry(tmp_path, rows, patience_s, "--unordered")
    assert course.code == 0, course.err
    course.assert_flat(rows)
    assert rows_written(tmp_path / "results.jsonl") == rows


@TENTH
def test_an_output_in_two_files_of_batch_lines_stays_flat(tmp_path: Path, rows: int, patience_s: float):
    course = carry(tmp_path, rows, patience_s, "--format", "openai")
    assert course.code == 0, course.err
    course.assert_flat(rows)
    assert rows_written(tmp_path / "results.jsonl") == rows


@TENTH
def test_standard_output_stays_flat(tmp_path: Path, rows: int, patience_s: float):
    journal = committed(tmp_path / "kept.journal")
    with (tmp_path / "out").open("wb") as out:
        words = ("--format", "jsonl", "--journal", "kept.journal")
        course = carry(tmp_path, rows, patience_s, *words, name="-", out=out, done=journal)
    assert course.code == 0, course.err
    course.assert_flat(rows)
    assert rows_written(tmp_path / "out") == rows


def test_a_disk_that_hangs_stops_the_sending_instead_of_filling_memory(tmp_path: Path):
    rows = 12_000
    write_prompts(tmp_path / "prompts.txt", rows)
    words = ("run", "prompts.txt", "-o", "results.jsonl", *fleet(4), "-c", "64")
    command = [sys.executable, str(HERE / "hung_disk_run.py"), "first", "stall", *words]
    course = watched(command, tmp_path, committed(tmp_path / "results.jsonl.journal"), patience_s=55.0)
    assert course.code == 0, course.err
    stall = json.loads((tmp_path / "stall").read_text())
    sent = stall["after"] - stall["before"]
    most = QUEUE_RECORDS + GROUP_RESULTS + 2 * 64
    assert sent <= most, f"{sent} requests were sent while nothing could be kept, at most {most} may wait for the disk"
    assert rows_written(tmp_path / "results.jsonl") == rows
