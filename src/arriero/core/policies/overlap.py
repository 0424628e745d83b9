"""Overlap: how many slots an instance has for us, by counting the attempts that run there at one moment."""

from __future__ import annotations

from collections import deque
from math import inf

from arriero.core.policies.ladder import Ladder
from arriero.core.policies.points import WINDOW, Point, Points
from arriero.core.policies.sample import Sample
from arriero.core.policies.spare import spare_places

# Constants as simulated for this design, each moved alone; figures are shares of the best fixed limit
# (docs/decisions/0009-policies.md).

PATIENCE = 4
"""Full-load observations without a new slot that end a probe; 2 ends it early (0.961 against 0.972), 8 parks longer."""

TESTED = 8
"""Observations with more there than its slots, and at least two a slot, before the slots are told as a fact."""

TIE_LEAST_S, TIE_MOST_S = 0.010, 0.050
"""Two moments closer than a round trip, within these bounds, may have been the other way round; 1 ms parked 3.0, not 1.7."""

LATE_MOST_S = 0.5
"""How far the end of one answer may lag behind its server's own durations and still be taken for a delay on the way."""

SHORTEST_S = 0.050
"""What a prefill takes at least, where the server does not say when it began."""

CEILING_S, CEILING_MOST_S = 30.0, 600.0
"""How long a refusal bounds the limit; doubled if the same number is refused again."""

STEP = 0.1
"""Weight of the newest end in the running means."""

INTERVALS = 64
"""Ended attempts remembered where engines report only ends."""

GATEWAY_SPARE_LEAST = 2
"""A gateway that deals in turn fills its servers unevenly: spare = max(2, slots / 2) came to 0.96 of the best fixed limit."""


class _Running:
    """One attempt that is there: when it was sent, when its first token came, whether the instance was busy then."""

    __slots__ = ("busy", "first", "sent")

    def __init__(self, sent: float, *, busy: bool) -> None:
        self.sent = sent
        self.first: float | None = None
        self.busy = busy


