"""A disk that is full or fails: exit 7 with the next command, what was told is kept, and the same command goes on (P3)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_ollama import Model, Speed, answer
from hindered import Hindered, Hindrance, hindered
from running import (
    PATIENCE_S,
    Ended,
    Fleet,
    arriero,
    assert_verified,
    environment,
    fake_fleet,
    read_results,
    started,
    stored_results,
    wait_committed,
    write_prompts,
    write_rows,
)

ROWS = 60
TOKENS = 1000
"""Of an answer: about 5 KB, so that the answers together are more than any limit below, however they are committed."""

ROOM_BYTES = 260_000
"""A new journal takes 80 KB before its first row: some rows have room, all have not."""

NOTE = "n" * 100_000
"""Goes through to the output and into no journal; twelve of them are more than one write of the output."""

OUTPUT_BYTES = 700_000


def run_hindered(folder: Path, how: Hindrance, *words: str) -> Hindered:
    return hindered(folder, environment(folder), how, *words, timeout_s=PATIENCE_S)


def words_for(fleet: Fleet, *more: str, rows: str = "prompts.txt") -> tuple[str, ...]:
    return ("run", rows, "-m", "mistral:7b", "-c", "2", *more, *fleet.flags)


def long_answers() -> dict[str, object]:
    return {"models": [Model("mistral:7b", answer_tokens=TOKENS)]}


def assert_stopped(ended: Hindered | Ended, *words: str) -> None:
    """Exit 7, what and where, and the next command."""
    assert ended.code == 7, ended.err
    assert "Traceback" not in ended.err
    assert "same command again" in ended.err, "the next command is not said"
    for word in words:
        assert word in ended.err, ended.err


def told(folder: Path, ended: Hindered) -> set[int]:
    """Positions that the growing output had; the counts that a program was shown are no more than those."""
    paths = [path for path in folder.glob("results.jsonl*") if path.suffix in (".jsonl", ".partial")]
    lines = paths[0].read_text().splitlines()
    events = [json.loads(line) for line in ended.err.splitlines()]
    shown = [event["snapshot"]["counts"]["succeeded"] for event in events if event["event"] == "progress"]
    assert shown, "no progress was shown"
    assert max(shown) <= len(lines)
    return {int(json.loads(line)["id"]) - 1 for line in lines}


def kept(folder: Path, journal: str = "results.jsonl.journal") -> set[int]:
    return {one.position for one in stored_results(folder, journal)}


def assert_ended(folder: Path, again: Ended, asked: list[str], output: str = "results.jsonl") -> None:
    """The same command has ended the batch: every row once, with its own answer."""
    assert again.code == 0, again.err
    records = read_results(folder, output)
    found = {record["prompt"]: record["response"] for record in records}
    assert len(records) == len(asked), "a row is missing, or there twice"
    assert found == {prompt: answer(prompt, TOKENS) for prompt in asked}
    assert_verified(folder, output)


FOLLOWED = ("-o", "results.jsonl", "--unordered", "--display", "json")


def test_a_failed_sync_of_the_journal_stops_the_batch_tells_nothing_more_and_is_not_tried_again(
    tmp_path: Path,
) -> None:
    asked = write_prompts(tmp_path, ROWS)
    with fake_fleet(2, **long_answers()) as fleet:
        words = words_for(fleet, *FOLLOWED)
        failed = run_hindered(tmp_path, Hindrance(wal_bytes=ROOM_BYTES), *words)
        left, there = told(tmp_path, failed), kept(tmp_path)
        again = arriero(tmp_path, *words)

    assert failed.failed == 1, "no sync failed"
    assert left <= there, f"{len(left - there)} rows were told although the disk had failed, and are lost"
    assert failed.after == 0, "a failed sync was tried again, or the journal was written on"
    assert_stopped(failed, "The disk failed under the journal", "results.jsonl.journal")
    assert 0 < len(there) < ROWS
    assert f'"ended_before": {len(there)}' in again.err
    assert_ended(tmp_path, again, asked)


@pytest.mark.parametrize("name", ["results.json.partial", "disk"])
def test_a_failed_sync_of_the_output_is_said_not_tried_again_and_mended_by_the_same_command(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    asked = write_prompts(folder, 10)
    with fake_fleet(2, **long_answers()) as fleet:
        failed = run_hindered(folder, Hindrance(output=name), *words_for(fleet))
        named = (folder / "results.json").exists()
        again = arriero(folder, *words_for(fleet))
        sent = len(fleet.requests())

    assert failed.failed == 1, "no sync failed"
    assert failed.after == 0, "a failed sync was tried again"
    assert_stopped(failed, "results.json", "Input/output error", "every result is in the journal")
    assert named == (name == "disk"), "a file that is not on the disk has its final name"
    assert sent == len(asked)
    assert_ended(folder, again, asked, "results.json")


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A file system of its own, which only root may have."""
    disk = folder / "small"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: a small disk; run the tests as root, where tmpfs may be mounted, to have it")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def full_disk(kind: str, folder: Path, size_bytes: int) -> Iterator[tuple[str, Hindrance]]:
    """Where files find no more room than that, by a limit or really; there is room when the block is left."""
    if kind == "limit":
        yield "", Hindrance(file_bytes=size_bytes, low_water=False)
        return
    with small_disk(folder, size_bytes) as disk:
        yield f"{disk.name}/", Hindrance(low_water=False)


