"""The power goes while rows are kept beside the journal: a copy under its final name is whole (P3)."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from plain_files import PlainFiles
from power import Disk

from arriero.errors import BindingError
from arriero.inputs.keep import keep_items
from arriero.inputs.spool import spool

ROWS = [f"question {position} " * 40 for position in range(60)]
CUTS = 40


def keep(path: Path) -> None:
    keep_items(ROWS, str(path))


def pipe_in(path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, "\n".join(ROWS).encode())
    os.close(writing)
    source = spool(reading, str(path), "txt")
    assert sum(1 for _ in source.rows()) == len(ROWS)
    source.close()
    os.close(reading)


def test_a_copy_of_standard_input_under_its_final_name_is_whole_whenever_the_power_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, chance = Disk(tmp_path), Random(1)
    PlainFiles(disk, monkeypatch)
    pipe_in(tmp_path / "r.input")
    monkeypatch.undo()
    whole = (tmp_path / "r.input").read_bytes()

    for _ in range(CUTS):
        moment = disk.moment(chance)
        left = disk.after_cut(moment, chance).get("r.input", whole)
        assert left == whole, f"{len(left)} of {len(whole)} bytes stand under the final name (moment {moment})"


def test_a_kept_list_is_synced_before_it_has_its_final_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = PlainFiles(Disk(tmp_path), monkeypatch)
    keep(tmp_path / "r.input")
    monkeypatch.undo()

    assert files.synced == ["r.input.partial"], "what is synced, by the name it had then"


def test_a_shorter_list_does_not_take_the_place_of_the_one_that_is_kept(tmp_path: Path) -> None:
    keep(tmp_path / "r.input")
    whole = (tmp_path / "r.input").read_bytes()

    with pytest.raises(BindingError, match="item 60 is not"):
        keep_items(ROWS[:-1], str(tmp_path / "r.input"))

    assert (tmp_path / "r.input").read_bytes() == whole
