import pytest

from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.monitor.tally import InstanceView, Tally

VIEW = InstanceView("gpu-01", "http://h:1", "ok", None, 0, None, None)


def answered(total_s=None, output_tokens=5):
    timing = Timing(latency_s=1.0, load_s=0.1, prefill_s=0.2, decode_s=0.5, total_s=total_s)
    return Success(text="", finish_reason="stop", usage=Usage(output_tokens=output_tokens), timing=timing)


def test_a_failed_request_counts_in_the_rate_and_in_no_latency():
    tally = Tally()
    tally.ended(Failure(kind=FailureKind.TIMEOUT), 1.0)

    assert tally.rate.totals(1.0) == (1, 0)
    assert (tally.succeeded, tally.latency.count) == (0, 0)


def test_tokens_that_were_not_counted_add_nothing():
    tally = Tally()
    tally.ended(answered(output_tokens=None), 1.0)

    assert (tally.succeeded, tally.output_tokens) == (1, 0)


def test_the_queue_wait_follows_the_last_answers():
    tally = Tally()
    for _ in range(200):
        tally.ended(answered(total_s=0.8), 1.0)
    for _ in range(60):
        tally.ended(answered(total_s=1.8), 2.0)

    assert tally.queue_s == pytest.approx(1.0, abs=0.01)


def test_a_server_that_tells_no_timings_has_no_queue_wait():
    tally = Tally()
    tally.ended(answered(), 1.0)

    assert tally.snapshot(VIEW, 2.0, 1.0).queue_s is None
