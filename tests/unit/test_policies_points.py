"""Points: what an observation becomes once the attempts it saw have ended."""

from __future__ import annotations

from arriero.core.policies.limit import Overlap, Sample
from arriero.core.policies.points import WINDOW, Point, Points


def ollama(latency_s, prefill_s, decode_s):
    return Sample("success", latency_s, 10, 10, prefill_s=prefill_s, decode_s=decode_s, total_s=latency_s)


def full(at, running, present, assumed=None):
    return Point(at, running, present, full=True, assumed=assumed)


def test_the_largest_overlap_counts_for_one_window():
    points = Points()
    for running in (3, 5, 2):
        points.add(full(0.0, running, 6))
    assert points.seen == 5
    for _ in range(WINDOW - 2):
        points.add(full(1.0, 2, 6))
    assert points.seen == 5
    points.add(full(1.0, 2, 6))

    assert points.seen == 2
    assert points.full == WINDOW


def test_a_point_that_was_not_full_is_kept_without_pushing_others_out():
    points = Points()
    for _ in range(WINDOW):
        points.add(full(0.0, 2, 3))
    points.add(Point(1.0, 4, 4, full=False))

    assert (points.full, points.seen) == (WINDOW, 4)


def test_what_may_have_left_before_a_point_is_not_counted_there():
    points = Points()
    points.add(full(1.0, 2, 3))
    points.add(full(2.0, 2, 3))
    points.left(0.5, 2.005, 0.01)
    assert [point.running for point in points._points] == [2, 1]
    points.left(2.0, 2.005, 0.01)

    assert [point.running for point in points._points] == [2, 1]


def test_what_held_its_slot_while_it_prefilled_is_counted_but_never_more_than_were_there():
    points = Points()
    points.add(full(1.0, 1, 3))
    points.add(full(2.0, 1, 1))
    points.add(full(3.0, 1, 3))
    points.prefilled(0.9, 3.0)

    assert [point.running for point in points._points] == [2, 1, 1]


def test_an_assumption_is_settled_by_the_attempts_own_end():
    points = Points()
    points.add(full(1.0, 3, 4, {7, 8}))
    points.settle(7, 0.5, 2.0, streamed=False)
    assert points.seen == 3
    points.settle(8, 1.5, 2.0, streamed=False)
    assert points.seen == 2
    points.settle(9, 0.5, 2.0, streamed=False)

    assert points.seen == 3


def test_two_that_only_prefill_at_the_same_time_prove_two_slots():
    limit = Overlap()
    limit.started(1, 0.0)
    limit.started(2, 0.0)
    limit.began(1, 0.5)
    limit.ended(1, 0.6, ollama(0.6, 0.5, 0.1))
    assert limit.slots == 1
    limit.began(2, 0.9)
    limit.ended(2, 1.0, ollama(1.0, 0.9, 0.1))

    assert limit.slots == 2
