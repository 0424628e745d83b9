"""What the scheduler is told, and what observers are told."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from arriero.core.batch import Batch
from arriero.core.instance import Instance, InstanceLimit
from arriero.core.outcome import FailureKind, Outcome
from arriero.core.remembered import Served
from arriero.core.request import Attempt, AttemptId, BatchId, Unit


class AttemptBegan(msgspec.Struct, frozen=True, gc=False):
    """The first token of an attempt arrived; ``at`` was taken in the socket callback."""

    attempt: AttemptId
    at: float


class AttemptEnded(msgspec.Struct, frozen=True):
    """An attempt is over, its slot is free; exactly one for each attempt started."""

    attempt: AttemptId
    at: float
    outcome: Outcome


class InstanceJoined(msgspec.Struct, frozen=True):
    """An instance belongs to the fleet from now on; it is discovered before it gets work.

    Attributes:
        instance: As its operator described it.
        remembered: What earlier batches learned of it.
    """

    instance: Instance
    remembered: tuple[Served, ...] = ()


class InstanceLeft(msgspec.Struct, frozen=True):
    """An instance belongs to the fleet no more; what runs there is ended by its engine."""

    name: str


class LimitSet(msgspec.Struct, frozen=True):
    """The user set a limit: for one instance, or the total of the fleet (``instance`` empty)."""

    limit: InstanceLimit
    instance: str = ""


class Paused(msgspec.Struct, frozen=True):
    """Nothing new starts until whoever paused says ``Unpaused``."""

    by: str = "user"


class Unpaused(msgspec.Struct, frozen=True):
    """Work goes on, unless somebody else paused it too."""

    by: str = "user"


class Drained(msgspec.Struct, frozen=True):
    """Nothing new starts any more; what runs may end, what waits for a slot of its instance is called back (first Ctrl-C)."""


class Aborted(msgspec.Struct, frozen=True):
    """What runs is cancelled and makes no result; it is redone on resume (second Ctrl-C)."""


class BatchOpened(msgspec.Struct, frozen=True):
    """A batch will send requests from now on."""

    batch: Batch


class BatchCancelled(msgspec.Struct, frozen=True):
    """Every request of the batch that is known and not finished ends as ``cancelled``."""

    batch: BatchId


class BatchClosed(msgspec.Struct, frozen=True):
    """Nobody will ask for the batch again: its books are forgotten once all that was handed in has ended."""

    batch: BatchId


class InputEnded(msgspec.Struct, frozen=True):
    """No more requests will be added to the batch; ``total`` rows were accepted in all."""

    batch: BatchId
    total: int


class Away(msgspec.Struct, frozen=True, gc=False):
    """The loop was away for ``gap_s`` (suspended, stopped): every deadline moves by it, and nobody is blamed."""

    gap_s: float


class InputReady(msgspec.Struct, frozen=True):
    """The feed has requests again; only wakes the loop."""

    batch: BatchId


Event: TypeAlias = (
    AttemptBegan
    | AttemptEnded
    | InstanceJoined
    | InstanceLeft
    | LimitSet
    | Paused
    | Unpaused
    | Drained
    | Aborted
    | BatchOpened
    | BatchCancelled
    | BatchClosed
    | InputEnded
    | InputReady
    | Away
)


# What observers are told besides the events above. None of them carries a prompt, an answer or foreign text (P12).


class AttemptStarted(msgspec.Struct, frozen=True):
    """An attempt was handed to the engine."""

    attempt: Attempt
    at: float


class AttemptFailed(msgspec.Struct, frozen=True):
    """A ``request`` attempt failed; journalled.

    Attributes:
        attempt: The attempt.
        kind: Why it failed.
        detail: Foreign text for ``arriero errors`` only.
        charged: Whether it counts towards ``--retries``, unless it is refunded later.
        retry_in_s: Seconds until the request may start again; None if it ended.
    """

    attempt: Attempt
    kind: FailureKind
    detail: str
    charged: bool
    retry_in_s: float | None
    at: float


class AttemptRefunded(msgspec.Struct, frozen=True):
    """A charged attempt counts no more: its instance has been ejected since; journalled, after its ``AttemptFailed``."""

    attempt: Attempt
    at: float


class UpkeepEnded(msgspec.Struct, frozen=True):
    """An attempt that is no request (preload, unload, probe, discover) ended; journalled.

    Attributes:
        attempt: The attempt.
        kind: Why it failed; None if it did not.
        latency_s: Seconds it took.
    """

    attempt: Attempt
    kind: FailureKind | None
    latency_s: float
    at: float


READMITTED = "readmitted"
"""Reason of an ``InstanceChanged`` to ``ok`` after a probe that passed."""


class InstanceChanged(msgspec.Struct, frozen=True):
    """An instance's state changed.

    Attributes:
        name: The instance.
        state: ``joining`` (being discovered), ``loading``, ``ok``, ``ejected``, ``paused`` (a gateway),
            ``left``.
        reason: A short text of ours (a failure kind, a missing model …).
        unit: What it holds or loads now.
        probe_in_s: Seconds to the next probe when ejected.
        detail: More of ``reason``, in our words too.
    """

    name: str
    state: Literal["joining", "loading", "ok", "ejected", "paused", "left"]
    reason: str = ""
    unit: Unit | None = None
    probe_in_s: float | None = None
    at: float = 0.0
    detail: str = ""


class FleetChanged(msgspec.Struct, frozen=True):
    """The fleet as a whole became usable or not; while it is not, the batch waits, at most ``--max-wait``."""

    usable: bool
    at: float


class Noted(msgspec.Struct, frozen=True):
    """Something the user should hear once.

    Attributes:
        code: ``context_unknown``, ``generate_only``, ``truncation_possible``, ``listing_missing``, ``replies_in_one_piece``,
            ``digest_changed``, ``digest_differs``, ``late`` (a second outcome was dropped) …; the surface turns it into words.
        instance: Which instance; ``""`` for all.
    """

    code: str
    instance: str = ""
    at: float = 0.0


Notice: TypeAlias = (
    AttemptStarted | AttemptFailed | AttemptRefunded | UpkeepEnded | InstanceChanged | FleetChanged | Noted
)
