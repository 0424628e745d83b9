from __future__ import annotations

import apsw
import pytest
from journal_rows import answered, attempt_failed, failed, opened, write

from arriero.core.events import Noted
from arriero.core.outcome import Success, Timing, Usage
from arriero.journal.outcome import either, encode
from arriero.journal.reader import JournalReader
from arriero.journal.statements import schema, statement, statements


@pytest.mark.parametrize("size", [1, 2, 8, 9, 64, 65, 499, 500, 501, 1003])
def test_groups_of_every_size_are_kept_whole(tmp_path, size):
    ear = write(
        tmp_path / "j",
        [answered(p) for p in range(size)],
        [attempt_failed(p) for p in range(size)] + [Noted("late", at=float(p)) for p in range(size)],
    )
    with JournalReader(tmp_path / "j") as reader:
        assert ear.kept == [r.position for r in reader.results()] == list(range(size))
        assert [a.position for a in reader.attempts()] == list(range(size))
        assert [n.at for n in reader.notices()] == list(range(size))


def test_no_transaction_holds_more_than_five_hundred_results(tmp_path):
    groups = []
    with opened(tmp_path / "j") as journal:
        journal.on_commit = lambda kept, _dropped: groups.append(len(kept))
        journal.record([answered(p) for p in range(1700)], [])
    assert sum(groups) == 1700
    assert max(groups) <= 500


def test_the_attempts_before_a_result_are_never_committed_after_it(tmp_path):
    path = tmp_path / "j"
    seen = []
    with opened(path) as journal:

        def look(_kept, _dropped):
            with JournalReader(path) as reader:
                seen.append((reader.counts().failed, sum(1 for _ in reader.attempts())))

        journal.on_commit = look
        for position in range(40):
            journal.record([failed(position)], [attempt_failed(position)])
    assert seen[-1] == (40, 40)
    assert all(attempts >= ended for ended, attempts in seen)


def test_text_without_a_form_in_utf_8_stops_nothing(tmp_path):
    ear = write(tmp_path / "j", [answered(0, "a\ud800b"), failed(1, detail="\udcff")], [attempt_failed(2)])
    with JournalReader(tmp_path / "j") as reader:
        first, second = reader.results()
    assert ear.kept == [0, 1]
    assert (first.text, second.detail) == ("a?b", "?")


def test_an_outcome_tells_which_of_the_two_it_is():
    success = Success(text="", finish_reason="stop", usage=Usage(), timing=Timing(0.0))
    failure = failed(0).outcome
    assert either(encode(success)) == success
    assert either(encode(failure)) == failure


def test_every_statement_has_a_line_of_english_and_fits_the_schema():
    connection = apsw.Connection(":memory:")
    connection.execute(schema())
    columns = {"insert_finished": 6, "insert_answer": 12, "insert_attempt": 14, "insert_event": 4}
    for name in statements():
        rows = "(" + ",".join("?" * columns.get(name, 1)) + ")"
        sql = statement(name).replace("{rows}", rows)
        connection.execute("EXPLAIN " + sql, [None] * _places(sql)).fetchall()
    connection.close()

    with pytest.raises(KeyError):
        statement("none")


def _places(sql):
    return 2 if "?2" in sql else sql.count("?")