class Overlap:
    """A limit of slots plus a spare place, both learned.

    An attempt that has shown its first token and has not ended holds a slot. The most that hold one at
    the same moment can never be more than the slots, and reach them whenever one more of ours waits
    there. So ``slots`` is the largest overlap in the last full-load observations and ``limit`` is
    ``slots`` + spare + what a probe adds. Prompt length, load and throttling move first tokens in time,
    not the number of attempts that overlap.

    Args:
        least: Never below.
        start: Where it starts; 2 is right for Ollama's default of one slot.
        most: Never above.
        slots: As remembered, perhaps more than ``most``; 1 if nothing is.
        tested: Whether those slots were told as a fact.
        rtt_s: Round trip as measured; None if it was not.
        ladder: Climb by throughput where answers cannot be seen to overlap.
        gateway: It hides several servers: more spare.
    """

    def __init__(
        self,
        *,
        least: int = 1,
        start: int = 2,
        most: int = 64,
        slots: int = 1,
        tested: bool = False,
        rtt_s: float | None = None,
        ladder: bool = False,
        gateway: bool = False,
    ) -> None:
        self._least, self._most = least, most
        self._slots = self._known = min(slots, most)
        self._told = tested and slots <= most
        self._pressed = 0
        self._guessed = self._streamed = False
        self._current = max(start, self._slots + 1)
        self._ladder = Ladder() if ladder else None
        self._gateway = gateway
        self._attempts: dict[int, _Running] = {}
        self._streaming = 0
        self._points = Points()
        self._intervals: deque[tuple[float, float]] = deque(maxlen=INTERVALS)
        self._boost = self._quiet = 0
        self._raised_at = float("-inf")
        self._rtt_s = rtt_s
        self._turn_s = rtt_s
        self._hold_s: float | None = None
        self._tie_s = TIE_LEAST_S
        self._ttft_least_s = float("inf")
        self._spare = self._spare_now()  # kept: it changes only with slots and times
        self._ceiling = most
        self._ceiling_s = CEILING_S
        self._ceiling_until = float("-inf")

    @property
    def slots(self) -> int:
        """Places open to us there, as far as seen."""
        return self._slots

    @property
    def tested(self) -> bool:
        """Whether ``slots`` are all there are: more were there for long enough, and no more of them ran."""
        if self._guessed or self.in_one_piece:
            return False
        return self._told or self._pressed >= max(TESTED, 2 * self._slots)

    @property
    def streams(self) -> bool:
        """Whether first tokens are told there before ends, so that what has not begun may be waiting for a slot."""
        return self._streamed and not self.in_one_piece

    @property
    def in_one_piece(self) -> bool:
        """Whether answers are too short or too lumpy to be seen overlapping, so that ``slots`` may be too few."""
        return self._ladder is not None and self._ladder.needed

    def round_trip(self, rtt_s: float) -> None:
        """Learn a round trip that was measured where nothing is computed."""
        self._rtt_s = rtt_s

    def limit(self, now: float) -> int:
        """Attempts in flight at most; it may fall below what is there, nothing is cancelled for that."""
        wanted = self._current
        if self._ladder is not None and self._ladder.rung > wanted and self._ladder.needed:
            wanted = self._ladder.rung
        top = self._most
        if now < self._ceiling_until and self._ceiling < top:
            top = self._ceiling
        wanted = min(wanted, top)
        return max(self._least, wanted)

    def next_change(self, now: float) -> float:
        """When a refusal bounds it no longer, in monotonic seconds; ``inf`` if none does."""
        return self._ceiling_until if now < self._ceiling_until else inf

    def started(self, attempt: int, now: float) -> None:
        """Learn that an attempt was sent."""
        busy = self._ladder is not None and 2 * (len(self._attempts) + 1) >= self.limit(now)
        self._attempts[attempt] = _Running(now, busy=busy)

    def began(self, attempt: int, now: float) -> None:
        """Learn that its first token came; engines that cannot tell leave this out."""
        running = self._attempts.get(attempt)
        if running is None or running.first is not None:
            return
        running.first = now
        self._streaming += 1
        self._streamed = True
        here = len(self._attempts)
        self._observe(Point(now, self._streaming, here, here >= self.limit(now)), now)

    def ended(self, attempt: int, now: float, sample: Sample) -> None:
        """Learn that it ended, however: exactly once for each attempt, or a phantom stays in the books."""
        this = self._attempts.pop(attempt, None)
        if this is None:
            return
        if this.first is not None:
            self._streaming -= 1
            self._left(this.first, now, sample)
        if sample.kind != "success":
            if sample.kind == "overloaded":
                self._refused(now, sample.retry_after_s)
            # No times to learn from: it held its slot at no moment for sure.
            self._points.settle(attempt, now, now, streamed=this.first is not None)
            return
        self._guessed = this.first is None and sample.held_s is None
        begun = self._begun(this, now, sample)
        self._points.settle(attempt, begun, now - self._tie_s, streamed=this.first is not None)
        if this.first is None:
            self._ended_late(this, begun, now)
        else:  # it also ran while it prefilled: count it where only streams were counted
            self._points.prefilled(begun + self._tie_s, this.first)
            self._update(now)

    def _left(self, first: float, now: float, sample: Sample) -> None:
        """It streamed from ``first`` and has ended: at which moments was it surely there?

        Its own server says how long it took; what was seen beyond that was on its way, so that others may have begun
        before its end was heard. What only such a moment has shown is taken back at once.
        """
        late_s = 0.0 if sample.total_s is None else min(sample.latency_s - sample.total_s, LATE_MOST_S)
        seen = self._points.seen
        self._points.left(first, now, max(self._tie_s, late_s))
        if self._points.seen < seen == self._slots > self._known:
            self._slots = max(self._known, self._points.seen)
            self._told, self._pressed = False, 0
            self._spare = self._spare_now()

    def _begun(self, this: _Running, now: float, sample: Sample) -> float:
        """When it took its slot: by the server's own durations, else a shortest prefill before its first token."""
        ttft_s = sample.latency_s if sample.ttft_s is None else sample.ttft_s
        first = this.sent + ttft_s if this.first is None else this.first
        self._ttft_least_s = min(self._ttft_least_s, ttft_s)
        held_s = sample.held_s
        if held_s is None:
            prefill_s = min(SHORTEST_S, 0.8 * (self._ttft_least_s - (self._rtt_s or 0.0)))
            begun = first - max(0.0, prefill_s)
            if self._ladder is not None:
                self._ladder.told(now, sample, shown_s=now - first, busy=this.busy)
        else:
            begun = now - held_s
        begun = max(begun, this.sent)
        self._hold_s = _mean(self._hold_s, now - begun)
        turn_s = self._rtt_s if sample.total_s is None else max(0.0, sample.latency_s - sample.total_s)
        if turn_s is not None:
            self._turn_s = turn_s = _mean(self._turn_s, turn_s)
            self._tie_s = min(max(turn_s, TIE_LEAST_S), TIE_MOST_S)
        self._spare = self._spare_now()
        return begun

    def _ended_late(self, this: _Running, begun: float, now: float) -> None:
        """Only its end was told: an observation of the moment it took its slot, in hindsight.

        First come, first served: what was sent earlier and is still there is assumed to have begun
        earlier; its own end settles that.
        """
        assumed: set[int] = set()
        for other, running in self._attempts.items():
            if running.sent >= this.sent - self._tie_s:
                break  # in order of sending
            assumed.add(other)
        ran = 1 + len(assumed)
        for start, end in reversed(self._intervals):
            if end <= begun:
                break  # in order of ends
            ran += start <= begun
        self._intervals.append((begun, now - self._tie_s))
        present = len(self._attempts) + 1
        full = present >= self.limit(now) and this.sent >= self._raised_at
        self._observe(Point(begun, ran, present, full, assumed), now)

    def _observe(self, point: Point, now: float) -> None:
        if point.full or point.running > self._slots:
            self._points.add(point)
            self._quiet += point.full
        self._update(now)
        self._pressed += point.present > self._slots

    def _update(self, now: float) -> None:
        """Slots up at once, down only after a whole window; the limit follows, doubling its probe while it finds slots."""
        seen = self._points.seen
        if seen != self._slots and (seen > self._slots or self._points.full >= WINDOW):
            self._slots = max(1, seen)
            self._told, self._pressed = False, 0
            self._spare = self._spare_now()
        spare = self._spare
        if self._slots >= self._current:  # all that was sent ran: is there more room?
            self._boost = max(1, 2 * self._boost)
            self._quiet = 0
            self._raised_at = now
        elif self._quiet >= PATIENCE:
            self._boost = 0  # the probe found nothing
        elif self._current >= self._slots + spare:
            return  # the probe is still out
        self._current = self._slots + spare + self._boost

    def _spare_now(self) -> int:
        if self._gateway:
            return max(GATEWAY_SPARE_LEAST, self._slots // 2)
        if not self._turn_s or not self._hold_s:
            return 1
        return spare_places(self._slots, self._slots * self._turn_s / self._hold_s)

    def _refused(self, now: float, retry_after_s: float | None) -> None:
        """What is left was accepted, one more was not: that bounds the limit for a while."""
        here = max(1, len(self._attempts))
        if now >= self._ceiling_until:
            again = self._ceiling == here
            self._ceiling_s = min(CEILING_MOST_S, 2.0 * self._ceiling_s) if again else CEILING_S
            self._ceiling = here
        self._ceiling = min(self._ceiling, here)
        self._ceiling_until = now + max(self._ceiling_s, retry_after_s or 0.0)


def _mean(mean: float | None, value: float) -> float:
    return value if mean is None else mean + STEP * (value - mean)