def make_room(disk: str, folder: Path) -> None:
    if disk:
        subprocess.run(["mount", "-o", "remount,size=128m", str(folder / disk)], check=True)


FULL = pytest.mark.parametrize("kind", ["limit", "disk"])


@FULL
def test_a_journal_that_cannot_grow_stops_the_batch_and_with_room_the_same_command_ends_it(
    tmp_path: Path, kind: str
) -> None:
    asked = write_prompts(tmp_path, ROWS)
    with fake_fleet(2, **long_answers()) as fleet, full_disk(kind, tmp_path, ROOM_BYTES) as (disk, how):
        journal = f"{disk}results.jsonl.journal"
        words = words_for(fleet, *FOLLOWED, "--journal", journal)
        full = run_hindered(tmp_path, how, *words)
        left, there = told(tmp_path, full), kept(tmp_path, journal)
        sent = len(fleet.requests("completed"))
        make_room(disk, tmp_path)
        again = arriero(tmp_path, *words)
        redone = len(fleet.requests("completed")) - ROWS

        assert_stopped(full, journal, "cannot grow", "what was counted is kept")
        assert left <= there, f"{len(left - there)} rows were told and are lost"
        assert 0 < len(there) < ROWS
        assert redone <= sent - len(there), "what was kept was sent again"
        assert f'"ended_before": {len(there)}' in again.err
        (tmp_path / "results.jsonl.journal").write_bytes((tmp_path / journal).read_bytes())
    assert_ended(tmp_path, again, asked)


@FULL
def test_an_output_that_cannot_grow_ends_with_a_whole_record_and_with_room_the_same_command_writes_it(
    tmp_path: Path, kind: str
) -> None:
    rows = [{"prompt": f"question {number}", "note": NOTE} for number in range(12)]
    write_rows(tmp_path, rows)
    with fake_fleet(2, **long_answers()) as fleet, full_disk(kind, tmp_path, OUTPUT_BYTES) as (disk, how):
        output = f"{disk}results.json"
        words = words_for(fleet, "-o", output, "--journal", "results.json.journal", rows="rows.jsonl")
        full = run_hindered(tmp_path, how, *words)
        partial = read_results(tmp_path, f"{output}.partial")
        named = (tmp_path / output).exists()
        make_room(disk, tmp_path)
        again = arriero(tmp_path, *words)
        whole = read_results(tmp_path, output)
        assert len(fleet.requests()) == len(rows), "what was in the journal was sent again"

    assert_stopped(full, f"{output}.partial", "every result is in the journal", "MB free")
    assert not named
    assert 0 < len(partial) < len(rows)
    assert partial == whole[: len(partial)]
    assert again.code == 0, again.err
    assert [record["prompt"] for record in whole] == [row["prompt"] for row in rows]
    assert [record["response"] for record in whole] == [answer(row["prompt"], TOKENS) for row in rows]


def test_nothing_new_is_sent_when_the_disk_is_nearly_full_and_what_runs_is_kept(tmp_path: Path) -> None:
    with small_disk(tmp_path, 128 * 1024 * 1024) as disk:
        asked = write_prompts(disk, 40)
        filler = disk / "filler"
        with fake_fleet(2, speed=Speed(decode_tokens_per_s=2000.0), **long_answers()) as fleet:
            with started(disk, *words_for(fleet)) as running:
                wait_committed(disk, 3, running)
                with filler.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, 80 * 1024 * 1024)
                low = running.end()
            sent = len(fleet.requests())
            there = kept(disk, "results.json.journal")
            partial = read_results(disk, "results.json.partial")
            fleet.calm()
            still = arriero(disk, *words_for(fleet))
            assert len(fleet.requests()) == sent, "requests were sent although the disk is nearly full"
            filler.unlink()
            again = arriero(disk, *words_for(fleet))
            assert len(fleet.requests()) == len(asked), "what was kept was sent again"
        assert_ended(disk, again, asked, "results.json")

    for one in (low, still):
        assert_stopped(one, "MB are free on the disk", "results.json.journal")
    assert 3 <= len(there) == sent < len(asked)
    assert len(partial) == len(there)
