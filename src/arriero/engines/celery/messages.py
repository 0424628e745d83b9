"""Messages: the frames that coordinator and workers send each other, version 1, and how they are read and written."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import structs

from arriero.core.instance import Instance
from arriero.core.outcome import Failure, Observation, Outcome, Success
from arriero.core.request import Attempt, AttemptId, Timeouts

VERSION = 1
FOREVER_S = 1e12
"""JSON has no infinity."""

Kind: TypeAlias = Literal["attach", "work", "tick", "detach", "hello", "outcomes", "echo"]
State: TypeAlias = Literal["ready", "draining", "gone"]


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened to an attempt: its first token if there is no outcome, else its end.

    Attributes:
        id: The attempt.
        age_s: How long before the frame was written.
        success, failure, observation: How it ended; at most one.
    """

    id: AttemptId
    age_s: float = 0.0
    success: Success | None = None
    failure: Failure | None = None
    observation: Observation | None = None

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None: it began."""
        return self.success or self.failure or self.observation

    @classmethod
    def ended(cls, attempt: AttemptId, age_s: float, outcome: Outcome) -> Told:
        """An end."""
        if isinstance(outcome, Success):
            return cls(attempt, age_s, success=outcome)
        if isinstance(outcome, Failure):
            return cls(attempt, age_s, failure=outcome)
        return cls(attempt, age_s, observation=outcome)


class Frame(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One message in either direction.

    Attributes:
        kind: What it is.
        v: Version; frames of another one are dropped.
        session: Minted by the coordinator at each attach; frames of another one are dropped.
        seq: Number of a frame that carries something, from 1; 0 otherwise.
        seen: The highest number taken in from the other side.
        gap: Something is missing here: repeat what was not seen.
        sent: In a tick: the highest number sent.
        batch: In attach: whose session it is; the same when its coordinator was started again.
        run: In attach: grows with each start of the coordinator.
        reply_to: In attach: the queue for answers.
        worker, epoch: Who answers, and which process of that name.
        state: How the worker stands.
        start: Attempts to begin; ``instance`` is the worker's own name for it.
        cancel: Attempts to end.
        told: What happened.
    """

    kind: Kind
    v: int = VERSION
    session: str = ""
    seq: int = 0
    seen: int = 0
    gap: bool = False
    sent: int = 0
    batch: str = ""
    run: int = 0
    reply_to: str = ""
    worker: str = ""
    epoch: str = ""
    state: State = "ready"
    start: tuple[Attempt, ...] = ()
    cancel: tuple[AttemptId, ...] = ()
    told: tuple[Told, ...] = ()


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker tells everybody every two seconds.

    Attributes:
        worker, epoch: Its name, and which process of that name.
        queue: Where it takes frames.
        instances: What it holds, by its own names, without anything secret.
        batch, run: Whose session it serves; ``""`` and 0: nobody's.
        state: How it stands.
        v: Version.
    """

    worker: str
    epoch: str
    queue: str
    instances: tuple[Instance, ...]
    batch: str = ""
    run: int = 0
    state: State = "ready"
    v: int = VERSION


def written(frame: Frame) -> bytes:
    """A frame as JSON."""
    return msgspec.json.encode(frame)


def read(body: object) -> Frame | None:
    """A frame; None for whatever is none of this version."""
    if not isinstance(body, bytes | str):
        return None
    try:
        frame = msgspec.json.decode(body, type=Frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return frame if frame.v == VERSION else None


def announced(event: object) -> Announcement | None:
    """An announcement out of a Celery event; None for whatever is none of this version."""
    try:
        told = msgspec.convert(event, Announcement)
    except msgspec.ValidationError:
        return None
    return told if told.v == VERSION else None


def portable(attempt: Attempt, instance: str) -> Attempt:
    """An attempt as a worker needs it: by its own name of the instance, without what only the coordinator uses."""
    bounds = attempt.timeouts
    timeouts = Timeouts(*(min(one, FOREVER_S) for one in (bounds.first_byte_s, bounds.idle_s, bounds.total_s)))
    request = attempt.request and structs.replace(attempt.request, row_hash=b"", family="")
    return structs.replace(attempt, instance=instance, timeouts=timeouts, request=request)
