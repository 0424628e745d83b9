from __future__ import annotations

import stat
import threading

import apsw
import pytest
from journal_rows import BINDING, Ear, answered, attempt_failed, failed, opened, row_hash, upkeep, write
from msgspec import structs

from arriero.core.batch import BatchStatus
from arriero.core.events import AttemptRefunded
from arriero.errors import BindingError, HeldError
from arriero.journal.reader import JournalReader
from arriero.journal.statements import schema, statement


def results_of(path):
    with JournalReader(path) as reader:
        return list(reader.results())


def test_what_was_told_is_in_the_file_when_it_is_told(tmp_path):
    path = tmp_path / "j"
    seen = []
    with opened(path) as journal:

        def read_at_once(kept, _dropped):
            with JournalReader(path) as reader:
                seen.append(({r.request.position for r in kept}, {r.position for r in reader.results()}))

        journal.on_commit = read_at_once
        journal.record([answered(3), answered(1)], [])

    assert seen
    assert all(told <= stored for told, stored in seen)


def test_a_single_result_waits_for_no_other_to_be_kept(tmp_path):
    with opened(tmp_path / "j") as journal:
        ear = Ear(journal)
        journal.record([answered(0)], [])
        ear.wait(1, within_s=5)

        assert [r.position for r in results_of(tmp_path / "j")] == [0]


def test_the_first_outcome_of_a_request_wins_and_later_ones_are_counted(tmp_path):
    path = tmp_path / "j"
    with opened(path) as journal:
        ear = Ear(journal)
        journal.record([answered(0, "first"), answered(0, "second of the same group")], [])
        ear.wait(1)
        journal.record([failed(0), answered(1)], [])

    assert ear.kept == [0, 1]
    assert ear.dropped == 2
    assert [r.text for r in results_of(path)] == ["first", "answer 1"]


def test_a_row_that_ended_in_an_earlier_session_is_not_overwritten(tmp_path):
    path = tmp_path / "j"
    write(path, [answered(0, "first")])
    ear = write(path, [answered(0, "second")])

    assert (ear.kept, ear.dropped) == ([], 1)
    assert [r.text for r in results_of(path)] == ["first"]


def test_a_resume_knows_what_ended_and_how(tmp_path):
    path = tmp_path / "j"
    write(path, [answered(0), failed(2), answered(9)])
    with opened(path) as journal:
        assert [position in journal.done for position in range(11)] == [p in {0, 2, 9} for p in range(11)]
        assert (journal.done.succeeded, journal.done.failed, len(journal.done)) == (2, 1, 3)
        assert list(journal.hashes()) == [(p, row_hash(p), p == 2) for p in (0, 2, 9)]


def test_charged_attempts_count_again_for_rows_that_have_not_ended(tmp_path):
    path = tmp_path / "j"
    notices = [
        attempt_failed(1),
        attempt_failed(1, number=2),
        attempt_failed(2, charged=False),
        attempt_failed(3),
        attempt_failed(4),
    ]
    write(path, [answered(3)], notices)
    with opened(path) as journal:
        assert journal.attempts_used == {1: 2, 4: 1}


def test_a_refunded_attempt_does_not_count_again_however_late_the_refund_came(tmp_path):
    path = tmp_path / "j"
    first, second = attempt_failed(1), attempt_failed(1, number=2)
    other, later = attempt_failed(2), attempt_failed(3)
    second = structs.replace(second, attempt=structs.replace(second.attempt, id=77))
    with opened(path) as journal:
        ear = Ear(journal)
        journal.record([answered(8)], [first, second, later])
        ear.wait(1)
        journal.record([], [other, AttemptRefunded(other.attempt, 5.0), AttemptRefunded(second.attempt, 5.0)])
    with JournalReader(path) as reader:
        told = [(one.attempt, one.charged) for one in reader.attempts()]
    with opened(path) as journal:  # the same ids in another session are other attempts
        used = dict(journal.attempts_used)
        journal.record([], [AttemptRefunded(first.attempt, 6.0)])

    assert told == [(911, True), (77, False), (931, True), (921, False)]
    assert used == {1: 1, 3: 1}
    with opened(path) as journal:
        assert journal.attempts_used == used


