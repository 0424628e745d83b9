import hashlib
import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.errors import InputError
from arriero.inputs import lines as module
from arriero.inputs.lines import FixedExtent, Line, Mark, Overlong, read_lines


@pytest.fixture
def opened(tmp_path):
    files = []

    def write(data, name="rows.txt"):
        path = tmp_path / name
        path.write_bytes(data)
        files.append(os.open(path, os.O_RDONLY))
        return files[-1], FixedExtent(len(data))

    yield write
    for file in files:
        os.close(file)


def texts(found):
    return [line.text for line in found]


def test_lines_end_at_line_feeds_and_nowhere_else(opened):
    data = "one\u2028two\u0085three\x0bfour\x1cfive\rsix\nseven".encode()
    file, extent = opened(data)

    assert texts(read_lines("rows", file, extent)) == data.split(b"\n")


def test_one_trailing_carriage_return_belongs_to_the_line_end(opened):
    file, extent = opened(b"one\r\ntwo\r\r\nthree\r")

    assert texts(read_lines("rows", file, extent)) == [b"one", b"two\r", b"three"]


def test_a_bom_is_taken_off_line_1_only(opened):
    file, extent = opened(module.BOM + b"one\n" + module.BOM + b"two\n")

    assert texts(read_lines("rows", file, extent)) == [b"one", module.BOM + b"two"]


def test_a_last_line_without_a_line_feed_counts_and_an_end_after_one_does_not(opened):
    with_end, extent_with = opened(b"one\ntwo\n", "a")
    without, extent_without = opened(b"one\ntwo", "b")

    assert texts(read_lines("a", with_end, extent_with)) == [b"one", b"two"]
    assert texts(read_lines("b", without, extent_without)) == [b"one", b"two"]


def test_an_empty_file_has_no_line(opened):
    file, extent = opened(b"")

    assert list(read_lines("rows", file, extent)) == []


@given(data=st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"", b"bcd" * 5, b"\xff", b"\xef\xbb\xbf"])).map(b"".join))
@settings(max_examples=60, deadline=None)
def test_any_block_size_gives_the_lines_numbers_and_offsets_of_a_plain_split(data):
    file = os.memfd_create("rows")
    os.write(file, data)
    blocks = module.BLOCK_BYTES
    try:
        for size in (1, 2, 7, 1 << 16):
            module.BLOCK_BYTES = size
            found = list(read_lines("rows", file, FixedExtent(len(data))))
            plain = data.split(b"\n")
            plain = plain[:-1] if not plain[-1] else plain

            assert [line.number for line in found] == list(range(1, len(plain) + 1))
            for line, expected in zip(found, plain, strict=True):
                assert data[line.offset : line.offset + len(expected)] == expected
                for again in read_lines("rows", file, FixedExtent(len(data)), start=Mark(0, line.number, line.offset)):
                    assert again == line
                    break
    finally:
        module.BLOCK_BYTES = blocks
        os.close(file)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_above_the_bound_is_hashed_without_its_end(opened, end):
    long = b"x" * 200_000
    file, extent = opened(b"a\n" + long + end + (b"b" if end else b""))

    found = list(read_lines("rows", file, extent, most=100_000))

    assert found[1] == Overlong(2, 2, hashlib.blake2b(long, digest_size=16).digest(), len(long))
    assert texts(found[2:]) == ([b"b"] if end else [])


@pytest.mark.parametrize("size", [99_999, 100_000, 100_001, 100_002, 100_004, 100_006])
def test_the_bound_counts_neither_bom_nor_carriage_return(opened, size):
    long = b"x" * size
    file, extent = opened(module.BOM + long + b"\r\n")

    found = next(read_lines("rows", file, extent, most=100_000))

    if size <= 100_000:
        assert found == Line(1, 0, long)
    else:
        assert found == Overlong(1, 0, hashlib.blake2b(long, digest_size=16).digest(), size)


def test_an_over_long_line_is_never_held(opened):
    file, extent = opened(b"x" * 12_000_000 + b"\nend")
    tracemalloc.start()
    found = list(read_lines("rows", file, extent, most=500_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found[0].size_bytes == 12_000_000
    assert texts(found[1:]) == [b"end"]
    assert peak < 3_000_000


def test_a_file_that_became_shorter_is_an_error_and_no_end(opened):
    file, _ = opened(b"one\ntwo\n")

    with pytest.raises(InputError, match="became shorter"):
        list(read_lines("rows", file, FixedExtent(20)))
