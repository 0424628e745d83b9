"""The scheduler as a whole: endings, suspects, drains, cancelled batches, pauses."""

from __future__ import annotations

import pytest
from desk import MISTRAL, Desk, row, success

from arriero.core.batch import Batch
from arriero.core.events import (
    Aborted,
    AttemptEnded,
    AttemptFailed,
    AttemptRefunded,
    Away,
    BatchCancelled,
    BatchClosed,
    BatchOpened,
    Drained,
    InputEnded,
    InstanceLeft,
    LimitSet,
    Noted,
    Paused,
    Unpaused,
)
from arriero.core.instance import Concurrency, InstanceLimit
from arriero.core.outcome import FailureKind, Model

ERROR = FailureKind.SERVER_ERROR


def rows(n, **fields):
    return [row(position, **fields) for position in range(n)]


def test_a_failed_request_goes_elsewhere_at_once():
    desk = Desk("a", "b", limit=1)
    desk.add(*rows(2))
    first, other = desk.requests()
    desk.fail(first, ERROR)
    desk.plan()
    desk.end(other, success())
    (second,) = desk.requests()

    assert second.instance == other.instance != first.instance
    assert (second.number, second.request.position) == (2, first.request.position)


def test_a_request_ends_once_its_retries_are_spent():
    desk = Desk("a", limit=1, batch=Batch(id=1, retries=1))
    desk.add(row(0))
    desk.fail(desk.requests()[0], ERROR)
    desk.later(10.0)
    desk.fail(desk.requests()[0], ERROR)

    assert desk.ended() == {0: "server_error"}
    assert desk.results[0].attempts == 2


def test_failures_of_an_instance_that_is_then_ejected_are_given_back():
    desk = Desk("a", "b", limit=2, batch=Batch(id=1, retries=0))
    desk.add(*rows(4))
    mine = desk.requests("a")
    desk.fail(mine[0], FailureKind.UNREACHABLE)
    assert list(desk.ended()) == [mine[0].request.position]

    desk.fail(mine[1], FailureKind.UNREACHABLE)
    assert desk.member("a").health.ejected
    assert list(desk.ended()) == [mine[0].request.position]


def test_what_still_ran_on_an_ejected_instance_is_not_charged():
    desk = Desk("a", limit=4, batch=Batch(id=1, retries=9))
    desk.add(*rows(4))
    for attempt in desk.requests():
        desk.begin(attempt)
    for attempt in desk.requests():
        desk.fail(attempt, FailureKind.UNREACHABLE)
    charged = [note.charged for note in desk.notices if isinstance(note, AttemptFailed)]

    assert charged == [True, False, False, False]
    assert [entry.charged for entry in desk.scheduler._endings.delays] == [0, 0, 0, 0]


def test_what_an_ejection_refunds_is_told_attempt_by_attempt():
    desk = Desk("a", limit=4, batch=Batch(id=1, retries=9))
    desk.add(*rows(4))
    for attempt in desk.requests():
        desk.begin(attempt)
    charged, ejecting, *_ = desk.requests()
    desk.fail(charged, FailureKind.UNREACHABLE)
    before = [note for note in desk.notices if isinstance(note, AttemptRefunded)]
    desk.fail(ejecting, FailureKind.UNREACHABLE)
    told = [note.attempt for note in desk.notices if isinstance(note, AttemptRefunded)]

    assert (before, told) == ([], [charged])


def test_a_second_end_is_dropped_and_said():
    desk = Desk("a")
    desk.add(row(0))
    (attempt,) = desk.requests()
    desk.end(attempt, success())
    desk.tell(AttemptEnded(attempt.id, 0.0, success()))

    assert desk.ended() == {0: "ok"}
    assert [note.code for note in desk.notices if isinstance(note, Noted)] == ["late"]


def test_a_request_under_which_a_process_died_is_tried_alone():
    desk = Desk("a", limit=2)
    desk.add(*rows(4))
    first, second = desk.requests()
    desk.fail(first, ERROR, crashed=True)
    assert len(desk.requests()) == 1

    desk.end(second, desk.well(second))
    desk.later(1.0)
    assert desk.positions() == [first.request.position]
    (alone,) = desk.requests()
    desk.end(alone, desk.well(alone))
    assert len(desk.requests()) == 2


