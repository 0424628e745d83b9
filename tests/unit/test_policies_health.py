"""Health: closed places, ejection, probes and the way back."""

from __future__ import annotations

from math import inf

import pytest

from arriero.core.outcome import FailureKind
from arriero.core.policies.health import ALL_PLACES, Health

ERROR, REFUSED = FailureKind.SERVER_ERROR, FailureKind.UNREACHABLE


def ejected_at(now=0.0, **arguments):
    health = Health(**arguments)
    health.failed(REFUSED, now, 1.0)
    assert health.failed(REFUSED, now, 1.0)
    return health


def test_two_refusals_or_five_errors_in_a_row_eject():
    for kind, count in ((REFUSED, 2), (FailureKind.TIMEOUT, 2), (ERROR, 5), (FailureKind.BAD_REPLY, 5)):
        health = Health()

        assert [health.failed(kind, 0.0, 1.0) for _ in range(count)] == [False] * (count - 1) + [True]
        assert health.ejected
        assert health.reason is kind


def test_a_timeout_inside_an_answer_weighs_less_than_silence():
    health = Health()

    assert [health.failed(FailureKind.TIMEOUT, 0.0, 1.0, began=True) for _ in range(5)] == [*[False] * 4, True]


def test_a_success_forgives_what_came_before():
    health = Health()
    for _ in range(20):
        for _ in range(4):
            health.failed(ERROR, 0.0, 1.0)
        health.succeeded(0.0)

    assert not health.ejected


def test_a_fast_failure_closes_a_place_for_as_long_as_a_success_would_take_at_most():
    health = Health()
    health.failed(ERROR, 10.0, 20.0)
    assert (health.closed(10.4), health.closed(10.5)) == (1, 0)
    health.succeeded(10.5)
    health.failed(ERROR, 11.0, 0.2)
    assert (health.closed(11.1), health.closed(11.2)) == (1, 0)
    health.failed(ERROR, 12.0, 20.0)
    health.failed(ERROR, 12.0, 20.0)

    assert health.closed(12.0) == 2
    assert health.next_change(12.0) == 13.0
    assert health.closed(13.0) == 1
    assert health.next_change(14.0) == inf


def test_an_ejected_instance_gets_nothing_until_its_probe_passes():
    health = ejected_at(100.0)
    assert health.closed(100.0) == ALL_PLACES
    assert health.cap() == 0
    assert health.next_change(100.0) == health.probe_at == 101.0
    health.probe_passed(101.0)

    assert not health.ejected
    assert health.closed(101.0) == 0
    assert health.next_change(101.0) == inf


def test_it_comes_back_at_one_two_four_until_the_limit():
    health = ejected_at()
    health.probe_passed(1.0)
    caps = [health.cap()]
    for _ in range(3):
        health.succeeded(2.0, 8)
        caps.append(health.cap())

    assert caps == [1, 2, 4, None]
    assert health.reason is None


def test_a_cap_is_off_at_last_where_nothing_limits():
    health = ejected_at()
    health.probe_passed(1.0)
    for _ in range(6):
        health.succeeded(2.0, 1 << 30)

    assert health.cap() is None


def test_probes_wait_twice_as_long_each_time_up_to_a_minute():
    health = ejected_at()
    now, waits = 0.0, []
    for _ in range(8):
        waits.append(health.probe_at - now)
        now = health.probe_at
        health.probe_failed(now)

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_the_wait_starts_anew_only_once_the_cap_is_off():
    health = ejected_at()
    health.probe_passed(1.0)
    health.failed(REFUSED, 1.0, 1.0)
    health.failed(REFUSED, 1.0, 1.0)
    assert health.probe_at == 3.0
    health.probe_passed(3.0)
    health.succeeded(4.0, 2)
    health.failed(REFUSED, 5.0, 1.0)
    health.failed(REFUSED, 5.0, 1.0)

    assert health.probe_at == 6.0


