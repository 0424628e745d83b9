"""Upkeep: discovery, loads, probes and the way back."""

from __future__ import annotations

import pytest
from desk import LLAMA, MISTRAL, Desk, failure, row
from msgspec import structs

from arriero.core.batch import Batch
from arriero.core.events import Drained, InstanceChanged, InstanceLeft, Noted
from arriero.core.outcome import FailureKind, Model
from arriero.core.request import Content

NOT_FOUND = failure(FailureKind.REJECTED, status=404)


def steps(desk):
    return [(one.instance, one.purpose, one.subject) for one in desk.running.values() if one.request is None]


def only(desk):
    (attempt,) = desk.running.values()
    return attempt


def to_gateway(desk):
    """Answer all questions of the only instance as one that lists nothing."""
    while desk.running:
        desk.end(only(desk), NOT_FOUND)


def test_a_unit_is_loaded_and_asked_about_before_its_first_request():
    desk = Desk("a")
    desk.scheduler.add([row(0)], 0.0)
    desk.plan()
    seen = []
    while not desk.requests():
        seen.append(steps(desk)[0][1:])
        desk.end(only(desk), desk.well(only(desk)))

    assert seen == [("discover", "resident"), ("preload", ""), ("discover", "resident"), ("discover", "details")]
    assert desk.requests()[0].context_tokens == 4096


def test_a_change_of_unit_drains_unloads_and_loads():
    desk = Desk("a", limit=2)
    desk.add(row(0), row(1))
    first, second = desk.requests()
    desk.scheduler.add([row(2, LLAMA)], 0.0)
    desk.end(first, desk.well(first))
    assert steps(desk) == []

    desk.end(second, desk.well(second))
    assert steps(desk) == [("a", "unload", "")]
    desk.settle()
    assert desk.positions() == [2]


def test_what_others_had_loaded_is_not_unloaded():
    desk = Desk()
    desk.resident = {"a": (Model(name="mistral:7b"),)}
    desk.join("a")
    desk.settle()
    desk.add(row(0))
    desk.scheduler.add([row(1, LLAMA)], 0.0)
    desk.end(desk.requests()[0], desk.well(desk.requests()[0]))
    seen = []
    while not desk.requests():
        seen.append(only(desk).purpose)
        desk.end(only(desk), desk.well(only(desk)))

    assert "preload" in seen
    assert "unload" not in seen


def test_an_ejected_instance_is_probed_and_comes_back_one_by_one():
    desk = Desk("a", limit=4)
    desk.add(*(row(position) for position in range(9)))
    for attempt in desk.requests()[:2]:
        desk.fail(attempt, FailureKind.UNREACHABLE)
    assert desk.member("a").health.ejected

    for attempt in desk.requests():
        desk.fail(attempt, FailureKind.UNREACHABLE)
    desk.later(0.9)
    assert not desk.running

    desk.later(0.1)
    probe = only(desk)
    assert probe.purpose == "probe"
    desk.end(probe, desk.well(probe))
    assert steps(desk) == [("a", "discover", "models")], "whoever restarted it may have pulled another build"
    desk.settle()
    assert len(desk.requests()) == 1
    desk.end(only(desk), desk.well(only(desk)))
    assert len(desk.requests()) == 2


def test_a_probe_that_fails_waits_twice_as_long():
    desk = Desk("a", limit=2)
    desk.add(row(0), row(1))
    for attempt in desk.requests():
        desk.fail(attempt, FailureKind.UNREACHABLE)
    for wait_s in (1.0, 2.0, 4.0, 8.0):
        desk.later(wait_s - 0.1)
        assert not desk.running
        desk.later(0.1)
        desk.fail(only(desk), FailureKind.UNREACHABLE)


def test_an_overloaded_probe_is_not_repeated_at_once():
    desk = Desk("a", limit=1)
    desk.add(row(0))
    desk.fail(only(desk), FailureKind.UNAUTHORIZED)
    desk.plan(at=60.0)
    desk.fail(only(desk), FailureKind.OVERLOADED, retry_after_s=7.0)

    assert not desk.running
    assert desk.wake_at == 67.0