def test_a_refund_is_found_by_the_index_of_charged_attempts():
    connection = apsw.Connection(":memory:")
    connection.execute(schema())
    (step,) = connection.execute("EXPLAIN QUERY PLAN " + statement("refund"), (1, 0, 1, 1, 1))
    connection.close()

    assert "USING INDEX attempt_charged (batch=? AND round=? AND position=?)" in step[-1]


def test_only_the_journal_file_is_left_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "j"
    with opened(path) as journal:
        Ear(journal)
        journal.record([answered(0)], [])
        during = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert during == {"j": 0o600, "j-wal": 0o600, "j-shm": 0o600, "j.lock": 0o600}
    assert [p.name for p in tmp_path.iterdir()] == ["j"]


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path):
    with opened(tmp_path / "j"), pytest.raises(HeldError, match=r"held by process \d+ on "):
        opened(tmp_path / "j")
    opened(tmp_path / "j").close()


def test_a_changed_binding_is_refused_with_old_and_new_values(tmp_path):
    path = tmp_path / "j"
    write(path, [answered(0)], binding={"model": "a", "system": "s" * 200, "gone": "1", "same": "x"})
    with pytest.raises(BindingError) as caught:
        opened(path, binding={"model": "b", "system": "t" * 200, "new": "", "same": "x"})

    lines = caught.value.message.splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == ["gone", "model", "new", "system"]
    assert "was a, is b" in caught.value.message
    assert "gone: was 1, is not set" in caught.value.message
    assert "new: was not set, is empty" in caught.value.message
    assert "sss" not in caught.value.message
    assert [p.name for p in tmp_path.iterdir()] == ["j"]


def test_a_refused_binding_changes_nothing(tmp_path):
    path = tmp_path / "j"
    write(path, [answered(0)])
    before = path.read_bytes()
    with pytest.raises(BindingError):
        opened(path, binding={"model": "other"})
    with JournalReader(path) as reader:
        assert len(reader.sessions()) == 1
        assert reader.counts().succeeded == 1
    assert len(path.read_bytes()) == len(before)


def test_the_size_of_the_input_and_the_status_survive(tmp_path):
    path = tmp_path / "j"
    with opened(path) as journal:
        assert (journal.state, journal.total) == (BatchStatus.RUNNING, None)
        journal.note_total(5, input_bytes=99)
        journal.record([answered(0)], [])
        journal.finish(BatchStatus.STOPPED)
    with JournalReader(path) as reader:
        stored = reader.batch()
        assert (stored.status, stored.total, stored.input_bytes) == (BatchStatus.STOPPED, 5, 99)
        counts = reader.counts()
        assert (counts.total, counts.succeeded, counts.waiting) == (5, 1, 4)
    with opened(path) as journal:
        assert (journal.state, journal.total) == (BatchStatus.RUNNING, 5)


def test_a_finished_batch_stays_finished_until_a_new_result_comes(tmp_path):
    path = tmp_path / "j"
    with opened(path) as journal:
        journal.finish(BatchStatus.FINISHED)
    with opened(path) as journal:
        assert journal.state is BatchStatus.FINISHED
    with opened(path) as journal:
        journal.record([answered(0)], [])
    with JournalReader(path) as reader:
        assert reader.batch().status is BatchStatus.RUNNING


def test_a_status_that_cannot_follow_is_refused(tmp_path):
    with opened(tmp_path / "j") as journal:
        journal.finish(BatchStatus.FINISHED)
        with pytest.raises(ValueError, match="cannot become"):
            journal.finish(BatchStatus.STOPPED)