def test_a_probe_may_take_longer_after_each_that_failed_up_to_ten_minutes():
    health = ejected_at()
    assert health.probe_timeout_s(5.0) == 15.0
    health.probe_failed(1.0)
    assert health.probe_timeout_s(5.0) == 30.0
    for _ in range(2000):
        health.probe_failed(1.0)
    assert health.probe_timeout_s(5.0) == 600.0
    health.probe_passed(2.0)

    assert health.probe_timeout_s(0.0) == 10.0


def test_failures_of_what_still_ran_there_do_not_eject_twice():
    health = ejected_at(0.0)
    probe_at = health.probe_at

    assert not any(health.failed(REFUSED, 0.5, 1.0) for _ in range(8))
    assert health.down(0.5)
    assert health.probe_at == probe_at


def test_a_success_of_what_still_ran_there_brings_the_probe_forward():
    health = ejected_at(0.0)
    health.probe_failed(1.0)
    health.succeeded(1.5, 8)

    assert health.ejected
    assert health.probe_at == 1.5


@pytest.mark.parametrize("kind", [FailureKind.UNAUTHORIZED, FailureKind.REDIRECTED])
def test_what_only_the_operator_can_mend_ejects_at_once_with_its_reason(kind):
    for gateway in (False, True):
        health = Health(gateway=gateway)

        assert health.failed(kind, 5.0, 1.0)
        assert health.ejected
        assert health.reason is kind
        assert health.probe_at == 65.0


@pytest.mark.parametrize("kind", [FailureKind.REJECTED, FailureKind.MODEL_MISSING, FailureKind.LOST])
def test_what_is_not_the_instances_fault_changes_nothing(kind):
    health = Health()

    assert not any(health.failed(kind, 0.0, 1.0) for _ in range(20))
    assert health.closed(0.0) == 0


def test_an_overloaded_server_is_left_alone_for_as_long_as_it_asks():
    health = Health()

    assert not health.failed(FailureKind.OVERLOADED, 0.0, 1.0, retry_after_s=30.0)
    assert health.closed(29.9) == ALL_PLACES
    assert health.next_change(1.0) == 30.0
    assert health.closed(30.0) == 0


def test_an_overloaded_server_that_names_no_time_is_asked_ever_more_rarely():
    health, now, pauses = Health(), 0.0, []
    for _ in range(9):
        health.failed(FailureKind.OVERLOADED, now, 1.0)
        pauses.append(health.next_change(now) - now)
        now += pauses[-1]

    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_gateway_is_paused_and_tried_with_one_attempt_but_never_ejected():
    health = Health(gateway=True)
    assert [health.failed(REFUSED, 0.0, 1.0) for _ in range(5)] == [*[False] * 4, True], "one server of several"
    assert not health.ejected
    assert health.down(0.5)
    assert health.closed(0.9) == ALL_PLACES
    assert not health.eject(0.9, ERROR)
    assert health.next_change(0.0) == 1.0
    assert health.closed(1.0) == 0
    assert health.cap() == 1
    assert health.failed(ERROR, 1.1, 1.0)
    assert health.next_change(1.1) == pytest.approx(3.1)
    health.succeeded(4.0, 2)

    assert health.cap() is None
    assert health.down_since is None


def test_it_is_down_since_it_was_ejected_until_a_request_succeeds():
    health = ejected_at(7.0)
    health.probe_passed(8.0)
    health.failed(REFUSED, 9.0, 1.0)
    health.failed(REFUSED, 9.0, 1.0)
    assert health.down_since == 7.0
    health.probe_passed(11.0)
    health.succeeded(12.0, 8)

    assert health.down_since is None


def test_time_away_moves_every_deadline():
    health = ejected_at(0.0)
    health.shift(100.0)
    assert health.probe_at == 101.0

    closed = Health()
    closed.failed(ERROR, 0.0, 10.0)
    closed.failed(FailureKind.OVERLOADED, 0.0, 10.0, retry_after_s=5.0)
    closed.shift(100.0)
    assert closed.next_change(50.0) == 105.0


def test_a_place_that_a_failure_closed_stays_closed_for_the_time_that_we_were_away():
    health = Health()
    health.failed(ERROR, 0.0, 10.0)
    health.shift(100.0)

    assert health.closed(100.4) == 1
    assert health.closed(100.5) == 0
