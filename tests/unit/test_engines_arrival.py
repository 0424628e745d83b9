"""What one round of the event loop brought, told so that a slot is free before it is taken."""

from __future__ import annotations

from arriero.core.events import AttemptBegan, AttemptEnded, Event, InstanceLeft
from arriero.core.outcome import Failure, FailureKind
from arriero.engines.arrival import freed_first

OUTCOME = Failure(kind=FailureKind.LOST, detail="any")


def began(attempt: int, at: float) -> AttemptBegan:
    return AttemptBegan(attempt, at)


def ended(attempt: int, at: float) -> AttemptEnded:
    return AttemptEnded(attempt, at, OUTCOME)


def test_an_end_comes_before_the_first_token_read_in_the_same_round_and_no_later() -> None:
    assert freed_first([began(2, 5.0), ended(1, 5.2)]) == [ended(1, 5.0), began(2, 5.0)]


def test_ends_keep_their_order_among_themselves() -> None:
    events = [ended(1, 4.0), began(4, 5.0), ended(2, 5.1), began(5, 5.2), ended(3, 5.3)]

    assert freed_first(events) == [ended(1, 4.0), ended(2, 5.0), ended(3, 5.0), began(4, 5.0), began(5, 5.2)]


def test_an_attempt_that_began_and_ended_in_the_round_keeps_that_order() -> None:
    events = [began(1, 5.0), ended(1, 5.1), began(2, 5.2), ended(2, 5.3)]

    assert freed_first(events) == events


def test_nothing_passes_an_event_from_outside() -> None:
    events: list[Event] = [began(2, 5.0), InstanceLeft("a"), ended(1, 5.1), began(3, 5.2), ended(4, 5.3)]

    assert freed_first(events) == [
        began(2, 5.0),
        InstanceLeft("a"),
        ended(1, 5.1),
        ended(4, 5.2),
        began(3, 5.2),
    ]
