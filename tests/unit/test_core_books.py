"""Books: a batch's requests by state."""

from __future__ import annotations

from desk import failure, row, success

from arriero.core.batch import Batch
from arriero.core.books import Books
from arriero.core.outcome import FailureKind
from arriero.core.request import Result


def opened(**fields):
    books = Books()
    return books, books.open(Batch(id=1, **fields))


def test_what_was_added_waits_runs_or_has_ended():
    books, account = opened()
    account.added, account.running = 5, 2
    books.ended(Result(request=row(0), outcome=success()))
    books.ended(Result(request=row(1), outcome=failure(FailureKind.REJECTED)))
    counts = account.counts()

    assert (counts.succeeded, counts.failed, counts.running, counts.waiting) == (1, 1, 2, 1)
    assert counts.finished == 2


def test_a_batch_is_finished_once_its_input_has_ended_and_nothing_is_open():
    _, account = opened()

    assert not account.finished
    account.total = 0
    assert account.finished
    account.added = 1
    assert not account.finished


def test_a_cancelled_batch_is_finished_although_its_input_was_never_read_to_the_end():
    _, account = opened()
    account.cancelled = True

    assert account.finished


def test_the_longest_wait_of_the_open_batches_counts():
    books, account = opened(max_wait_s=10.0)
    books.open(Batch(id=2, max_wait_s=20.0)).total = 0

    assert books.max_wait_s == 10.0
    account.total = 0
    assert books.max_wait_s == 0.0
