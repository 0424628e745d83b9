import os
import stat
import threading
from pathlib import Path

import pytest

from arriero.errors import InputError
from arriero.inputs.bind import Binder
from arriero.inputs.feed import Feed
from arriero.inputs.scan import Scan
from arriero.inputs.spool import GrowingExtent, spool
from arriero.journal.done import Done

LIMIT_S = 10


@pytest.fixture
def stdin():
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def give(writing, data):
    os.write(writing, data)


def prompts(source):
    return [row.prompt for row in source.rows()]


def test_rows_of_standard_input_are_kept_for_a_resume(stdin, tmp_path):
    path = str(tmp_path / "r.input")
    give(stdin[1], b"one\ntwo\nthr")
    os.close(stdin[1])
    source = spool(stdin[0], path, "txt")

    assert prompts(source) == ["one", "two", "thr"]
    assert prompts(source) == ["one", "two", "thr"]
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert not Path(path + ".partial").exists()
    assert source.state() == "same"
    source.close()
    again = spool(None, path, "txt")
    assert (prompts(again), again.name) == (["one", "two", "thr"], "<stdin>")
    again.close()


def test_rows_are_sent_while_standard_input_is_still_open(stdin, tmp_path):
    came = threading.Semaphore(0)
    give(stdin[1], b"one\ntw")
    source = spool(stdin[0], str(tmp_path / "r.input"), "txt")
    binder = Binder()
    scan = Scan(source, binder, on_progress=came.release)
    feed = Feed(source, binder, scan, done=Done(), attempts_used={}, batch=1)

    def next_row():
        while True:
            taken = feed.take(1, 1 << 20)
            if taken or feed.ended:
                return [one.content.prompt for one in taken]
            if not feed.more_now:
                assert came.acquire(timeout=LIMIT_S)

    scan.start()
    assert next_row() == ["one"]
    assert (feed.total, feed.ended) == (None, False)
    give(stdin[1], b"o\nthree\n")
    assert next_row() == ["two"]
    assert next_row() == ["three"]
    assert not feed.ended
    os.close(stdin[1])
    assert next_row() == []
    assert feed.total == 3
    scan.stop()
    source.close()


def test_new_rows_on_standard_input_take_the_place_of_the_old_copy_once_they_are_accepted(stdin, tmp_path):
    path = tmp_path / "r.input"
    path.write_bytes(b"old\n")
    give(stdin[1], b"new\n")
    os.close(stdin[1])
    source = spool(stdin[0], str(path), "txt")

    assert prompts(source) == ["new"]
    assert path.read_bytes() == b"old\n"
    source.accept()
    source.accept()
    source.close()
    assert path.read_bytes() == b"new\n"
    assert not path.with_name("r.input.partial").exists()


def test_an_empty_standard_input_means_the_copy_of_before(stdin, tmp_path):
    path = tmp_path / "r.input"
    path.write_bytes(b"old\n")
    os.close(stdin[1])
    source = spool(stdin[0], str(path), "txt")

    assert prompts(source) == ["old"]
    source.close()


def test_an_empty_standard_input_without_a_copy_has_no_rows(stdin, tmp_path):
    os.close(stdin[1])
    source = spool(stdin[0], str(tmp_path / "r.input"), "txt")

    assert prompts(source) == []
    source.close()


def test_a_copy_that_was_cut_off_is_no_input(tmp_path):
    (tmp_path / "r.input.partial").write_bytes(b"one\ntw")

    with pytest.raises(InputError, match="not read to its end"):
        spool(None, str(tmp_path / "r.input"), "txt")


def test_a_stopped_scan_leaves_a_standard_input_that_stays_open(stdin, tmp_path):
    give(stdin[1], b"one\n")
    source = spool(stdin[0], str(tmp_path / "r.input"), "txt")
    scan = Scan(source, Binder())
    scan.start()
    scan.stop()

    assert scan.total is None
    os.close(stdin[1])


def test_an_error_of_the_copy_is_no_end_of_the_input():
    extent = GrowingExtent()
    extent.add(5)
    extent.end(InputError("cut"))

    assert extent.beyond(0) == 5
    with pytest.raises(InputError, match="cut"):
        extent.beyond(5)