def test_a_probe_obeys_the_limit():
    desk = Desk("a", limit=1)
    desk.add(row(0))
    hung = only(desk)
    desk.member("a").health.eject(0.0, FailureKind.TIMEOUT)
    desk.scheduler._upkeep.ejected(desk.member("a"), failure(FailureKind.TIMEOUT), 0.0)
    desk.plan(at=1.0)
    assert steps(desk) == []

    desk.fail(hung, FailureKind.TIMEOUT)
    desk.plan(at=2.0)
    assert steps(desk) == [("a", "probe", "")]


def test_a_model_that_cannot_be_loaded_is_refused_and_its_rows_end():
    desk = Desk("a")
    desk.scheduler.add([row(0)], 0.0)
    desk.plan()
    desk.end(only(desk), desk.well(only(desk)))
    desk.fail(only(desk), FailureKind.MODEL_MISSING)

    assert desk.ended() == {0: "model_missing"}
    assert set(desk.member("a").refused) == {MISTRAL}


def test_a_dead_holder_does_not_keep_the_others_from_loading():
    desk = Desk("a", "b", limit=1, models={"b": ("llama3:8b", "mistral:7b")})
    desk.add(row(0, LLAMA))
    (holder,) = desk.requests()
    desk.fail(holder, FailureKind.UNAUTHORIZED)
    desk.plan(at=1.0)
    desk.settle()

    assert [attempt.instance for attempt in desk.requests()] == [({"a", "b"} - {holder.instance}).pop()]


def test_a_gateway_proves_each_unit_by_a_generation_and_says_what_cannot_be_excluded():
    desk = Desk()
    desk.join("g")
    to_gateway(desk)
    desk.scheduler.add([row(0)], 0.0)
    desk.plan()
    assert steps(desk) == [("g", "probe", "")]

    desk.end(only(desk), desk.well(only(desk)))
    assert desk.positions() == [0]
    assert [note.code for note in desk.notices if isinstance(note, Noted)].count("truncation_possible") == 1


@pytest.mark.parametrize(
    "kind", [FailureKind.UNSUPPORTED, FailureKind.BAD_REPLY, FailureKind.SERVER_ERROR, FailureKind.REJECTED]
)
def test_a_gateway_that_answers_no_chat_is_asked_by_generate(kind):
    desk = Desk()
    desk.join("g")
    to_gateway(desk)
    desk.scheduler.add([row(0)], 0.0)
    desk.plan()
    desk.fail(only(desk), kind)
    assert only(desk).endpoint == "/api/generate"
    desk.settle()

    assert [attempt.endpoint for attempt in desk.requests()] == ["/api/generate"]
    assert "generate_only" in [note.code for note in desk.notices if isinstance(note, Noted)]


def test_a_gateway_that_answers_on_neither_path_is_asked_again_from_the_first():
    desk = Desk()
    desk.join("g")
    to_gateway(desk)
    desk.scheduler.add([row(0)], 0.0)
    desk.plan()
    desk.fail(only(desk), FailureKind.SERVER_ERROR)
    desk.fail(only(desk), FailureKind.SERVER_ERROR)
    desk.later(5.0)
    assert only(desk).endpoint == "/api/chat"
    desk.settle()

    assert [attempt.endpoint for attempt in desk.requests()] == [""]
    assert "generate_only" not in [note.code for note in desk.notices if isinstance(note, Noted)]


def embedding(position):
    return structs.replace(row(position), content=Content(endpoint="/api/embed"))


def test_a_unit_is_loaded_where_its_requests_go():
    desk = Desk("a")
    desk.scheduler.add([embedding(0)], 0.0)
    desk.plan()
    desk.end(only(desk), desk.well(only(desk)))
    assert (only(desk).purpose, only(desk).endpoint) == ("preload", "/api/embed")

    desk.settle()
    desk.scheduler.add([row(1, LLAMA)], 0.0)
    desk.end(desk.requests()[0], desk.well(desk.requests()[0]))
    ways = {}
    while not desk.requests():
        ways[only(desk).purpose] = only(desk).endpoint
        desk.end(only(desk), desk.well(only(desk)))
    assert (ways["unload"], ways["preload"]) == ("/api/embed", "/api/chat")


def test_an_ejected_instance_that_embeds_is_probed_by_an_embedding():
    desk = Desk("a", limit=2)
    desk.add(embedding(0), embedding(1))
    for attempt in desk.requests():
        desk.fail(attempt, FailureKind.UNREACHABLE)
    desk.later(1.0)

    assert (only(desk).purpose, only(desk).endpoint) == ("probe", "/api/embed")


