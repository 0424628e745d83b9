"""Simulated servers behave as real ones were seen to; what every engine promises stands in tests/conformance."""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random

import pytest

from arriero.core.events import AttemptBegan, AttemptEnded
from arriero.core.outcome import Failure, FailureKind, Success
from arriero.core.request import Attempt, Content, Request, Timeouts, Unit
from arriero.simulator.engine import Chaos, SimulatedEngine
from arriero.simulator.gateway import Gateway
from arriero.simulator.server import Server
from arriero.simulator.spec import ServerSpec, Truth
from arriero.simulator.timeline import SWEEP_LEAST, StandstillError, Timeline

UNIT = Unit("mistral:7b")
PATIENT = Timeouts(first_byte_s=1000.0, idle_s=1000.0, total_s=1000.0)


class Place:
    """One server, one engine; every prompt is read in 1 s, every answer takes 10 tokens of 1 s."""

    def __init__(self, chaos=Chaos(), truths=None, **spec):  # noqa: B008 - it is frozen
        defaults = {"slots": 2, "token_s": 1.0, "fill": 0.0, "prefill_tokens_per_s": 100.0, "load_s": 5.0, "rtt_s": 0.0}
        self.timeline = Timeline()
        self.server = Server(ServerSpec(name="a", **{**defaults, **spec}), self.timeline, Random(1), Counter())
        truths = truths or {(1, number): Truth(prompt_tokens=100, output_tokens=10) for number in range(50)}
        self.engine = SimulatedEngine(self.timeline, {"a": self.server}, truths, Random(1), chaos)

    def start(self, number, *, unit=UNIT, timeouts=PATIENT, purpose="request", instance="a", **fields):
        row = Request(batch=1, position=number, line=1, id="1", content=Content(), unit=unit)
        attempt = Attempt(
            id=number,
            instance=instance,
            unit=unit,
            purpose=purpose,
            request=row if purpose == "request" else None,
            timeouts=timeouts,
            max_tokens=64,
            backend=self.server.spec.dialect,
            **fields,
        )
        self.engine.start(attempt)
        return row

    def load(self, unit=UNIT):
        self.start(99, unit=unit, purpose="preload")
        return self.until(1)

    def wait(self, until):
        coroutine = self.engine.wait(until)
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)
        return list(stop.value.value)

    def until(self, ends):
        events = []
        while sum(isinstance(event, AttemptEnded) for event in events) < ends:
            events += self.wait(inf)
        return events


def ends(events):
    return {event.attempt: event.outcome for event in events if isinstance(event, AttemptEnded)}


def times(events, kind):
    return {event.attempt: event.at for event in events if isinstance(event, kind)}


def test_an_answer_tells_how_long_its_load_took_and_leaves_its_server_empty():
    place = Place()
    place.start(1)
    began, ended = place.until(1)

    assert (began.at, ended.at) == (6.0, 15.0)
    assert ended.outcome.timing.load_s == 5.0
    assert ended.outcome.timing.ttft_s == 6.0
    assert place.server.holds == 0


def test_slots_are_given_first_come_first_served_and_one_prompt_is_read_at_a_time():
    place = Place()
    place.load()
    for number in range(4):
        place.start(number)
    events = place.until(4)

    assert times(events, AttemptBegan) == {0: 6.0, 1: 7.0, 2: 16.0, 3: 17.0}
    assert times(events, AttemptEnded) == {0: 15.0, 1: 16.0, 2: 25.0, 3: 26.0}


def test_more_that_decode_slow_every_one_down():
    place = Place(fill=0.5, truths={(1, number): Truth(prompt_tokens=1, output_tokens=11) for number in range(2)})
    place.load()
    place.start(0)
    place.start(1)

    assert times(place.until(2), AttemptEnded)[1] == pytest.approx(20.0, abs=0.05)


@pytest.mark.parametrize(("old", "third_begins"), [(False, 7.5), (True, 16.0)])
def test_a_cancelled_prompt_is_read_on_for_a_second_or_on_old_servers_to_its_end(old, third_begins):
    place = Place(slots=1, old=old, truths={(1, 0): Truth(1000, 10), (1, 1): Truth(100, 10)})
    place.load()
    place.start(0)
    place.start(1)
    assert place.wait(5.5) == []
    place.engine.cancel(0)
    events = place.until(2)

    assert ends(events)[0].kind is FailureKind.CANCELLED
    assert times(events, AttemptEnded)[0] == 5.5
    assert times(events, AttemptBegan) == {1: third_begins}


def test_an_answer_that_is_given_up_frees_its_slot_at_once():
    place = Place(slots=1)
    place.load()
    place.start(0)
    place.start(1)
    place.wait(7.0)
    place.engine.cancel(0)

    assert times(place.until(2), AttemptBegan)[1] == 7.0