def test_a_suspect_that_then_answered_too_long_is_asked_again_beside_others():
    desk = Desk()
    desk.join("a", backend="openai")
    desk.settle()
    desk.add(*rows(4))
    first, second = desk.requests()
    desk.fail(first, ERROR, crashed=True)
    desk.end(second, desk.well(second))
    desk.later(1.0)
    (alone,) = desk.requests()
    assert alone.request.position == first.request.position
    desk.end(alone, success(output=4000, prompt=200))  # more than the context holds
    desk.later(1.0)

    assert 0 not in desk.ended()
    assert len(desk.requests()) == 2, "its process stayed up: nothing is suspected any more"


def test_a_suspect_whose_instance_leaves_is_tried_alone_on_the_next():
    def drained_for_the_suspect():
        while 0 not in desk.positions():
            for attempt in desk.requests()[:1]:
                desk.end(attempt, desk.well(attempt))
            desk.later(5.0)  # the place of what crashed is closed for a while
        (alone,) = (attempt for attempt in desk.requests() if attempt.request.position == 0)
        return alone

    desk = Desk("a", "b", limit=2)
    desk.add(*rows(30))
    desk.fail(drained_for_the_suspect(), ERROR, crashed=True)
    alone = drained_for_the_suspect()
    left = {"a": "b", "b": "a"}[alone.instance]
    assert 0 not in desk.positions(left)
    assert desk.requests(left)
    desk.tell(InstanceLeft(alone.instance))
    desk.fail(alone, FailureKind.CANCELLED)
    again = drained_for_the_suspect()

    assert (again.instance, desk.positions(left)) == (left, [0])


def test_the_room_for_an_answer_is_what_the_context_of_the_server_leaves():
    desk = Desk()
    desk.join("a", backend="openai")
    desk.settle()
    desk.add(row(0, size_chars=300))
    (attempt,) = desk.requests()

    assert attempt.context_tokens == 4096
    assert 3500 < attempt.max_tokens < 4096


def test_a_suspect_obeys_the_total():
    desk = Desk("a", "b", limit=2, concurrency=Concurrency(total=1, learned=False))
    desk.add(*rows(3))
    desk.fail(desk.requests()[0], ERROR, crashed=True)

    assert len(desk.requests()) == 1


def test_what_waits_for_a_slot_is_called_back_also_when_the_drain_came_before_a_token():
    desk = Desk("a", limit=3)
    desk.add(*rows(5))
    first, second, third = desk.requests()
    desk.tell(Drained())
    assert desk.cancelled == []

    desk.begin(first)

    assert desk.cancelled == [third.id, second.id], "one slot was seen, and the first holds it"


def test_a_drain_lets_run_what_runs_and_starts_nothing():
    desk = Desk("a", limit=2)
    desk.add(*rows(5))
    desk.tell(Drained())
    first, second = desk.requests()
    desk.end(first, desk.well(first))
    desk.fail(second, ERROR)
    desk.plan(at=100.0)

    assert desk.scheduler.in_flight == 0
    assert desk.scheduler.room(1) == 0
    assert desk.ended() == {0: "ok"}
    assert desk.wake_at == float("inf")


def test_a_drain_calls_back_what_waits_for_a_slot_the_newest_first_and_uncharged():
    desk = Desk("a", limit=6)
    desk.add(*rows(9))
    runs = desk.requests()
    desk.begin(runs[0])
    desk.begin(runs[1])  # two run at once, so that there are two slots
    desk.tell(Drained())
    assert desk.cancelled == [attempt.id for attempt in reversed(runs[2:])]

    for attempt in runs[3:]:
        desk.fail(attempt, FailureKind.CANCELLED)
    for attempt in runs[:3]:
        desk.end(attempt, success())  # the last one got a slot before it heard of it
    assert desk.ended() == {0: "ok", 1: "ok", 2: "ok"}
    assert [result.attempts for result in desk.results] == [1, 1, 1]
    assert not [notice for notice in desk.notices if isinstance(notice, AttemptFailed)], "no attempt was used up"
    assert desk.scheduler.in_flight == 0
    assert desk.scheduler.counts(1).waiting == 6


