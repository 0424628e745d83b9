from __future__ import annotations

import errno
import resource
import signal
import threading
from contextlib import contextmanager

import apsw
import pytest
from journal_rows import Ear, answered, opened, write

from arriero.errors import StorageError
from arriero.journal import place
from arriero.journal.connection import writing
from arriero.journal.faults import storage_error
from arriero.journal.lock import Lock
from arriero.journal.reader import JournalReader


@contextmanager
def file_size_limit(size_bytes):
    """No file of this process may grow beyond a size; writing on fails with EFBIG instead of a signal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def edit(path, sql):
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


def overwrite(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_a_newer_schema_is_refused_with_the_version_it_needs(tmp_path):
    write(tmp_path / "j", [answered(0)])
    edit(tmp_path / "j", "PRAGMA user_version = 9; UPDATE meta SET value = '7.8.9' WHERE name = 'version'")
    for open_it in (opened, JournalReader):
        with pytest.raises(StorageError, match=r"schema 9.*needs arriero 7\.8\.9"):
            open_it(tmp_path / "j")
    edit(tmp_path / "j", "PRAGMA user_version = 1")
    opened(tmp_path / "j").close()


@pytest.mark.parametrize("content", [b"not a database at all" * 300, b"{}"])
def test_another_file_in_its_place_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(StorageError):
        opened(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == content


def test_a_database_of_another_program_is_refused(tmp_path):
    edit(tmp_path / "j", "CREATE TABLE theirs (a)")
    with pytest.raises(StorageError, match="not a journal of arriero"):
        opened(tmp_path / "j")


def test_the_empty_file_of_a_process_that_died_at_once_is_used(tmp_path):
    (tmp_path / "j").touch()
    with pytest.raises(StorageError, match="empty"):
        JournalReader(tmp_path / "j")
    write(tmp_path / "j", [answered(0)])
    with JournalReader(tmp_path / "j") as reader:
        assert reader.counts().succeeded == 1


def test_damaged_bytes_are_refused_with_the_command_that_saves_the_rest(tmp_path):
    path = tmp_path / "results.json.journal"
    write(path, [answered(p) for p in range(500)])
    size = path.stat().st_size
    overwrite(path, size // 2, b"\xa5" * 8192)
    with pytest.raises(StorageError, match="damaged") as caught:
        opened(path)
    assert "arriero results results.json --salvage" in caught.value.hint
    assert path.stat().st_size == size


def test_a_damaged_first_page_is_refused(tmp_path):
    path = tmp_path / "j"
    write(path, [answered(0)])
    overwrite(path, 0, bytes(64))
    for open_it in (opened, JournalReader):
        with pytest.raises(StorageError):
            open_it(path)


def test_counters_that_differ_from_the_rows_are_damage(tmp_path):
    write(tmp_path / "j", [answered(0)])
    edit(tmp_path / "j", "UPDATE batch SET succeeded = 2")
    with pytest.raises(StorageError, match="counters"):
        opened(tmp_path / "j")


@pytest.mark.parametrize("name", ["j", "j-wal"])
def test_a_journal_that_is_deleted_under_the_writer_stops_it(tmp_path, name):
    journal = opened(tmp_path / "j")
    ear = Ear(journal)
    journal.record([answered(0)], [])
    ear.wait(1)
    (tmp_path / name).unlink()
    journal.record([answered(1)], [])
    ear.wait(2)

    assert ear.kept == [0]
    assert "deleted or replaced" in ear.failure.message
    assert not journal.room()
    with pytest.raises(StorageError, match="deleted or replaced"):
        journal.close()


def test_a_journal_that_replaced_ours_is_left_alone(tmp_path):
    path, other = tmp_path / "j", tmp_path / "other"
    write(other, [answered(7)])
    journal = opened(path)
    ear = Ear(journal)
    content = other.read_bytes()
    other.rename(path)
    journal.record([answered(1)], [])
    ear.wait(1)

    assert ear.kept == []
    with pytest.raises(StorageError):
        journal.close()
    assert path.read_bytes() == content


def test_a_full_disk_stops_the_writer_and_keeps_what_was_told(tmp_path):
    path = tmp_path / "j"
    journal = opened(path)
    ear = Ear(journal)
    journal.record([answered(0, "x" * 1000)], [])
    ear.wait(1)
    with file_size_limit(600_000):
        for position in range(1, 1000):
            journal.record([answered(position, "x" * 1000)], [])
            ear.wait(position + 1)
            if ear.failure is not None:
                break
        journal.record([answered(5000)], [])
        with pytest.raises(StorageError, match=r"full; \d+ bytes are free"):
            journal.close()

    assert ear.failure is not None
    assert len(ear.kept) > 10
    with opened(path) as again:
        assert all(position in again.done for position in ear.kept)
        assert len(again.done) - len(ear.kept) in (0, 1)
    write(path, [answered(5000)])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_way_to_be_full_is_called_full(tmp_path, code):
    assert "full" in storage_error(apsw.IOError(), tmp_path / "j", code).message
    assert "full" in storage_error(apsw.FullError(), tmp_path / "j").message
    assert "failed" in storage_error(apsw.IOError(), tmp_path / "j", errno.EIO).message


@pytest.mark.parametrize(("error", "denied"), [(apsw.ReadOnlyError(), "written"), (apsw.CantOpenError(), "opened")])
def test_a_journal_that_may_not_be_used_says_how_to_see_why_and_the_way_round(tmp_path, error, denied):
    said = storage_error(error, tmp_path / "j")
    assert f"may not be {denied}" in said.message
    assert f"ls -l {tmp_path / 'j'}" in said.hint
    assert "--journal PATH" in said.hint


def test_a_journal_in_which_nothing_was_kept_says_so_and_what_to_do(tmp_path):
    (tmp_path / "j").write_bytes(b"")

    with pytest.raises(StorageError, match="holds nothing") as caught:
        JournalReader(tmp_path / "j")
    assert caught.value.hint == "run the same command again"


def test_a_journal_that_is_being_made_is_waited_for(tmp_path):
    path = tmp_path / "j"
    place.create(path)
    lock = Lock.take(path)
    found = []
    reader = threading.Thread(target=lambda: found.append(JournalReader(path)))
    reader.start()
    with writing(path) as connection:
        connection.execute("INSERT INTO batch (batch, status) VALUES (1, 'running')")
    reader.join()
    lock.release()

    assert [one.batches() for one in found] == [[1]]
    found[0].close()
    connection.close()
