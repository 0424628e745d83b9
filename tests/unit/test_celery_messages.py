"""Frames: written and read again unchanged; whatever is none of ours is dropped."""

from __future__ import annotations

from math import inf

import pytest

from arriero.core.instance import Instance
from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.request import Attempt, Content, Request, Timeouts, Unit
from arriero.engines.celery.messages import FOREVER_S, Frame, Told, announced, portable, read, written

UNIT = Unit("mistral:7b", (("num_ctx", 512),))
ROW = Request(
    batch=1, position=0, line=1, id="1", content=Content(prompt="Name a river."), unit=UNIT, row_hash=b"x" * 16
)
ATTEMPT = Attempt(
    id=7, instance="left/a", request=ROW, unit=UNIT, timeouts=Timeouts(600.0, 60.0, inf), backend="ollama"
)


def test_an_attempt_travels_unchanged_but_for_what_only_the_coordinator_needs() -> None:
    frame = Frame(kind="work", session="s-1", seq=1, start=(portable(ATTEMPT, "a"),), cancel=(3,))

    found = read(written(frame))

    assert found == frame
    (attempt,) = frame.start
    assert (attempt.instance, attempt.timeouts.total_s) == ("a", FOREVER_S)
    assert attempt.request is not None
    assert (attempt.request.content, attempt.request.row_hash) == (ROW.content, b"")


def test_each_kind_of_end_travels_unchanged() -> None:
    good = Success(text="The Ebro.", finish_reason="stop", usage=Usage(3, 4), timing=Timing(0.5))
    bad = Failure(kind=FailureKind.TIMEOUT, detail="silence", own=True)
    told = (Told(1, 0.25), Told.ended(2, 0.0, good), Told.ended(3, 0.0, bad))

    found = read(written(Frame(kind="outcomes", told=told)))

    assert found is not None
    assert [one.outcome for one in found.told] == [None, good, bad]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b'{"kind": "work", "v": 2}', b'{"kind": "other"}', b'{"kind": "work", "start": [1]}',
     b"\xff", b"[" * 100_000, {"kind": "work"}, None, 7],
)  # fmt: skip
def test_what_is_no_frame_of_this_version_is_none(body: object) -> None:
    assert read(body) is None


def test_what_is_no_announcement_of_this_version_is_none() -> None:
    told = {"worker": "left", "epoch": "e", "queue": "q", "instances": [{"name": "a", "url": "http://a"}]}

    found = announced({**told, "timestamp": 1.0, "type": "arriero-worker"})

    assert found is not None
    assert found.instances == (Instance(name="a", url="http://a"),)
    assert announced({**told, "v": 2}) is None
    assert announced({**told, "instances": "x"}) is None
    assert announced("x") is None
