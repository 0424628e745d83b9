"""Overlap: slots found, lost and found again on a small virtual server, live and late, with timings and without."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from random import Random
from statistics import median

import pytest

from arriero.core.instance import Instance
from arriero.core.policies.limit import UNBOUNDED, Fixed, Overlap, Sample, Unbounded, limit_for

TOKEN_S = 0.01
FILL = 0.12
PREFILL_TOKEN_S = 0.0005


class Held:
    """What the virtual server knows of one attempt."""

    def __init__(self, sent, prompt_tokens, output_tokens):
        self.sent = sent
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.prefill_at = self.first_at = 0.0


class ClosedLoop:
    """A server with slots, one prefill at a time and shared decoding; a client that always has work.

    A token takes ``TOKEN_S * (1 + FILL * (b - 1))`` while b decode. News reaches the client half a
    round trip later.
    """

    def __init__(
        self, limit, slots, *, seed=1, rtt_s=0.005, live=True, timings=True, cap=None, end_lag_s=0.0, fifo=True
    ):
        self.limit, self.slots, self.rtt_s = limit, slots, rtt_s
        self.live, self.timings, self.cap = live, timings, cap
        self.end_lag_s, self.fifo = end_lag_s, fifo
        self.random = Random(seed)
        self.now = 0.0
        self.events, self.order = [], 0
        self.held = {}
        self.queue, self.prefills, self.decoding = deque(), deque(), []
        self.taken = 0
        self.work = self.worked_at = 0.0
        self.sent = self.ends = 0
        self.in_flight = 0
        self.limits, self.parked = [], []

    def at(self, when, what, attempt):
        self.order += 1
        heappush(self.events, (when, self.order, what, attempt))

    def run(self, requests):
        target = self.ends + requests
        self.fill()
        while self.ends < target:
            self.now, _, what, attempt = heappop(self.events)
            getattr(self, what)(attempt)
        return self.limit.slots

    def fill(self):
        while self.in_flight < min(self.limit.limit(self.now), self.cap or UNBOUNDED):
            self.sent += 1
            self.in_flight += 1
            prompt = max(4, int(self.random.lognormvariate(4.0, 0.8)))
            self.held[self.sent] = Held(self.now, prompt, max(2, int(self.random.lognormvariate(4.0, 0.9))))
            self.limit.started(self.sent, self.now)
            self.at(self.now + self.rtt_s / 2, "arrived", self.sent)

    def arrived(self, attempt):
        self.queue.append(attempt)
        self.take()

    def take(self):
        while self.queue and self.taken < self.slots:
            self.taken += 1
            if not self.fifo:
                self.queue.rotate(self.random.randrange(len(self.queue)))
            self.prefills.append(self.queue.popleft())
            if len(self.prefills) == 1:
                self.prefill()

    def prefill(self):
        held = self.held[self.prefills[0]]
        held.prefill_at = self.now
        self.at(self.now + PREFILL_TOKEN_S * held.prompt_tokens, "prefilled", self.prefills[0])

    def prefilled(self, attempt):
        self.prefills.popleft()
        if self.prefills:
            self.prefill()
        held = self.held[attempt]
        held.first_at = self.now
        if self.live:
            self.at(self.now + self.rtt_s / 2, "first", attempt)
        self.progress()
        heappush(self.decoding, (self.work + held.output_tokens, attempt))
        self.plan()

    def progress(self):
        if self.decoding:
            self.work += (self.now - self.worked_at) / (TOKEN_S * (1 + FILL * (len(self.decoding) - 1)))
        self.worked_at = self.now

    def plan(self):
        if self.decoding:
            left = max(0.0, self.decoding[0][0] - self.work)
            self.at(self.now + left * TOKEN_S * (1 + FILL * (len(self.decoding) - 1)), "decoded", self.decoding[0][1])

    def decoded(self, attempt):
        self.progress()
        if not self.decoding or self.decoding[0][1] != attempt or self.decoding[0][0] > self.work + 1e-6:
            return  # planned before the number that decode changed
        heappop(self.decoding)
        self.taken -= 1
        held = self.held[attempt]
        held.done_at = self.now
        self.at(self.now + self.rtt_s / 2 + self.end_lag_s, "ended", attempt)
        self.take()
        self.plan()

    def first(self, attempt):
        self.limit.began(attempt, self.now)
        self.fill()

    def ended(self, attempt):
        held = self.held.pop(attempt)
        timed = {}
        if self.timings:
            timed = {
                "prefill_s": held.first_at - held.prefill_at,
                "decode_s": held.done_at - held.first_at,
                "total_s": held.done_at - held.sent - self.rtt_s / 2,
            }
        ttft = held.first_at + self.rtt_s / 2 - held.sent
        end = Sample("success", self.now - held.sent, held.prompt_tokens, held.output_tokens, ttft, **timed)
        self.in_flight -= 1
        self.ends += 1
        self.parked.append(len(self.queue))
        self.limit.ended(attempt, self.now, end)
        self.limits.append(self.limit.limit(self.now))
        self.fill()


@pytest.mark.parametrize("timings", [True, False], ids=["timings", "bare"])
@pytest.mark.parametrize("live", [True, False], ids=["live", "late"])
@pytest.mark.parametrize("slots", [1, 2, 4, 8, 32])
def test_slots_are_found_within_two_after_ten_requests_a_slot(slots, live, timings):
    loop = ClosedLoop(Overlap(), slots, live=live, timings=timings)

    found = loop.run(10 * slots)
    assert abs(found - slots) <= 2
    loop.run(5 * slots)
    assert abs(median(loop.limits[-5 * slots :]) - slots) <= 4


@pytest.mark.parametrize("live", [True, False], ids=["live", "late"])
def test_a_server_that_takes_slots_away_and_gives_them_back_is_followed(live):
    loop = ClosedLoop(Overlap(), 8, live=live)
    assert loop.run(80) == 8

    loop.slots = 3
    assert loop.run(60) <= 4
    loop.slots = 8
    assert loop.run(80) == 8


@pytest.mark.parametrize("remembered", [1, 4, 16])
def test_a_wrong_memory_is_corrected(remembered):
    loop = ClosedLoop(Overlap(slots=remembered), 4)
    assert loop.limit.limit(0.0) == remembered + 1

    assert loop.run(40) == 4


def test_a_long_round_trip_earns_more_spare_places():
    near, far = ClosedLoop(Overlap(), 8, rtt_s=0.002), ClosedLoop(Overlap(), 8, rtt_s=0.2)
    near.run(200)
    far.run(200)

    assert near.limits[-1] == 9
    assert far.limits[-1] > 10
    assert far.limit.slots == 8


def test_scarce_work_never_lowers_what_was_seen():
    loop = ClosedLoop(Overlap(), 8)
    loop.run(80)
    loop.cap = 2

    assert loop.run(100) == 8
    assert loop.limit.limit(loop.now) == 9


def test_a_fixed_limit_never_moves_and_still_counts_the_slots():
    loop = ClosedLoop(Fixed(12), 4)

    assert loop.run(60) == 4
    assert set(loop.limits) == {12}


def test_an_unbounded_limit_counts_the_slots_of_what_is_sent():
    loop = ClosedLoop(Unbounded(), 8, cap=20)

    assert loop.limit.limit(0.0) == UNBOUNDED
    assert loop.run(100) == 8


def test_a_limit_stays_within_its_bounds():
    loop = ClosedLoop(Overlap(least=3, start=4, most=6), 16)
    assert loop.limit.limit(0.0) == 4
    loop.run(100)
    assert max(loop.limits) == 6

    single = ClosedLoop(Overlap(least=3, start=4, most=6), 1)
    single.run(100)
    assert min(single.limits) == 3


def test_a_gateway_starts_at_16_and_keeps_half_its_slots_spare():
    limit = limit_for(Instance(name="g", url="http://g"), "ollama", "gateway", None, learned=True)
    loop = ClosedLoop(limit, 12)
    assert limit.limit(0.0) == 16
    loop.run(200)

    assert limit.slots == 12
    assert loop.limits[-1] == 18


@pytest.mark.parametrize("slots", [1, 8])
def test_an_end_that_is_heard_after_the_token_it_made_room_for_does_not_make_a_slot(slots):
    loop = ClosedLoop(Overlap(), slots, end_lag_s=0.004 + PREFILL_TOKEN_S * 50)

    loop.run(60)
    assert loop.run(60) == slots


@pytest.mark.parametrize("live", [True, False], ids=["live", "late"])
def test_a_queue_out_of_order_costs_a_few_places_at_most(live):
    loop = ClosedLoop(Overlap(), 8, live=live, fifo=False)
    loop.run(100)
    found = [loop.run(1) for _ in range(100)]

    assert 8 <= median(found) <= 12


def test_where_only_ends_are_told_a_probe_waits_for_the_ends_of_what_it_sent():
    assert ClosedLoop(Overlap(), 32, live=False).run(120) >= 30


def after(limit, slots, cap, requests, *, seed, live, timings):
    """The limit once so many requests have ended, of as many as ``cap`` in flight."""
    ClosedLoop(limit, slots, seed=seed, live=live, timings=timings, cap=cap).run(requests)
    return limit


@pytest.mark.parametrize("slots", [2, 4, 7])
@pytest.mark.parametrize(("live", "timings"), [(True, True), (True, False), (False, True)])
def test_slots_are_told_as_a_fact_only_where_more_was_sent_and_no_more_ran(slots, live, timings):
    for seed, requests in enumerate((10, 25, 25, 60, 60)):
        more = after(Unbounded(), slots, slots + 3, requests, seed=seed, live=live, timings=timings)
        assert more.slots == slots or not more.tested
    assert more.tested
    for cap in (slots - 1, slots):
        assert not after(Unbounded(), slots, cap, 60, seed=1, live=live, timings=timings).tested


def test_slots_that_are_only_guessed_are_never_a_fact():
    assert not after(Unbounded(), 4, 30, 200, seed=1, live=False, timings=False).tested


def test_remembered_slots_stay_a_fact_until_something_else_is_seen():
    known = Unbounded(slots=4, tested=True)
    assert after(known, 4, 2, 30, seed=1, live=True, timings=True).tested
    assert not after(Unbounded(slots=4), 4, 2, 30, seed=1, live=True, timings=True).tested

    more = Unbounded(slots=4, tested=True)
    assert after(more, 8, 8, 60, seed=1, live=True, timings=True).slots > 4
    assert not more.tested


def heard(limit, attempt, sent, ended, *, took):
    """An end heard at ``ended``, whose server worked for ``took`` seconds."""
    durations = {"prefill_s": 0.1, "decode_s": took - 0.1, "total_s": took}
    limit.ended(attempt, ended, Sample("success", ended - sent, 10, 10, 0.1, **durations))


def test_an_end_that_is_heard_late_by_its_servers_own_clock_shows_no_second_slot():
    limit = Overlap()
    limit.started(1, 0.0)
    limit.started(2, 0.0)
    limit.began(1, 0.1)
    limit.began(2, 1.1)  # the slot was free at 1.0; the end of the first is still on its way
    assert limit.slots == 2
    heard(limit, 1, 0.0, 1.3, took=1.0)

    assert limit.slots == 1


def test_what_was_remembered_is_not_taken_back_by_one_late_end():
    limit = Overlap(slots=2, tested=True)
    limit.started(1, 0.0)
    limit.started(2, 0.0)
    limit.began(1, 0.1)
    limit.began(2, 1.1)
    heard(limit, 1, 0.0, 1.3, took=1.0)

    assert limit.slots == 2


def test_two_that_surely_ran_together_by_their_servers_own_clock_stay_two_slots():
    limit = Overlap()
    limit.started(1, 0.0)
    limit.started(2, 0.0)
    limit.began(1, 0.1)
    limit.began(2, 0.2)
    heard(limit, 1, 0.0, 1.3, took=1.1)

    assert limit.slots == 2
