from __future__ import annotations

import pytest
from journal_rows import answered, attempt_failed, failed, opened, write

from arriero.core.batch import BatchStatus
from arriero.core.outcome import FailureKind
from arriero.errors import BindingError, HeldError, StorageError
from arriero.journal.check import check
from arriero.journal.reader import JournalReader
from arriero.journal.rounds import retry


def test_failed_requests_wait_again_in_a_new_round_and_their_ends_are_kept(tmp_path):
    path = tmp_path / "j"
    with opened(path) as journal:
        journal.note_total(3)
        journal.record([answered(0), failed(1), failed(2, FailureKind.POISON)], [attempt_failed(1)])
        journal.finish(BatchStatus.FINISHED)

    assert retry(path) == 2
    with JournalReader(path) as reader:
        counts = reader.counts()
        assert (counts.succeeded, counts.failed, counts.waiting) == (1, 0, 2)
        assert (reader.batch().status, reader.batch().round) == (BatchStatus.STOPPED, 1)
        assert [(r.position, r.round, r.kind) for r in reader.history()] == [
            (1, 0, FailureKind.TIMEOUT),
            (2, 0, FailureKind.POISON),
        ]
    with opened(path) as journal:
        assert [p in journal.done for p in range(3)] == [True, False, False]
        assert (journal.round, journal.attempts_used, journal.done.failed) == (1, {}, 0)
        assert [position for position, _, _ in journal.hashes()] == [0]
        journal.record([answered(1, round_=1), failed(2, round_=1)], [])
    with JournalReader(path) as reader:
        assert [(r.position, r.round, r.succeeded) for r in reader.results()] == [
            (0, 0, True),
            (1, 1, True),
            (2, 1, False),
        ]
        assert all(one.ok for one in check(reader))


def test_only_the_kinds_asked_for_are_opened(tmp_path):
    path = tmp_path / "j"
    write(path, [failed(0), failed(1, FailureKind.REJECTED), failed(2)])
    assert retry(path, {FailureKind.TIMEOUT}) == 2
    with JournalReader(path) as reader:
        assert [r.position for r in reader.results()] == [1]


def test_with_nothing_to_retry_no_round_is_opened(tmp_path):
    path = tmp_path / "j"
    with opened(path) as journal:
        journal.record([answered(0)], [])
        journal.finish(BatchStatus.FINISHED)
    assert retry(path) == 0
    with JournalReader(path) as reader:
        assert (reader.batch().round, reader.batch().status) == (0, BatchStatus.FINISHED)


def test_the_history_is_read_by_round_over_many_pages(tmp_path):
    path = tmp_path / "j"
    for round_ in range(3):
        write(path, [failed(p, round_=round_) for p in range(250)])
        assert retry(path) == 250
    with JournalReader(path) as reader:
        assert [(r.round, r.position) for r in reader.history()] == [(r, p) for r in range(3) for p in range(250)]


def test_a_journal_that_is_held_cancelled_or_missing_opens_no_round(tmp_path):
    path = tmp_path / "j"
    with pytest.raises(StorageError, match="no journal"):
        retry(path)
    with opened(path) as journal:
        journal.record([failed(0)], [])
        with pytest.raises(HeldError):
            retry(path)
        journal.finish(BatchStatus.CANCELLED)
    with pytest.raises(BindingError, match="cancelled"):
        retry(path)
    with pytest.raises(BindingError, match="no batch 2"):
        retry(path, batch=2)
    assert [p.name for p in tmp_path.iterdir()] == ["j"]
