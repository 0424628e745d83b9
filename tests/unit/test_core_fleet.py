"""Fleet: who has room, and who is best."""

from __future__ import annotations

import pytest
from desk import MISTRAL, Desk, row

from arriero.core.events import InstanceJoined, InstanceLeft, LimitSet
from arriero.core.instance import Concurrency, Instance, InstanceLimit
from arriero.core.outcome import FailureKind


def rows(n):
    return [row(position) for position in range(n)]


def test_nothing_starts_beyond_the_limit_of_an_instance():
    desk = Desk("a", "b", limit=2)
    desk.add(*rows(9))

    assert len(desk.requests("a")) == len(desk.requests("b")) == 2


def test_a_fixed_total_is_spread_over_the_instances():
    desk = Desk("a", "b", "c", limit=4, concurrency=Concurrency(total=6, learned=False))
    desk.add(*rows(20))

    assert [len(desk.requests(name)) for name in "abc"] == [2, 2, 2]
    assert desk.scheduler.fleet.in_flight == 6


def test_a_total_an_instance_grows_with_the_fleet():
    desk = Desk("a", limit=9, concurrency=Concurrency(per_instance=3, learned=False))
    desk.add(*rows(20))
    assert len(desk.requests()) == 3

    desk.join("b", limit=9)
    desk.settle()
    assert len(desk.requests()) == 6


def test_a_new_limit_holds_at_once_and_cancels_nothing():
    desk = Desk("a", limit=3)
    desk.add(*rows(9))
    desk.tell(LimitSet(InstanceLimit(1, 1, 1), "a"))
    first, second, third = desk.requests()
    desk.end(first, desk.well(first))
    desk.end(second, desk.well(second))

    assert desk.requests() == [third]
    desk.tell(LimitSet(InstanceLimit(4, 4, 4), "a"))
    assert len(desk.requests()) == 4
    assert desk.cancelled == []


def test_a_new_total_holds_for_the_fleet():
    desk = Desk("a", "b", limit=4)
    desk.add(*rows(2))
    desk.tell(LimitSet(InstanceLimit(1, 3, 3)))
    desk.add(*rows(9))

    assert len(desk.requests()) == 3


def test_an_instance_that_left_is_forgotten_and_its_requests_go_elsewhere():
    desk = Desk("a", "b", limit=1)
    desk.add(*rows(2))
    (gone,) = desk.requests("a")
    desk.tell(InstanceLeft("a"))
    desk.fail(gone, FailureKind.LOST)
    (other,) = desk.requests("b")
    desk.end(other, desk.well(other))

    assert desk.cancelled == [gone.id]
    assert desk.scheduler.fleet.usable == len(desk.scheduler.fleet) == 1
    desk.plan(at=2.0)
    assert desk.positions("b") == [0]


def test_a_free_slot_goes_before_a_place_in_a_queue():
    desk = Desk("fast", "slow", limit=8)
    fleet = desk.scheduler.fleet
    desk.add(row(0), row(1))
    for name, token_s in (("fast", 0.01), ("slow", 0.05)):
        pace = fleet.pace(desk.member(name), MISTRAL)
        pace._decode_s, pace._tokens = token_s, 1.0
        fleet.touch(desk.member(name), 0.0)

    assert fleet._cost(desk.member("fast"), MISTRAL) > fleet._cost(Desk("idle").member("idle"), MISTRAL)


def test_an_instance_that_loads_for_too_long_is_not_waited_for_with_the_fixed_total():
    desk = Desk(concurrency=Concurrency(total=8, learned=False))
    for name in "ab":
        desk.tell(InstanceJoined(Instance(name=name, url=f"http://{name}")))
    desk.settle()
    desk.scheduler.add(rows(20), 0.0)
    desk.plan()
    while [step for step in desk.running.values() if step.instance == "a" and step.request is None]:
        step = next(step for step in desk.running.values() if step.instance == "a")
        desk.end(step, desk.well(step))
    assert len(desk.requests("a")) == 4

    desk.later(61.0)

    assert len(desk.requests("a")) == 8


def test_a_unit_is_served_while_one_trusted_instance_can():
    desk = Desk("a", "b")
    fleet = desk.scheduler.fleet
    answers = [fleet.served(MISTRAL)]
    for name in "ab":
        desk.member(name).health.eject(0.0)
        answers.append(fleet.served(MISTRAL))
    desk.member("b").health.probe_passed(1.0)
    desk.member("b").health.succeeded(1.0)
    answers.append(fleet.served(MISTRAL))
    desk.tell(InstanceLeft("b"))

    assert answers == [True, True, False, True]
    assert not fleet.served(MISTRAL)


@pytest.mark.parametrize("learned", [True, False])
def test_members_and_requests_are_counted_once(learned):
    desk = Desk("a", "b", limit=2, concurrency=Concurrency(total=3, learned=learned))
    desk.add(*rows(9))
    while desk.requests():
        attempt = desk.requests()[0]
        assert desk.scheduler.fleet.in_flight == len(desk.requests()) <= 3
        desk.end(attempt, desk.well(attempt))

    assert desk.ended() == dict.fromkeys(range(9), "ok")
