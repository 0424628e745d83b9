"""The power goes while an output is written: what has its final name is whole, and what was told is there (P5)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from plain_files import PlainFiles
from power import Disk

from arriero.config.settings import OutputFormat
from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.errors import StorageError
from arriero.inputs.row import Row, row_hash
from arriero.journal.stored import StoredResult
from arriero.outputs.export import export

ROWS = 60
CUTS = 40


def rows() -> Iterator[Row]:
    for position in range(ROWS):
        raw = f"question {position}".encode()
        yield Row(position=position, line=position + 1, raw=raw, is_text=True, prompt=raw.decode())


def results(retried: bool) -> Iterator[StoredResult]:
    """Every fifth row fails in the first round and is answered in the second."""
    for position in range(ROWS):
        failed = position % 5 == 0 and not retried
        answer = Success(text=f"{position} " * 60, finish_reason="stop", usage=Usage(1, 2), timing=Timing(1.0))
        yield StoredResult(
            batch=1,
            position=position,
            round=int(position % 5 == 0 and retried),
            id=str(position + 1),
            row_hash=row_hash(f"question {position}".encode()),
            outcome=Failure(kind=FailureKind.TIMEOUT) if failed else answer,
            model="m",
            instance="one",
            attempts=1,
            attempt=position,
            session="s",
            ended_at=1.0,
        )


def write(folder: Path, form: OutputFormat, *, retried: bool, complete: bool = True) -> tuple[Path, ...]:
    return export(str(folder / "r.json"), form, rows(), results(retried), complete=complete).paths


@pytest.mark.parametrize("form", ["json", "jsonl", "openai"])
def test_a_file_under_its_final_name_is_whole_whenever_the_power_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: OutputFormat
) -> None:
    folder, wanted = tmp_path / "disk", list[dict[str, bytes]]()
    for retried in (False, True):
        (tmp_path / f"whole-{retried}").mkdir()
        whole = write(tmp_path / f"whole-{retried}", form, retried=retried)
        wanted.append({path.name: path.read_bytes() for path in whole})
    folder.mkdir()
    disk = Disk(folder)
    monkeypatch.setattr("arriero.outputs.partial.BUFFER_BYTES", 1500)
    PlainFiles(disk, monkeypatch)

    write(folder, form, retried=False, complete=False)
    for told in (1, 2):
        write(folder, form, retried=told == 2)
        disk.mark(told)
    monkeypatch.undo()

    chance = Random(form)
    for _ in range(CUTS):
        moment = disk.moment(chance)
        told = max(disk.marks(moment), default=0)
        left = disk.after_cut(moment, chance)
        for name in wanted[0]:
            assert name in left or not told, f"{name} was told and is gone (moment {moment})"
            possible = [one[name] for one in wanted[max(0, told - 1) :]]
            assert left.get(name, possible[0]) in possible, f"{name} has its final name and is torn (moment {moment})"


@pytest.mark.parametrize("name", ["r.json.partial", "."])
def test_a_failed_sync_of_the_output_stops_it_and_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    files = PlainFiles(Disk(tmp_path), monkeypatch)
    files.fails = lambda one: OSError(errno.EIO, os.strerror(errno.EIO)) if one == name else None

    with pytest.raises(StorageError, match="Input/output error") as caught:
        write(tmp_path, "json", retried=False)

    assert caught.value.exit_code == 7
    assert files.synced.count(name) == 1
    assert (tmp_path / "r.json").exists() == (name == ".")
    files.fails = lambda _: None
    write(tmp_path, "json", retried=False)
    assert (tmp_path / "r.json").read_bytes().endswith(b"]\n")
