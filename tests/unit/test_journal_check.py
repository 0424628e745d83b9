from __future__ import annotations

import apsw
import pytest
from journal_rows import answered, attempt_failed, failed, opened, write

from arriero.core.batch import BatchStatus
from arriero.journal.check import check
from arriero.journal.reader import JournalReader
from arriero.journal.rounds import retry


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "j", [answered(0), failed(1), failed(2)], [attempt_failed(1)])
    retry(tmp_path / "j")
    with opened(tmp_path / "j") as journal:
        journal.note_total(3)
        journal.record([answered(1, round_=1), failed(2, round_=1)], [])
        journal.finish(BatchStatus.FINISHED)
    return tmp_path / "j"


def broken(path, sql):
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()
    with JournalReader(path) as reader:
        return [one.name for one in check(reader) if not one.ok]


def test_a_sound_journal_passes_every_check(path):
    with JournalReader(path) as reader:
        checks = check(reader)
    assert [one for one in checks if not one.ok] == []
    assert checks[-1].text == "5 outcomes read"


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("DELETE FROM answer WHERE answer = 1", "one end"),
        ("UPDATE answer SET position = 9 WHERE answer = 1", "one end"),
        ("UPDATE finished SET round = 0 WHERE position = 1", "one end"),
        (
            "CREATE TEMP TABLE t AS SELECT * FROM answer WHERE answer = 1; UPDATE t SET answer = 99; INSERT INTO answer SELECT * FROM t",
            "no stray outcome",
        ),
        ("DELETE FROM finished WHERE position = 0", "no stray outcome"),
        ("UPDATE batch SET succeeded = succeeded + 1", "counters"),
        ("UPDATE batch SET total = 2", "counters"),
        ("UPDATE batch SET total = 4", "complete"),
        ("UPDATE finished SET kind = 'odd' WHERE position = 2", "kinds"),
        ("UPDATE history SET kind = 'odd'", "kinds"),
        ("UPDATE attempt SET kind = 'odd'", "kinds"),
        ("UPDATE history SET round = 1 WHERE position = 1", "rounds"),
        ("UPDATE answer SET outcome = CAST('{}' AS BLOB) WHERE answer = 1", "outcomes"),
        ("UPDATE finished SET kind = 'timeout' WHERE position = 0", "outcomes"),
    ],
)
def test_each_broken_promise_is_found_by_its_check(path, sql, name):
    assert name in broken(path, sql)


def test_damage_is_an_answer_and_not_an_exception(path):
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with JournalReader(path) as reader:
        checks = check(reader)
    assert not any(one.ok for one in checks)
    assert all("damaged" in one.text for one in checks)