def test_a_drain_awaits_as_many_as_there_are_slots_though_they_have_not_begun():
    desk = Desk("a", limit=6)
    desk.add(*rows(9))
    first, second, *_ = desk.requests()
    desk.begin(first)
    desk.begin(second)
    desk.end(first, success())
    in_flight = desk.requests()
    desk.tell(Drained())

    kept = [attempt for attempt in in_flight if attempt.id not in desk.cancelled]
    assert [attempt.request.position for attempt in kept] == [1, 2], "the oldest of those that have not begun"


@pytest.mark.parametrize("stream", [True, False])
def test_a_drain_calls_nothing_back_where_nobody_knows_what_has_begun(stream):
    desk = Desk("a", limit=6)
    desk.replace_instance("a", stream=stream)
    desk.add(*rows(9))
    if not stream:
        desk.begin(desk.requests()[0])
    desk.tell(Drained())

    assert desk.cancelled == []


def test_an_abort_asks_for_every_end_and_makes_no_result():
    desk = Desk("a", limit=2)
    desk.add(*rows(5))
    attempts = desk.requests()
    desk.tell(Aborted())
    assert desk.cancelled == [attempt.id for attempt in attempts]

    for attempt in attempts:
        desk.fail(attempt, FailureKind.CANCELLED)
    assert desk.ended() == {}
    assert desk.scheduler.counts(1).waiting == 5


def test_an_answer_that_came_before_the_hang_up_counts():
    desk = Desk("a", limit=1)
    desk.add(row(0))
    (attempt,) = desk.requests()
    desk.tell(Aborted())
    desk.end(attempt, success())

    assert desk.ended() == {0: "ok"}


def test_a_cancelled_batch_ends_whatever_its_requests_are_doing():
    desk = Desk("a", "b", limit=2)
    desk.add(*rows(9))
    failed, crashed, running, answered = desk.requests()
    desk.fail(failed, FailureKind.OVERLOADED)
    desk.fail(crashed, ERROR, crashed=True)
    left = desk.requests()
    desk.tell(BatchCancelled(1))
    desk.end(answered, success())
    for attempt in left:
        if attempt is not answered:
            desk.fail(attempt, FailureKind.CANCELLED)
    desk.plan(at=1000.0)

    assert sorted(desk.ended()) == list(range(9))
    assert [position for position, how in desk.ended().items() if how == "ok"] == [answered.request.position]
    assert desk.scheduler.finished(1)
    assert desk.scheduler.room(1) == 0
    assert running in left


def test_a_pause_holds_until_everybody_who_paused_says_so():
    desk = Desk("a", limit=2)
    desk.add(row(0))
    desk.tell(Paused("user"))
    desk.tell(Paused("journal"))
    desk.add(row(1))
    desk.tell(Unpaused("journal"))
    assert desk.positions() == [0]

    desk.tell(Unpaused("user"))
    assert desk.positions() == [0, 1]


def test_the_window_has_room_for_what_waits_only():
    desk = Desk("a", limit=1, batch=Batch(id=1, window_requests=4, window_bytes=100))
    assert desk.scheduler.room(1) == 4
    desk.add(row(0))
    assert desk.scheduler.room(1) == 4

    desk.add(*rows(3))
    assert (desk.scheduler.room(1), desk.scheduler.room_bytes(1)) == (1, 10)
    desk.add(row(3))
    assert desk.scheduler.room(1) == 0


def test_a_batch_is_finished_once_its_input_has_ended_and_all_have():
    desk = Desk("a", limit=1)
    desk.add(row(0))
    desk.tell(InputEnded(1, 1))
    assert not desk.scheduler.finished(1)

    desk.end(desk.requests()[0], success())
    assert desk.scheduler.finished(1)


