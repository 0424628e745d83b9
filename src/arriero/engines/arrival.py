"""Arrival: the order of what became known in one round of the event loop."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from arriero.core.events import AttemptBegan, AttemptEnded, Event


def freed_first(events: Sequence[Event]) -> list[Event]:
    """Tell the ends before the first tokens where both arrived in one round, since who came first is not known.

    A round reads the sockets in an order of its own: the answer that waited for a slot may be read before the one
    whose end freed it, and the process may be put aside between the two. Told so, both seem to have held a slot.

    Args:
        events: All of one round, in the order they were read. A first token precedes the end of its own attempt.

    Returns:
        The same events. The end of an attempt that began in an earlier round stands before the first tokens of this
        one and carries no later time; nothing passes an event that was handed in from outside.
    """
    told: list[Event] = []
    began: list[AttemptBegan] = []
    place = 0
    for event in events:
        if isinstance(event, AttemptBegan):
            if not began:
                place = len(told)
            began.append(event)
        elif not isinstance(event, AttemptEnded):
            began.clear()
        elif began and all(one.attempt != event.attempt for one in began):
            told.insert(place, replace(event, at=min(event.at, began[0].at)))
            place += 1
            continue
        told.append(event)
    return told
