"""Limit: how many attempts an instance is given at once."""

from __future__ import annotations

from math import inf
from typing import Literal, Protocol

from arriero.core.instance import BackendName, Instance
from arriero.core.policies.overlap import Overlap
from arriero.core.policies.sample import Sample, sample

__all__ = ["UNBOUNDED", "Fixed", "Limit", "Overlap", "Sample", "Unbounded", "limit_for", "sample"]

UNBOUNDED = 1 << 30
"""What ``limit`` says where something else bounds the work (``-c N`` over the fleet)."""

MOST_OLLAMA, MOST_OPENAI = 64, 256
"""A stop for the unforeseen; vLLM's own default of sequences at once is 256."""

GATEWAY_START = 16
"""Several servers behind one address: a start of 2 took too long to find them (simulated: 0.54 to 0.56 of 0.56)."""


class Limit(Protocol):
    """One instance and unit; told everything that is sent there, asked before each start."""

    @property
    def slots(self) -> int:
        """Places open to us there, as far as seen; what routing, display and summary use."""
        ...

    @property
    def tested(self) -> bool:
        """Whether ``slots`` are all there are, and not only as many as were tried."""
        ...

    @property
    def streams(self) -> bool:
        """Whether first tokens are told there before ends."""
        ...

    @property
    def in_one_piece(self) -> bool:
        """Whether answers cannot be seen overlapping there, so that ``slots`` may be too few."""
        ...

    def limit(self, now: float) -> int:
        """Nothing is started while so many are in flight (P10)."""
        ...

    def next_change(self, now: float) -> float:
        """When the limit rises by itself, in monotonic seconds; ``inf`` if only what is told changes it."""
        ...

    def started(self, attempt: int, now: float) -> None:
        """An attempt was sent."""
        ...

    def began(self, attempt: int, now: float) -> None:
        """Its first token came."""
        ...

    def ended(self, attempt: int, now: float, sample: Sample) -> None:
        """It ended, however; exactly once."""
        ...

    def round_trip(self, rtt_s: float) -> None:
        """A round trip was measured where nothing is computed."""
        ...


class _Observed:
    """Slots are learned although the number in flight is set elsewhere: the summary needs them."""

    def __init__(self, observer: Overlap) -> None:
        self._observer = observer
        self.started = observer.started
        self.began = observer.began
        self.ended = observer.ended
        self.round_trip = observer.round_trip

    @property
    def slots(self) -> int:
        """Places open to us there, as far as seen; never more than were sent at once."""
        return self._observer.slots

    @property
    def tested(self) -> bool:
        """Whether they are all there are, and not only as many as were tried."""
        return self._observer.tested

    @property
    def streams(self) -> bool:
        """Whether first tokens are told there before ends."""
        return self._observer.streams

    @property
    def in_one_piece(self) -> bool:
        """Whether answers cannot be seen overlapping there."""
        return self._observer.in_one_piece

    def next_change(self, now: float) -> float:
        """It never changes."""
        return inf


class Fixed(_Observed):
    """Always the same number.

    Args:
        n: The number.
        slots: Places as remembered.
        tested: See ``Overlap``.
        ladder: See ``Overlap``.
    """

    def __init__(self, n: int, *, slots: int = 1, tested: bool = False, ladder: bool = False) -> None:
        super().__init__(Overlap(most=n, slots=slots, tested=tested, ladder=ladder))
        self._n = n

    def limit(self, now: float) -> int:
        """The number."""
        return self._n


class Unbounded(_Observed):
    """No bound here: the work in flight is bounded over the fleet.

    Args:
        slots: Places as remembered.
        tested: See ``Overlap``.
        ladder: See ``Overlap``.
    """

    def __init__(self, *, slots: int = 1, tested: bool = False, ladder: bool = False) -> None:
        super().__init__(Overlap(most=UNBOUNDED, slots=slots, tested=tested, ladder=ladder))

    def limit(self, now: float) -> int:
        """``UNBOUNDED``."""
        return UNBOUNDED


def limit_for(
    instance: Instance,
    backend: BackendName,
    kind: Literal["auto", "server", "gateway"],
    remembered_slots: int | None,
    learned: bool,
    tested: bool = False,
) -> Limit:
    """The limit of one instance for one unit.

    Args:
        instance: With the operator's bounds, if it has any; they go first.
        backend: The dialect as discovered.
        kind: What it is, as discovered.
        remembered_slots: Slots of this unit there from an earlier batch; None if unknown.
        learned: False where ``-c N`` shares a fixed total over the fleet.
        tested: Whether the remembered slots were all there are.

    Returns:
        ``Fixed`` for an operator's number, ``Overlap`` within an operator's or the default bounds,
        ``Unbounded`` where nothing is learned.
    """
    gateway = kind == "gateway"
    # Ollama's timing fields show what overlaps even in answers of one piece; elsewhere the ladder must help.
    ladder = backend == "openai" or gateway
    slots = remembered_slots or 1
    bounds = instance.limit
    if bounds is not None and bounds.fixed:
        return Fixed(bounds.most, slots=slots, tested=tested, ladder=ladder)
    if bounds is not None:
        return Overlap(
            least=bounds.least,
            start=bounds.start,
            most=bounds.most,
            slots=slots,
            tested=tested,
            ladder=ladder,
            gateway=gateway,
        )
    if not learned:
        return Unbounded(slots=slots, tested=tested, ladder=ladder)
    most = MOST_OPENAI if backend == "openai" or gateway else MOST_OLLAMA
    start = GATEWAY_START if gateway else 2
    return Overlap(start=start, most=most, slots=slots, tested=tested, ladder=ladder, gateway=gateway)
