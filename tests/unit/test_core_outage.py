"""Outage: while nothing is usable the batches wait, but not for ever."""

from __future__ import annotations

from desk import LLAMA, Desk, failure, row, success

from arriero.core.batch import Batch
from arriero.core.events import BatchOpened, FleetChanged
from arriero.core.outcome import FailureKind

PATIENT = Batch(id=1, max_wait_s=100.0)


def down(desk, *names):
    for name in names:
        desk.member(name).health.eject(desk.now, FailureKind.UNREACHABLE)
        desk.scheduler._upkeep.ejected(desk.member(name), failure(FailureKind.UNREACHABLE), desk.now)
    desk.plan()


def told(desk):
    return [note.usable for note in desk.notices if isinstance(note, FleetChanged)]


def test_an_outage_is_told_once_and_so_is_its_end():
    desk = Desk("a", batch=PATIENT)
    desk.add(row(0), row(1), row(2))
    down(desk, "a")
    for attempt in desk.requests():
        desk.end(attempt, desk.well(attempt))
    desk.later(10.0)
    desk.settle()
    assert told(desk) == [False]

    desk.end(desk.requests()[0], success())

    assert told(desk) == [False, True]


def test_an_outage_longer_than_max_wait_stops_the_batch():
    desk = Desk("a", batch=PATIENT)
    down(desk, "a")
    desk.scheduler.add([row(0)], 0.0)
    desk.plan()
    assert desk.wake_at <= 100.0

    desk.plan(at=99.0)
    assert desk.scheduler.stop_reason == ""
    desk.plan(at=100.0)
    assert desk.scheduler.stop_reason == "outage"
    assert desk.ended() == {}


def test_a_probe_that_passes_while_requests_fail_does_not_end_an_outage():
    desk = Desk("a", limit=1, batch=PATIENT)
    desk.add(*(row(position) for position in range(300)))
    while desk.now < 150.0 and not desk.scheduler.stop_reason:
        for attempt in list(desk.running.values()):
            if attempt.request is None:
                desk.end(attempt, desk.well(attempt))
            else:
                desk.fail(attempt, FailureKind.UNREACHABLE)
        desk.plan(at=min(desk.wake_at, desk.now + 5.0))

    assert desk.scheduler.stop_reason == "outage"
    assert desk.now <= 120.0


def test_instances_that_all_refuse_us_are_not_waited_for():
    desk = Desk("a", "b", limit=1)
    desk.add(row(0), row(1), row(2))
    for attempt in desk.requests():
        desk.fail(attempt, FailureKind.UNAUTHORIZED)

    assert desk.scheduler.stop_reason == "refused"


def test_rows_of_a_unit_that_nobody_serves_any_more_expire_while_others_go_on():
    desk = Desk("a", "b", limit=1, batch=PATIENT, models={"a": ("mistral:7b",), "b": ("llama3:8b",)})
    desk.add(row(0), row(1), row(2, LLAMA), row(3, LLAMA))
    down(desk, "b")
    desk.plan(at=50.0)
    assert desk.ended() == {}

    desk.plan(at=100.0)
    assert desk.ended() == {3: "expired"}
    assert desk.scheduler.stop_reason == ""


def test_one_instance_that_refuses_us_does_not_end_the_wait_for_another_that_is_down():
    desk = Desk("a", "b", limit=1, batch=PATIENT)
    desk.add(row(0), row(1), row(2))
    for attempt in desk.requests("a"):
        desk.fail(attempt, FailureKind.UNAUTHORIZED)
    down(desk, "b")
    for attempt in desk.requests("b"):
        desk.fail(attempt, FailureKind.UNREACHABLE)
    desk.later(20.0)

    assert not desk.member("a").usable
    assert not desk.member("b").usable
    assert desk.scheduler.stop_reason == ""


def test_what_still_runs_at_the_end_of_the_wait_may_end_the_outage():
    desk = Desk("a", limit=1, batch=PATIENT)
    desk.add(row(0), row(1))
    (running,) = desk.requests()
    down(desk, "a")
    desk.plan(at=200.0)
    assert desk.scheduler.stop_reason == ""

    desk.fail(running, FailureKind.UNREACHABLE)
    assert desk.scheduler.stop_reason == "outage"


def test_the_batch_that_waits_longest_is_the_one_that_an_outage_waits_for():
    desk = Desk("a", batch=PATIENT)
    desk.tell(BatchOpened(Batch(id=2, max_wait_s=5.0)))
    down(desk, "a")
    desk.scheduler.add([row(0)], 0.0)
    desk.plan()
    desk.plan(at=50.0)

    assert desk.scheduler.stop_reason == ""