def test_a_hang_up_that_comes_too_late_changes_nothing():
    place = Place(chaos=Chaos(race_share=1.0))
    place.start(0)
    place.engine.cancel(0)

    assert isinstance(ends(place.until(1))[0], Success)


def test_an_end_may_be_told_twice():
    place = Place(chaos=Chaos(twice_share=1.0))
    place.start(0)

    assert len([event for event in place.until(2) if isinstance(event, AttemptEnded)]) == 2


def test_a_stopped_server_is_silent_to_what_has_begun():
    place = Place()
    place.load()
    place.timeline.at(7.0, place.server.stop)
    place.start(0, timeouts=Timeouts(1000.0, 3.0, 1000.0))
    events = place.until(1)

    assert ends(events)[0].kind is FailureKind.TIMEOUT
    assert times(events, AttemptEnded)[0] == 10.0


def test_a_server_that_is_stopped_twice_and_goes_on_is_silent_no_more():
    place = Place()
    place.load()
    for at, happens in ((7.0, place.server.stop), (8.0, place.server.stop), (9.0, place.server.go_on)):
        place.timeline.at(at, happens)
    place.start(0, timeouts=Timeouts(1000.0, 3.0, 1000.0))

    assert times(place.until(1), AttemptEnded)[0] == 17.0


def test_a_stopped_server_goes_on_where_it_stood():
    place = Place()
    place.load()
    place.timeline.at(8.0, place.server.stop)
    place.timeline.at(108.0, place.server.go_on)
    place.start(0)

    assert times(place.until(1), AttemptEnded)[0] == 115.0


def test_a_dead_process_fails_what_it_held_and_the_next_request_loads_again():
    place = Place()
    place.load()
    place.start(0)
    place.timeline.at(8.0, place.server.crash)
    failed = ends(place.until(1))[0]
    place.start(1)
    answered = ends(place.until(1))[1]

    assert (failed.kind, failed.crashed, failed.began) == (FailureKind.SERVER_ERROR, True, True)
    assert answered.timing.load_s == 5.0


def test_another_unit_is_loaded_once_the_first_has_drained():
    place = Place()
    place.load()
    place.start(0)
    place.start(1, unit=Unit("mistral:7b", (("num_ctx", 8192),)))

    assert times(place.until(2), AttemptBegan) == {0: 6.0, 1: 21.0}


def test_a_load_is_given_up_with_the_request_that_asked_for_it():
    place = Place()
    place.start(0)
    place.wait(4.0)
    place.engine.cancel(0)
    place.start(1)

    assert times(place.until(2), AttemptBegan)[1] == 10.0


def test_an_answer_is_cut_at_its_bound():
    place = Place(truths={(1, 0): Truth(10, 1000)})
    place.start(0)
    answered = ends(place.until(1))[0]

    assert (answered.finish_reason, answered.usage.output_tokens) == ("length", 64)


def test_a_gateway_deals_in_turn_and_hides_why_something_failed():
    timeline = Timeline()
    servers = [Server(ServerSpec(name=name), timeline, Random(1), Counter()) for name in "ab"]
    gateway = Gateway(ServerSpec(name="g"), servers)
    servers[0].go_down()
    engine = SimulatedEngine(timeline, {"g": gateway}, {(1, n): Truth(10, 10) for n in range(4)}, Random(1))
    place = Place()
    place.engine = engine
    for number in range(4):
        place.start(number, instance="g")
    found = ends(place.until(4))

    assert [isinstance(found[number], Failure) for number in range(4)] == [True, False, True, False]
    assert found[0].kind is FailureKind.BAD_REPLY
    assert found[1].timing.total_s is None


def test_while_we_are_away_servers_go_on_and_deadlines_stand_still():
    place = Place()
    place.load()
    place.start(0, timeouts=Timeouts(1000.0, 1000.0, 8.0))
    place.timeline.at(6.5, lambda: place.engine.sleep(100.0))
    events = place.until(1)

    assert isinstance(ends(events)[0], Success)
    assert place.engine.now() == 106.5


def test_to_wait_for_ever_is_an_error():
    with pytest.raises(StandstillError):
        Place().engine.wait(inf).send(None)


def test_alarms_that_were_called_off_are_not_held():
    timeline, rung = Timeline(), []
    for number in range(10_000):
        timeline.at(600.0 + number, lambda: rung.append(0)).off()
        if number % 1000 == 0:
            timeline.at(1.0 + number, lambda number=number: rung.append(number))

    assert len(timeline._alarms) <= 2 * SWEEP_LEAST
    timeline.go_to(20_000.0)
    assert rung == list(range(0, 10_000, 1000))
