"""Verdict: what the end of one attempt means for its request."""

from __future__ import annotations

from random import Random

import pytest
from desk import failure, row, success

from arriero.core.batch import Batch
from arriero.core.outcome import FailureKind
from arriero.core.queue import Open
from arriero.core.request import Attempt, Timeouts
from arriero.core.verdict import FORGIVEN_MOST, blames_instance, judge_failure, judge_success, refund

ERROR = FailureKind.SERVER_ERROR


def attempt(context_tokens=None):
    return Attempt(id=1, instance="a", timeouts=Timeouts(1.0, 1.0, 1.0), context_tokens=context_tokens)


def judged(entry, kind, *, tried=None, forgiven=False, elsewhere=True, now=0.0, retries=2, **fields):
    batch = Batch(id=1, retries=retries, max_wait_s=100.0)
    return judge_failure(
        entry,
        tried or attempt(),
        failure(kind, **fields),
        batch,
        forgiven=forgiven,
        elsewhere=elsewhere,
        now=now,
        random=Random(1),
    )


def test_an_answer_that_fits_its_context_ends_the_request():
    answer = success(output=91, prompt=10)  # the last token is never fed back

    assert judge_success(Open(row(0)), attempt(100), answer).end is answer
    assert judge_success(Open(row(0)), attempt(), answer).end is answer


def test_an_answer_that_outgrew_its_context_is_asked_once_more_with_the_room_there_is():
    entry = Open(row(0))
    again = judge_success(entry, attempt(100), success(output=95, prompt=10))

    assert again.end is None
    assert entry.room_tokens == 90
    assert not again.charged
    assert judge_success(entry, attempt(100), success(output=95, prompt=10)).end.kind is FailureKind.TOO_LONG


def test_a_refusal_for_the_room_that_we_guessed_is_asked_once_more_with_what_the_prompt_leaves():
    entry = Open(row(0))
    refused = {"kind": FailureKind.TOO_LONG, "tried": attempt(100), "n_prompt_tokens": 60}
    again = judged(entry, **refused)

    assert again.end is None
    assert (entry.room_tokens, entry.charged) == (40, 0)
    assert judged(entry, **refused).end.kind is FailureKind.TOO_LONG


@pytest.mark.parametrize(
    ("max_tokens", "context", "prompt"), [(50, 100, 60), (None, 100, 100), (None, None, 60), (None, 100, None)]
)
def test_a_refusal_of_what_was_asked_for_ends(max_tokens, context, prompt):
    entry = Open(row(0, max_tokens=max_tokens))

    assert judged(entry, FailureKind.TOO_LONG, tried=attempt(context), n_prompt_tokens=prompt).end is not None


def test_a_prompt_that_leaves_no_room_is_too_long_at_once():
    assert judge_success(Open(row(0)), attempt(100), success(output=5, prompt=100)).end.n_prompt_tokens == 100


def test_retries_are_counted_after_the_first_attempt():
    entry = Open(row(0))

    assert [judged(entry, ERROR).end is None for _ in range(3)] == [True, True, False]
    assert entry.charged == 3


def test_a_failure_where_the_instance_goes_out_of_use_is_forgiven_but_not_for_ever():
    entry = Open(row(0))
    for _ in range(FORGIVEN_MOST):
        assert judged(entry, ERROR, forgiven=True, retries=0).end is None

    assert entry.charged == 0
    assert judged(entry, ERROR, forgiven=True, retries=0).end is not None


@pytest.mark.parametrize("kind", [FailureKind.UNREACHABLE, FailureKind.TIMEOUT, ERROR, FailureKind.BAD_REPLY])
def test_no_kind_is_forgiven_without_bound(kind):
    entry = Open(row(0))

    assert [judged(entry, kind, forgiven=True, retries=0).end is None for _ in range(FORGIVEN_MOST + 1)] == [
        *[True] * FORGIVEN_MOST,
        False,
    ]


def test_the_first_failure_of_a_request_speaks_against_the_instance_and_later_ones_against_the_request():
    entry = Open(row(0))
    assert blames_instance(entry, "a", None, ERROR)
    judged(entry, ERROR, now=10.0)

    assert not blames_instance(entry, "a", None, ERROR), "it failed there before"
    assert blames_instance(entry, "b", 9.0, ERROR), "nothing was answered there since"
    assert not blames_instance(entry, "b", 11.0, ERROR), "others are answered there"
    assert blames_instance(entry, "a", 9.0, FailureKind.UNREACHABLE)
    assert not blames_instance(entry, "a", 11.0, FailureKind.UNREACHABLE)


def test_a_refund_gives_an_attempt_back_a_bounded_number_of_times():
    entry = Open(row(0))
    entry.charged = 20

    assert [refund(entry) for _ in range(20)] == [True] * FORGIVEN_MOST + [False] * (20 - FORGIVEN_MOST)
    assert entry.charged == 20 - FORGIVEN_MOST


@pytest.mark.parametrize("kind", [FailureKind.REJECTED, FailureKind.TOO_LONG, FailureKind.UNSUPPORTED])
def test_a_wrong_request_ends_at_its_first_answer(kind):
    verdict = judged(Open(row(0)), kind)

    assert verdict.end.kind is kind
    assert not verdict.charged


def test_the_third_crash_under_a_request_quarantines_it():
    entry = Open(row(0))
    ends = [judged(entry, ERROR, crashed=True, retries=9).end for _ in range(3)]

    assert ends[:2] == [None, None]
    assert ends[2].kind is FailureKind.POISON


def test_overload_is_waited_for_without_a_charge_until_the_wait_is_over():
    entry = Open(row(0))

    assert judged(entry, FailureKind.OVERLOADED, now=0.0, retry_after_s=7.0).wait_s >= 7.0
    assert judged(entry, FailureKind.OVERLOADED, now=99.0).wait_s <= 1.0
    assert judged(entry, FailureKind.OVERLOADED, now=100.0).end.kind is FailureKind.OVERLOADED
    assert entry.charged == 0
    assert entry.failed_on == frozenset()


def test_a_repeated_abort_is_asked_once_more_only():
    entry = Open(row(0))

    assert judged(entry, FailureKind.BAD_REPLY, repeated=True, retries=9).end is None
    assert judged(entry, FailureKind.BAD_REPLY, repeated=True, retries=9).end is not None


def test_the_wait_for_an_overloaded_server_begins_anew_after_another_failure():
    entry = Open(row(0))
    judged(entry, FailureKind.OVERLOADED, now=0.0)
    judged(entry, ERROR, now=50.0)

    assert judged(entry, FailureKind.OVERLOADED, now=120.0).end is None
    assert judged(entry, FailureKind.OVERLOADED, now=220.0).end is not None
