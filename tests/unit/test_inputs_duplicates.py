import io
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.errors import StorageError
from arriero.inputs.duplicates import BUFFER_IDS, PARTITIONS, Duplicates, HashTable, Partitions, hash_of


def test_a_repeated_id_is_suspected_at_once():
    duplicates = Duplicates()

    assert [duplicates.suspects(own) for own in ("a", "b", "a", "c", "b")] == [False, False, True, False, True]


@given(st.lists(st.integers(1, 50), max_size=80))
@settings(max_examples=50, deadline=None)
def test_the_table_knows_exactly_what_it_was_given(numbers):
    table, seen = HashTable(), set()
    for number in numbers:
        assert table.add(number << 12) == (number in seen)
        seen.add(number)

    assert set(table) == {number << 12 for number in seen}
    assert table.count == len(seen)


def test_the_table_grows_and_forgets_nothing():
    table = HashTable()
    numbers = [hash_of(f"id-{number}") for number in range(3000)]

    assert not any(table.add(number) for number in numbers)
    assert all(table.add(number) for number in numbers)


def test_above_its_bound_ids_go_to_a_file_and_repetitions_are_found_at_the_end():
    duplicates = Duplicates(in_memory_max=100)
    ids = [f"id-{number}" for number in range(400)]

    assert not any(duplicates.suspects(own) for own in [*ids, ids[7], ids[250]])
    assert duplicates.repeated() == {hash_of(ids[7]), hash_of(ids[250])}
    duplicates.close()


def test_without_repetitions_nothing_is_suspected_at_the_end():
    duplicates = Duplicates(in_memory_max=100)

    assert not any(duplicates.suspects(f"id-{number}") for number in range(400))
    assert duplicates.repeated() == set()
    duplicates.close()


def test_numbers_that_were_written_to_the_file_are_read_back(monkeypatch):
    monkeypatch.setattr("arriero.inputs.duplicates.BUFFER_IDS", 2)
    partitions = Partitions()
    for number in [*range(1, 200), *(5 << 56 | number for number in range(50)), 17, 5 << 56 | 3]:
        partitions.add(number)

    assert set(partitions.repeated()) == {17, 5 << 56 | 3}
    partitions.close()


def test_ids_cost_at_most_40_bytes_each():
    tracemalloc.start()
    table = HashTable()
    for number in range(1, 4000):
        table.add(number * 0x9E3779B97F4A7C15 & 0xFFFF_FFFF_FFFF_FFFF)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak / 4000 < 40


def test_an_empty_id_is_an_id_though_its_hash_is_none():
    duplicates = Duplicates()

    assert [duplicates.suspects("") for _ in range(3)] == [False, True, True]


def test_a_disk_that_takes_only_a_part_of_the_hashes_is_full(monkeypatch):
    class Full(io.RawIOBase):
        def seek(self, offset, whence=0):
            return offset

        def write(self, data):
            return len(data) - 8

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    partitions = Partitions()
    for number in range(BUFFER_IDS - 1):
        partitions.add(number)
    with pytest.raises(StorageError, match="disk full"):
        partitions.add(7)


def test_a_repetition_is_found_in_every_part():
    partitions = Partitions()
    numbers = [part << 56 | 7 for part in range(PARTITIONS)]
    for number in (*numbers, *numbers):
        partitions.add(number)

    assert list(partitions.repeated()) == numbers
