"""Retry: the table of kinds in docs/reliability.md, a row a test."""

from __future__ import annotations

from random import Random

import pytest

from arriero.core.outcome import HARD_FAULTS, INSTANCE_FAULTS, REQUEST_FAULTS, FailureKind
from arriero.core.policies.retry import backoff_s, charges, retry


def decide(kind, **changes):
    arguments = {
        "charged": 1,
        "retries": 4,
        "elsewhere": True,
        "retry_after_s": None,
        "overloaded_for_s": 0.0,
        "max_wait_s": 3600.0,
        "repeated_before": False,
        "random": Random(1),
    }
    return retry(kind, **(arguments | changes))


def test_waits_are_spread_over_the_whole_interval_and_never_pass_a_minute():
    random = Random(2)
    for failures, most_s in ((1, 1.0), (2, 2.0), (4, 8.0), (7, 60.0), (5000, 60.0)):
        waits = [backoff_s(failures, random) for _ in range(300)]

        assert 0.0 <= min(waits) < 0.1 * most_s
        assert 0.9 * most_s < max(waits) <= most_s


def test_the_first_retry_goes_at_once_where_it_has_not_failed():
    assert backoff_s(1, Random(1), elsewhere=True) == 0.0
    assert backoff_s(2, Random(1), elsewhere=True) > 0.0
    assert backoff_s(1, Random(1), elsewhere=False) > 0.0


@pytest.mark.parametrize("kind", sorted(INSTANCE_FAULTS))
def test_an_instance_fault_uses_attempts_up_and_ends_after_the_last(kind):
    assert charges(kind)
    assert [decide(kind, charged=charged, retries=2) is None for charged in (1, 2, 3)] == [False, False, True]
    assert decide(kind, charged=1, retries=0) is None


@pytest.mark.parametrize(
    "kind", [*sorted(REQUEST_FAULTS), FailureKind.CANCELLED, FailureKind.EXPIRED, FailureKind.POISON]
)
def test_what_another_attempt_cannot_mend_ends_at_once(kind):
    assert decide(kind, charged=0) is None
    assert not charges(kind)


def test_overload_uses_up_nothing_and_is_bounded_by_max_wait():
    assert not charges(FailureKind.OVERLOADED)
    assert decide(FailureKind.OVERLOADED, charged=99) is not None
    assert decide(FailureKind.OVERLOADED, overloaded_for_s=3599.0, random=Random(3)) <= 1.0
    assert decide(FailureKind.OVERLOADED, overloaded_for_s=3600.0) is None


def test_a_server_is_obeyed_but_not_for_more_than_five_minutes():
    assert 7.0 <= decide(FailureKind.OVERLOADED, retry_after_s=7.0) <= 8.0
    assert 300.0 <= decide(FailureKind.OVERLOADED, retry_after_s=1e9) <= 301.0


def test_overload_that_lasts_is_asked_ever_more_rarely():
    random = Random(5)
    waited_s, asked = 0.0, 0
    while (wait_s := decide(FailureKind.OVERLOADED, overloaded_for_s=waited_s, random=random)) is not None:
        waited_s += wait_s
        asked += 1

    assert waited_s == pytest.approx(3600.0)
    assert 80 <= asked <= 250


def test_a_missing_model_goes_elsewhere_or_ends():
    assert decide(FailureKind.MODEL_MISSING, charged=9, elsewhere=True) == 0.0
    assert decide(FailureKind.MODEL_MISSING, elsewhere=False) is None
    assert not charges(FailureKind.MODEL_MISSING)


@pytest.mark.parametrize("kind", [*sorted(HARD_FAULTS), FailureKind.LOST])
def test_what_takes_the_instance_away_is_not_the_requests_fault(kind):
    assert not charges(kind)
    assert decide(kind, charged=99, elsewhere=True) == 0.0
    assert 0.0 <= decide(kind, charged=99, elsewhere=False) <= 1.0


def test_a_repeat_abort_is_asked_again_once_only():
    assert decide(FailureKind.BAD_REPLY) == 0.0
    assert decide(FailureKind.BAD_REPLY, charged=2, repeated_before=True) is None


def test_an_invalid_output_is_asked_again_without_waiting():
    assert decide(FailureKind.INVALID_OUTPUT, charged=3, elsewhere=False) == 0.0
    assert decide(FailureKind.INVALID_OUTPUT, charged=5) is None


@pytest.mark.parametrize("kind", list(FailureKind))
def test_no_kind_can_go_on_for_ever(kind):
    spent = {"charged": 5, "overloaded_for_s": 3600.0, "elsewhere": False}

    assert charges(kind) is (kind in INSTANCE_FAULTS or kind is FailureKind.INVALID_OUTPUT)
    assert decide(kind, **spent) is None or kind in HARD_FAULTS or kind is FailureKind.LOST
