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
    assert {one.name: one.text for one in checks}["outcomes"] == "5 outcomes read"


def test_attempts_beyond_the_settings_of_the_sessions_are_found(tmp_path):
    settings = b'{"instances": [{"instance": {"name": "gpu-01"}}], "retries": 1}'
    with opened(tmp_path / "j", settings=settings) as journal:
        journal.record([answered(0)], [attempt_failed(1, number=n) for n in range(3)])
    with JournalReader(tmp_path / "j") as reader:
        found = {one.promise: one.text for one in check(reader) if not one.ok}

    assert found == {
        "P6": "1 rows that were charged more than 2 attempts",
        "P11": "3 ends and attempts at instances that were not configured",
    }


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
        ("UPDATE answer SET attempt = 100, session = 1", "attempts"),
        ("UPDATE answer SET attempt = 911, session = 1 WHERE answer = 1", "attempts"),
        ("UPDATE answer SET attempt = 0 WHERE answer = 1", "attempts"),
        ("UPDATE attempt SET session = 99", "attempts"),
        ("UPDATE answer SET outcome = CAST(replace(CAST(outcome AS TEXT), '0.25', '1.75') AS BLOB)", "durations"),
        ("UPDATE answer SET outcome = CAST(replace(CAST(outcome AS TEXT), '3.0', '-3.0') AS BLOB)", "durations"),
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


def test_a_row_may_use_all_its_attempts_in_each_round(tmp_path):
    for round_ in (0, 1):
        attempts = [attempt_failed(1, number=number, round_=round_) for number in range(5)]
        write(tmp_path / "j", [failed(1, round_=round_)], attempts)
        retry(tmp_path / "j")
    with JournalReader(tmp_path / "j") as reader:
        assert {one.name: one.ok for one in check(reader)}["retries"]


def test_attempts_are_held_against_the_most_that_any_session_allowed(tmp_path):
    write(tmp_path / "j", [], [attempt_failed(1, number=number) for number in range(5)], settings=b'{"retries":4}')
    write(tmp_path / "j", [answered(1)], settings=b'{"retries":1}')
    with JournalReader(tmp_path / "j") as reader:
        assert {one.name: one.ok for one in check(reader)}["retries"]
