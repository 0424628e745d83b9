from __future__ import annotations

import random

import pytest
from journal_rows import answered, failed, write

from arriero.errors import StorageError
from arriero.journal.reader import JournalReader
from arriero.journal.rounds import retry
from arriero.journal.salvage import Salvage

PAGE_BYTES = 4096
FIRST_LEAF = 20  # the schema and the roots of all tables and indexes come before


def test_a_sound_journal_is_read_whole_newest_first(tmp_path):
    path = tmp_path / "j"
    write(path, [answered(0), failed(1), answered(2)])
    retry(path)
    write(path, [answered(1, "at last", round_=1)])
    salvage = Salvage(path)

    assert [(r.position, r.text) for r in salvage.results()] == [(1, "at last"), (2, "answer 2"), (0, "answer 0")]
    assert (salvage.unreadable, salvage.older) == (0, 1)


@pytest.mark.parametrize("seed", range(6))
def test_what_lies_on_sound_pages_is_read_and_nothing_is_invented(tmp_path, seed):
    chance = random.Random(seed)
    path = tmp_path / "j"
    rows = 600
    write(path, [failed(p) if p % 7 == 0 else answered(p, f"{p} " * 50) for p in range(rows)])
    with JournalReader(path) as reader:
        whole = {r.position: (r.outcome, r.id) for r in reader.results()}
    pages = path.stat().st_size // PAGE_BYTES
    broken = chance.sample(range(FIRST_LEAF, pages), 4)
    with path.open("r+b") as file:
        for page in broken:
            file.seek(page * PAGE_BYTES)
            file.write(chance.randbytes(PAGE_BYTES))
    salvage = Salvage(path)
    found = {r.position: (r.outcome, r.id) for r in salvage.results()}

    assert all(whole[position] == read for position, read in found.items())
    assert salvage.unreadable >= rows - len(found)
    assert len(found) > rows // 3 or salvage.unreadable > 0


def test_only_the_damaged_pages_are_lost(tmp_path):
    path = tmp_path / "j"
    write(path, [answered(p, "x" * 700) for p in range(1000)])
    data = path.read_bytes()
    at = data.index(b"x" * 700, len(data) // 2) // PAGE_BYTES * PAGE_BYTES
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * PAGE_BYTES)
    salvage = Salvage(path)

    assert 990 <= sum(1 for _ in salvage.results()) < 1000
    assert 1 <= salvage.unreadable <= 10


def test_a_file_without_its_first_page_cannot_be_saved_and_says_so(tmp_path):
    path = tmp_path / "j"
    write(path, [answered(0)])
    with path.open("r+b") as file:
        file.write(bytes(PAGE_BYTES))
    with pytest.raises(StorageError):
        list(Salvage(path).results())
    with pytest.raises(StorageError, match="no journal"):
        list(Salvage(tmp_path / "none").results())


def test_the_later_outcome_of_a_row_counts_also_where_its_neighbours_are_unreadable(tmp_path):
    path, rows = tmp_path / "j", 100
    write(path, [failed(position, detail="x" * 700) for position in range(rows)])
    retry(path)
    write(path, [answered(position, "y" * 700, round_=1) for position in range(rows)])
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(data.index(b"x" * 700, (FIRST_LEAF + 4) * PAGE_BYTES) // PAGE_BYTES * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    salvage = Salvage(path)

    assert {found.position: found.round for found in salvage.results()} == dict.fromkeys(range(rows), 1)
    assert 1 <= salvage.unreadable < 10