def test_the_published_numbers_are_read_by_others_and_the_last_ones_stay(tmp_path):
    path = tmp_path / "j"
    with opened(path) as journal:
        with JournalReader(path) as reader:
            assert reader.snapshot() is None
        journal.publish(b'{"n":1}')
        journal.record([answered(0)], [])
        journal.publish(b'{"n":2}')
    with JournalReader(path) as reader:
        assert reader.snapshot() == b'{"n":2}'


def test_several_batches_live_in_one_file(tmp_path):
    path = tmp_path / "j"
    write(path, [answered(0)])
    write(path, [answered(0, "other", batch=2)], batch=2, binding={"model": "else"})
    with JournalReader(path) as reader:
        assert reader.batches() == [1, 2]
        assert [r.text for r in reader.results(2)] == ["other"]
    with opened(path) as journal, pytest.raises(ValueError, match="another batch"):
        journal.record([answered(1, batch=2)], [])


def test_there_is_no_room_while_two_thousand_records_wait(tmp_path):
    holding, go_on = threading.Event(), threading.Event()
    with opened(tmp_path / "j") as journal:

        def hold(_kept, _dropped):
            holding.set()
            go_on.wait(20)

        journal.on_commit = hold
        journal.record([answered(0)], [])
        assert holding.wait(20)
        journal.record([answered(p) for p in range(1, 2000)], [])
        assert journal.room()
        journal.record([answered(2000)], [])
        full = journal.room()
        go_on.set()
        ear = Ear(journal)
        ear.wait(2000)

        assert not full
        assert journal.room()


def test_nothing_can_be_recorded_after_the_end(tmp_path):
    journal = opened(tmp_path / "j")
    journal.close()
    journal.close()
    with pytest.raises(RuntimeError):
        journal.record([answered(0)], [])


def test_a_callback_that_fails_stops_the_journal_rather_than_the_truth(tmp_path, monkeypatch):
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.append(args.exc_type))
    journal = opened(tmp_path / "j")
    ear = Ear(journal)

    def broken(_kept, _dropped):
        raise ZeroDivisionError

    journal.on_commit = broken
    journal.record([answered(0)], [])
    ear.wait(1)

    assert raised == [ZeroDivisionError]
    assert journal.failed is ear.failure is not None
    with pytest.raises(type(journal.failed)):
        journal.close()


def test_a_batch_that_sent_a_request_stays_bound_though_none_has_ended(tmp_path):
    write(tmp_path / "j", [], [attempt_failed(0)])

    with pytest.raises(BindingError, match="another"):
        opened(tmp_path / "j", binding={**BINDING, "model": "another"})


@pytest.mark.parametrize(
    ("results", "notices"), [([answered(0)], []), ([], [attempt_failed(0)])], ids=["an-answer", "a-failed-attempt"]
)
def test_a_session_that_sent_a_request_cannot_be_withdrawn(tmp_path, results, notices):
    journal = opened(tmp_path / "j")
    journal.record(results, notices)

    assert not journal.withdraw()
    with JournalReader(tmp_path / "j") as reader:
        assert len(list(reader.results())) == len(results)
        assert len(list(reader.attempts())) == len(notices)


def test_a_session_that_only_looked_is_withdrawn_and_what_was_before_stays(tmp_path):
    write(tmp_path / "j", [answered(0)])
    with opened(tmp_path / "j") as journal:
        journal.record([], [upkeep()])

        assert not journal.withdraw()
    assert [r.position for r in results_of(tmp_path / "j")] == [0]

    journal = opened(tmp_path / "new")
    assert journal.withdraw()
    assert not (tmp_path / "new").exists()


def test_words_of_a_server_that_are_no_text_are_kept_as_far_as_they_go(tmp_path):
    notice = structs.replace(attempt_failed(0), detail="half a \ud83e letter")
    ear = write(tmp_path / "j", [answered(0)], [notice])
    with JournalReader(tmp_path / "j") as reader:
        (attempt,) = reader.attempts()

    assert (ear.kept, ear.failure) == ([0], None)
    assert attempt.detail.startswith("half a ")