def test_a_gateway_that_makes_no_embeddings_is_not_taken_for_one_that_only_generates():
    desk = Desk()
    desk.join("g")
    to_gateway(desk)
    desk.scheduler.add([embedding(0)], 0.0)
    desk.plan()
    desk.fail(only(desk), FailureKind.UNSUPPORTED)

    assert desk.member("g").endpoint == ""
    assert desk.ended() == {0: "unsupported"}


def test_a_paused_gateway_says_when_it_is_tried_again():
    desk = Desk()
    desk.join("g", limit=8)
    to_gateway(desk)
    desk.add(*(row(position) for position in range(8)))
    for attempt in desk.requests()[:5]:
        desk.fail(attempt, FailureKind.UNREACHABLE)
    (paused,) = [note for note in desk.notices if isinstance(note, InstanceChanged) and note.state == "paused"]

    assert paused.probe_in_s == 1.0
    assert not desk.member("g").health.ejected


def test_a_connection_that_a_gateway_drops_makes_no_suspect():
    desk = Desk()
    desk.join("g", limit=4)
    to_gateway(desk)
    desk.add(*(row(position) for position in range(6)))
    desk.fail(desk.requests()[0], FailureKind.UNREACHABLE, crashed=True)
    desk.later(1.0)

    assert len(desk.requests()) == 4


def test_nothing_is_begun_after_a_drain():
    desk = Desk("a")
    desk.scheduler.add([row(0)], 0.0)
    desk.scheduler.tell(Drained(), 0.0)
    desk.join("b")

    assert not desk.running


def test_an_instance_that_left_is_not_asked_any_more():
    desk = Desk()
    desk.join("a")
    desk.tell(InstanceLeft("a"))
    desk.fail(only(desk), FailureKind.CANCELLED)

    assert not desk.running


def test_why_an_instance_is_out_is_remembered_in_our_words_and_forgotten_when_it_is_back():
    desk = Desk("a")
    desk.add(row(0))
    locked = failure(FailureKind.UNAUTHORIZED, status=401, detail="canary")
    desk.end(only(desk), locked)
    told = [note for note in desk.notices if isinstance(note, InstanceChanged) and note.state == "ejected"]
    member = desk.member("a")

    assert (member.reason, member.detail) == (told[0].reason, told[0].detail) == ("unauthorized", "answered 401")
    desk.later(61.0)
    desk.settle()
    assert (member.reason, member.detail, member.fault) == ("", "", "")


def test_an_instance_that_never_answered_tells_what_was_in_the_way():
    desk = Desk()
    desk.join("a")
    desk.end(
        next(iter(desk.running.values())), failure(FailureKind.TIMEOUT, detail="no first byte after 10 s", own=True)
    )

    assert (desk.member("a").reason, desk.member("a").detail) == ("timeout", "no first byte after 10 s")


def test_an_instance_that_comes_back_while_a_step_of_before_still_runs_is_asked_anew_and_one_thing_at_a_time():
    desk = Desk()
    desk.join("a")
    before = only(desk)
    desk.tell(InstanceLeft("a"))
    desk.join("a")
    (asked,) = (attempt for attempt in desk.running.values() if attempt is not before)
    desk.fail(before, FailureKind.LOST)
    desk.scheduler._upkeep.attend(desk.member("a"))
    desk.plan()

    assert only(desk) is asked
    desk.settle()
    desk.add(row(0))
    assert desk.positions("a") == [0]


def test_a_server_that_never_has_room_for_a_load_is_waited_for_no_longer_than_for_one_that_is_down():
    desk = Desk("a", batch=Batch(id=1, max_wait_s=100.0))
    desk.scheduler.add([row(0)], 0.0)
    desk.plan()
    while desk.now < 300.0 and not desk.scheduler.stop_reason:
        for attempt in list(desk.running.values()):
            if attempt.purpose == "preload":
                desk.fail(attempt, FailureKind.OVERLOADED)
            else:
                desk.end(attempt, desk.well(attempt))
        desk.plan(at=max(desk.now, min(desk.wake_at, desk.now + 5.0)))

    assert desk.scheduler.stop_reason == "outage"
    assert 100.0 <= desk.now <= 110.0
