"""Timeout: explicit, predicted and unknown bounds."""

from __future__ import annotations

from math import inf

import pytest

from arriero.core.outcome import Success, Timing, Usage
from arriero.core.policies.predict import Estimate, Pace
from arriero.core.policies.timeout import TimeoutPolicy
from arriero.core.request import Timeouts

ESTIMATE = Estimate(prompt_tokens=400.0, output_tokens=200.0, q90_tokens=400.0, q999_tokens=1500.0)


def pace_of(token_s, prefill_tokens_per_s=2000.0, answers=20, load_s=0.0):
    pace = Pace(load_s=load_s)
    timing = Timing(latency_s=9.0, prefill_s=400 / prefill_tokens_per_s, decode_s=100 * token_s, total_s=9.0)
    for _ in range(answers):
        pace.observe(Success(text="", finish_reason="stop", usage=Usage(400, 100), timing=timing), 1)
    return pace


def bounds(policy=None, **changes):
    arguments = {
        "size_chars": 1200,
        "request_timeout_s": None,
        "estimate": ESTIMATE,
        "pace": pace_of(0.02),
        "parked": 0,
        "gateway": False,
    }
    return (policy or TimeoutPolicy()).timeouts(**(arguments | changes))


def test_an_explicit_timeout_bounds_first_byte_and_silence_too():
    assert bounds(TimeoutPolicy("fixed", 12.0)) == Timeouts(12.0, 12.0, 12.0)
    assert bounds(TimeoutPolicy("length", 30.0, 0.01)) == Timeouts(42.0, 42.0, 42.0)


def test_the_rows_own_timeout_goes_before_the_rule():
    assert bounds(TimeoutPolicy("fixed", 12.0), request_timeout_s=5.0) == Timeouts(5.0, 5.0, 5.0)
    assert bounds(request_timeout_s=5.0) == Timeouts(5.0, 5.0, 5.0)


@pytest.mark.parametrize(
    "unknown", [{"pace": Pace()}, {"pace": Pace(token_s=0.02)}, {"pace": pace_of(0.02, answers=19)}]
)
def test_until_twenty_answers_the_first_byte_has_ten_minutes(unknown):
    found = bounds(**unknown)

    assert found.first_byte_s == 600.0
    assert found.idle_s == 120.0
    assert found.total_s >= 600.0 + 2 * ESTIMATE.q999_tokens


def test_a_prediction_never_falls_below_its_floor():
    tiny = Estimate(prompt_tokens=1.0, output_tokens=1.0, q90_tokens=1.0, q999_tokens=1.0)
    found = bounds(estimate=tiny)

    assert found.first_byte_s >= 30.0
    assert found.idle_s >= 30.0
    assert found.total_s >= 30.0


def test_a_prediction_covers_the_longest_answer_in_a_thousand_at_that_speed():
    found = bounds()

    assert found.first_byte_s < 60.0
    assert found.total_s > found.first_byte_s + 1500 * 0.02


def test_what_stands_before_the_first_byte_is_added():
    plain = bounds().first_byte_s

    assert bounds(pace=pace_of(0.02, load_s=20.0)).first_byte_s >= plain + 20.0
    assert bounds(parked=2).first_byte_s >= plain + 2 * 1500 * 0.02
    assert bounds(in_flight=32).first_byte_s >= plain + 31 * 0.2


def test_silence_is_measured_by_the_instances_own_speed():
    assert bounds(pace=pace_of(0.02)).idle_s == 30.0
    assert bounds(pace=pace_of(1.5)).idle_s == pytest.approx(150.0)
    assert bounds(pace=pace_of(0.02, prefill_tokens_per_s=10.0)).idle_s == pytest.approx(120.0)


def test_behind_a_gateway_the_first_byte_always_has_ten_minutes():
    found = bounds(gateway=True)

    assert found.first_byte_s == 600.0
    assert found.idle_s == bounds().idle_s
    assert found.total_s >= 630.0


def test_an_answer_in_one_piece_has_the_whole_time_for_its_first_byte():
    found = bounds(stream=False)

    assert found.first_byte_s == found.total_s == bounds().total_s


def test_a_request_that_timed_out_is_given_twice_as_long():
    once, again = bounds(), bounds(timed_out=1)

    assert again == Timeouts(2 * once.first_byte_s, 2 * once.idle_s, 2 * once.total_s)
    assert bounds(timed_out=9999).total_s < inf
    assert bounds(TimeoutPolicy("fixed", 12.0), timed_out=3).total_s == 12.0
