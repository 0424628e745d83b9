"""P7 over real sockets, against a server that answers at once: the command line, ``arriero.map``, and large rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from watching import (
    FLAT_FILES,
    HERE,
    MIB,
    Course,
    Look,
    committed,
    environment,
    instant_server,
    watched,
    write_prompts,
)

IN_FLIGHT = 64
ABOVE_EMPTY_BYTES = 150 * MIB
LINE_BYTES_MAX = 16 * MIB

READ_AHEAD = 2000
"""Items that ``map`` may have asked for beyond its answers: its window, what flies, and the answers that wait for an
earlier one or for the reader (250 + 64 + 500 + 2 x 250), with what one turn adds."""

LONG = [pytest.mark.slow, pytest.mark.timeout(3600)]
TENTH = pytest.mark.parametrize(
    ("rows", "patience_s"),
    [pytest.param(10_000, 55.0, id="10000"), pytest.param(100_000, 1600.0, marks=LONG, id="100000")],
)


def carry(folder: Path, url: str, prompts: str, patience_s: float, in_flight: int = IN_FLIGHT) -> Course:
    words = ("run", prompts, "-o", "results.jsonl", "-m", "m:1b", "-c", str(in_flight), "-i", url, "--display", "none")
    journal = committed(folder / "results.jsonl.journal")
    return watched([sys.executable, "-m", "arriero", *words], folder, journal, patience_s=patience_s)


def results(folder: Path) -> int:
    with (folder / "results.jsonl").open("rb") as file:
        return sum(b'"status":"success"' in line for line in file)


@TENTH
def test_memory_and_files_stay_flat_over_sockets(tmp_path: Path, rows: int, patience_s: float):
    write_prompts(tmp_path / "prompts.txt", rows)
    with instant_server(tmp_path) as url:
        course = carry(tmp_path, url, "prompts.txt", patience_s)
    assert course.code == 0, course.err
    course.assert_flat(rows, files=IN_FLIGHT + FLAT_FILES)  # a connection is opened when it is first wanted
    assert max(look.files for look in course.looks) <= IN_FLIGHT + 40, course.said()
    assert results(tmp_path) == rows


@TENTH
@pytest.mark.parametrize("journal", [None, "answers.journal"], ids=["unkept", "journal"])
def test_memory_and_files_stay_flat_over_map(tmp_path: Path, rows: int, patience_s: float, journal: str | None):
    with instant_server(tmp_path) as url:
        command = [sys.executable, str(HERE / "map_run.py"), url, str(rows), *([journal] if journal else [])]
        for _ in range(2 if journal else 1):  # the second time it is answered from the journal
            done = subprocess.run(
                command,
                cwd=tmp_path,
                env=environment(tmp_path),
                capture_output=True,
                text=True,
                timeout=patience_s,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout)
            assert (told["done"], told["failed"]) == (rows, 0)
            assert told["ahead"] <= READ_AHEAD, f"the iterable was read {told['ahead']} items ahead of its answers"
            course = Course([Look(*look) for look in told["looks"]], 0, "", 0.0)
            course.assert_flat(rows, files=IN_FLIGHT + FLAT_FILES)


def test_one_prompt_of_16_mib_is_carried(tmp_path: Path):
    write_prompts(tmp_path / "prompts.txt", 1)
    with instant_server(tmp_path) as url:
        empty = carry(tmp_path, url, "prompts.txt", 55.0)
        for name in ("results.jsonl", "results.jsonl.journal"):
            (tmp_path / name).unlink()
        (tmp_path / "prompts.txt").write_text("w" * LINE_BYTES_MAX + "\n")
        course = carry(tmp_path, url, "prompts.txt", 55.0)
    assert course.code == 0, course.err
    assert results(tmp_path) == 1
    assert course.most_bytes - empty.most_bytes <= 12 * LINE_BYTES_MAX, f"{course.said()}; empty {empty.said()}"


@pytest.mark.parametrize(
    ("rows", "patience_s"),
    [pytest.param(410, 55.0, id="410"), pytest.param(4096, 1600.0, marks=LONG, id="4096")],
)
def test_rows_of_a_megabyte_are_held_by_the_window_of_16_mib(tmp_path: Path, rows: int, patience_s: float):
    write_prompts(tmp_path / "prompts.txt", 1)
    with instant_server(tmp_path) as url:
        empty = carry(tmp_path, url, "prompts.txt", 55.0, in_flight=8)
        for name in ("results.jsonl", "results.jsonl.journal"):
            (tmp_path / name).unlink()
        with (tmp_path / "large.txt").open("w") as file:
            file.writelines(f"{row:06} {'word ' * 200_000}\n" for row in range(rows))
        course = carry(tmp_path, url, "large.txt", patience_s, in_flight=8)
    assert course.code == 0, course.err
    assert results(tmp_path) == rows
    assert course.most_bytes - empty.most_bytes <= ABOVE_EMPTY_BYTES, f"{course.said()}; empty {empty.said()}"
    for name in ("large.txt", "results.jsonl"):
        (tmp_path / name).unlink()
