"""Limits: refusals, failures, short answers, bounds and the kinds of limit."""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from random import Random

import pytest

from arriero.core.instance import Instance, InstanceLimit
from arriero.core.outcome import Failure, FailureKind, Observation, Success, Timing, Usage
from arriero.core.policies.limit import UNBOUNDED, Limit, Overlap, Sample, limit_for, sample
from arriero.core.policies.spare import spare_places


def test_answers_of_one_token_climb_by_throughput():
    limit = Overlap(ladder=True, most=256)
    free_at = [0.0] * 32  # a server that answers 32 at once, each in 0.1 s
    flying, now, sent, reached = [], 0.0, 0, 0
    for _ in range(1500):
        while len(flying) < limit.limit(now):
            start = max(now, free_at[0])
            heapreplace(free_at, start + 0.1)
            limit.started(sent, now)
            heappush(flying, (start + 0.1, sent, now))
            sent += 1
        now, attempt, sent_at = heappop(flying)
        limit.began(attempt, now)
        limit.ended(attempt, now, Sample("success", now - sent_at, 10, 1))
        reached = max(reached, limit.limit(now))

    assert limit.in_one_piece
    assert 32 <= reached <= 64
    assert 16 <= limit.limit(now) <= 64


def test_a_refusal_bounds_the_limit_by_what_stayed_and_not_for_ever():
    limit = Overlap(slots=9)
    for attempt in range(10):
        limit.started(attempt, 0.0)
    limit.ended(9, 1.0, Sample("overloaded", 0.1))
    limit.ended(8, 1.0, Sample("overloaded", 0.1))
    assert limit.limit(1.0) == 8
    assert limit.limit(31.1) == 10
    limit.ended(7, 40.0, Sample("overloaded", 0.1, retry_after_s=200.0))

    assert limit.limit(239.0) == 7
    assert limit.limit(241.0) == 10


def test_failed_and_cancelled_attempts_leave_no_phantom():
    limit = Overlap()
    for attempt in range(200):
        limit.started(attempt, attempt * 1.0)
        if attempt % 2:
            limit.began(attempt, attempt + 0.2)
        limit.ended(attempt, attempt + 0.5, Sample("failed", 0.5))
    limit.ended(3, 300.0, Sample("failed", 0.5))
    limit.began(999, 300.0)

    assert limit.slots == 1
    assert limit.limit(300.0) == 2


def test_books_stay_bounded_when_most_attempts_fail_in_late_mode():
    limit = Overlap()
    random = Random(4)
    live = []
    for attempt in range(3000):
        limit.started(attempt, attempt * 0.1)
        live.append(attempt)
        while len(live) >= limit.limit(attempt * 0.1):
            ended = live.pop(random.randrange(len(live)))
            kind = "success" if random.random() < 0.3 else "failed"
            limit.ended(
                ended, attempt * 0.1 + 0.05, Sample(kind, 0.4, 10, 10, prefill_s=0.1, decode_s=0.2, total_s=0.3)
            )

    assert len(limit._points._points) <= 64
    assert len(limit._attempts) == len(live)


@pytest.mark.parametrize(("slots", "ends"), [(1, 0.01), (8, 0.2), (8, 1.3), (32, 5.0), (32, 60.0), (256, 300.0)])
def test_spare_places_lose_no_more_than_half_a_percent_of_the_slots(slots, ends):
    def idle(places):
        chance, loss = 2.718281828459045**-ends, 0.0
        for count in range(1, 1200):
            chance *= ends / count
            loss += chance * max(0, count - places)
        return loss

    places = spare_places(slots, ends)
    assert 1 <= places <= slots + 8
    assert idle(places) <= 0.005 * slots + 1e-9 or places == slots + 8
    assert places == 1 or idle(places - 1) > 0.005 * slots


def test_the_operators_bounds_go_first():
    def limit(bounds, *, learned=True, backend="ollama"):
        return limit_for(Instance(name="a", url="http://a", limit=bounds), backend, "server", None, learned)

    assert limit(InstanceLimit(4, 4, 4), learned=False).limit(0.0) == 4
    assert limit(InstanceLimit(2, 8, 64)).limit(0.0) == 8
    assert limit(None, learned=False).limit(0.0) == UNBOUNDED
    assert limit(None).limit(0.0) == 2


def test_memory_starts_one_above_the_slots():
    remembered: Limit = limit_for(Instance(name="a", url="http://a"), "openai", "server", 48, learned=True)

    assert remembered.limit(0.0) == 49


def test_a_sample_keeps_what_a_limit_can_learn_from():
    timing = Timing(latency_s=2.0, ttft_s=0.5, prefill_s=0.2, decode_s=1.5, total_s=1.9)
    success = Success(text="x", finish_reason="stop", usage=Usage(7, 30), timing=timing)
    refused = Failure(kind=FailureKind.OVERLOADED, latency_s=0.1, retry_after_s=7.0)

    assert sample(success) == Sample("success", 2.0, 7, 30, 0.5, 0.2, 1.5, 1.9)
    assert sample(refused) == Sample("overloaded", 0.1, retry_after_s=7.0)
    assert sample(Failure(kind=FailureKind.TIMEOUT, latency_s=3.0)) == Sample("failed", 3.0)
    assert sample(Success(text="", finish_reason="load", usage=Usage(), timing=timing)).kind == "failed"
    assert sample(Observation(subject="version", latency_s=0.01)).kind == "failed"


def test_no_refusal_takes_the_limit_below_the_operators_least():
    limit = limit_for(
        Instance(name="a", url="http://a", limit=InstanceLimit(4, 8, 64)), "ollama", "server", None, learned=True
    )
    limit.started(1, 0.0)
    limit.started(2, 0.0)
    limit.ended(2, 0.0, Sample("overloaded", 0.1))

    assert limit.limit(0.0) == 4