def test_a_thousand_closed_batches_leave_nothing_behind():
    desk = Desk("a", limit=2)
    for number in range(2, 1002):
        desk.scheduler.tell(BatchOpened(Batch(id=number)), 0.0)
        desk.add(row(0, batch=number))
        desk.tell(InputEnded(number, 1))
        desk.tell(BatchClosed(number))
        assert number in desk.scheduler.books
        desk.end(desk.requests()[0], success())

    assert len(desk.results) == 1000
    assert len(desk.scheduler.books) == len(desk.scheduler._waiting._batches) == 1
    desk.add(row(0))
    assert desk.positions() == [0]


def test_a_cancelled_batch_that_is_closed_is_kept_until_what_runs_has_ended():
    desk = Desk("a", limit=1)
    desk.scheduler.tell(BatchOpened(Batch(id=2)), 0.0)
    desk.add(row(0, batch=2), row(1, batch=2))
    desk.tell(BatchCancelled(2))
    desk.tell(BatchClosed(2))
    assert desk.scheduler.counts(2).running == 1

    desk.fail(desk.requests()[0], FailureKind.CANCELLED)
    desk.tell(BatchClosed(2))
    assert desk.ended() == {0: "cancelled", 1: "cancelled"}
    assert 2 not in desk.scheduler.books


def test_rows_with_images_end_unsent_where_the_model_is_known_to_be_blind():
    desk = Desk("a", limit=4)
    desk.add(row(0))
    member = desk.member("a")
    member.models = {"mistral:7b": Model(name="mistral:7b", capabilities=("completion",))}
    desk.add(row(1, needs_vision=True))
    assert desk.ended() == {1: "unsupported"}

    member.models = {"mistral:7b": Model(name="mistral:7b", capabilities=("completion", "vision"))}
    desk.add(row(2, needs_vision=True))
    assert desk.positions() == [0, 2]


def test_a_place_that_a_failure_closed_is_filled_again_when_it_opens():
    desk = Desk("a", limit=2)
    desk.add(*rows(9))
    desk.fail(desk.requests()[0], ERROR)
    assert len(desk.requests()) == 1

    desk.later(0.5)
    assert len(desk.requests()) == 2


def test_one_batch_that_may_not_go_somewhere_does_not_keep_another_from_it():
    desk = Desk("a", "b", limit=1)
    desk.scheduler.tell(BatchOpened(Batch(id=2)), 0.0)
    desk.add(*rows(2))
    (failed,) = desk.requests("a")
    desk.fail(failed, FailureKind.BAD_REPLY)
    desk.plan(at=1.0)
    assert desk.requests("a") == []

    desk.add(row(0, batch=2))
    assert [attempt.request.batch for attempt in desk.requests("a")] == [2]


def test_when_we_were_away_every_deadline_moves():
    desk = Desk("a", limit=1)
    desk.add(row(0))
    desk.fail(desk.requests()[0], FailureKind.UNAUTHORIZED)
    desk.now = 1000.0
    desk.tell(Away(1000.0))

    assert not desk.running
    assert desk.member("a").health.probe_at == 1060.0


def test_time_that_we_were_away_is_no_part_of_the_wait_for_an_overloaded_instance():
    desk = Desk("a", limit=1, batch=Batch(id=1, max_wait_s=60.0))
    desk.add(row(0))
    desk.fail(desk.requests()[0], FailureKind.OVERLOADED)
    desk.now += 1000.0
    desk.tell(Away(1000.0))
    desk.later(5.0)
    desk.fail(desk.requests()[0], FailureKind.OVERLOADED)

    assert not desk.results


def test_what_waits_for_its_retry_still_fills_the_window():
    desk = Desk("a", limit=1)
    empty_bytes = desk.scheduler.room_bytes(1)
    desk.add(row(0))
    desk.fail(desk.requests()[0], FailureKind.BAD_REPLY)

    assert desk.scheduler.room_bytes(1) == empty_bytes - row(0).size_bytes


@pytest.mark.parametrize("first", ["a", "b"])
def test_the_same_telling_gives_the_same_plans(first):
    def told():
        desk = Desk("a", "b", limit=2)
        desk.add(*rows(6))
        for attempt in desk.requests(first):
            desk.fail(attempt, ERROR)
        desk.plan(at=5.0)
        return [(attempt.id, attempt.instance, attempt.request.position) for attempt in desk.requests()], desk.wake_at

    assert told() == told()


def test_a_unit_is_served_only_where_it_is_resident():
    desk = Desk("a", "b", models={"a": ("mistral:7b",), "b": ("llama3:8b",)})
    desk.add(*rows(4))

    assert {attempt.instance for attempt in desk.requests()} == {"a"}
    assert desk.member("a").ready_for == MISTRAL


def test_a_request_refused_before_we_were_away_waits_no_less_though_it_ran_meanwhile():
    desk = Desk("a", limit=1, batch=Batch(id=1, max_wait_s=60.0))
    desk.add(row(0))
    desk.fail(desk.requests()[0], FailureKind.OVERLOADED)
    desk.later(5.0)
    (running,) = desk.requests()
    desk.now += 1000.0
    desk.tell(Away(1000.0))
    desk.fail(running, FailureKind.OVERLOADED)

    assert not desk.results


def test_a_suspect_obeys_a_total_that_was_lowered():
    desk = Desk("a", "b", "c", limit=1, concurrency=Concurrency(total=2, learned=False))
    desk.add(*rows(4))
    desk.tell(LimitSet(InstanceLimit(1, 1, 1)))
    crashed, running = desk.requests()
    desk.fail(crashed, ERROR, crashed=True)

    assert desk.requests() == [running]


def test_what_a_new_instance_of_the_same_name_did_not_start_is_sent_again():
    desk = Desk("a", limit=2)
    desk.add(*rows(2))
    before = desk.requests()
    desk.join("a")
    assert sorted(desk.cancelled) == sorted(attempt.id for attempt in before)

    for attempt in before:
        desk.fail(attempt, FailureKind.CANCELLED)
    desk.settle()
    assert sorted(desk.positions("a")) == [0, 1]


def test_a_total_below_the_number_of_instances_is_used_while_some_are_awaited():
    desk = Desk("a", limit=1, concurrency=Concurrency(total=1, learned=False))
    desk.add(row(0))
    desk.join("b")
    desk.scheduler.add([row(1)], 0.0)
    desk.end(desk.requests()[0], success())

    assert desk.positions("a") == [1]


def test_an_attempt_that_was_sent_elsewhere_counts_and_its_number_is_not_given_again():
    desk = Desk("a", "b", limit=1)
    desk.add(row(0))
    (first,) = desk.requests()
    desk.tell(InstanceLeft(first.instance))
    desk.fail(first, FailureKind.CANCELLED)
    desk.settle()
    (second,) = desk.requests()
    assert (first.number, second.number) == (1, 2)

    desk.end(second, success())
    assert desk.results[0].attempts == 2


def test_an_attempt_that_was_called_back_by_an_abort_has_not_been():
    desk = Desk("a", limit=1)
    desk.add(row(0))
    (first,) = desk.requests()
    desk.tell(Aborted())
    desk.fail(first, FailureKind.CANCELLED)

    assert [entry.attempts for entry in desk.scheduler._waiting] == [0]


def test_a_row_of_a_cancelled_batch_is_not_tried_again_whatever_its_attempt_came_to():
    desk = Desk("a", limit=1)
    desk.add(row(0))
    (running,) = desk.requests()
    desk.tell(BatchCancelled(1))
    desk.fail(running, ERROR)

    assert desk.ended() == {0: "cancelled"}
    assert desk.scheduler.finished(1)


def test_a_cancelled_batch_leaves_nothing_behind_of_what_waited_for_its_retry():
    desk = Desk("a", limit=1)
    empty_bytes = desk.scheduler.room_bytes(1)
    desk.add(row(0))
    desk.fail(desk.requests()[0], FailureKind.OVERLOADED)
    desk.tell(BatchCancelled(1))

    assert desk.ended() == {0: "cancelled"}
    assert desk.scheduler.room_bytes(1) == empty_bytes
    desk.later(10_000.0)
    assert desk.scheduler.stop_reason == ""
