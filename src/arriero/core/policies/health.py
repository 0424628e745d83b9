"""Health: when an instance is given less, ejected, probed and taken back."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf

from arriero.core.outcome import HARD_FAULTS, INSTANCE_FAULTS, FailureKind

# Constants as simulated for this design (docs/decisions/0009-policies.md): no request lost in any of the seeded worlds, and an
# instance with 30 % errors loses 0.01 of the batch's efficiency.

EJECT_SCORE = 5
"""Five ordinary failures in a row eject; at 30 % errors that happens about once in 600 attempts."""

HARD_SCORE = 3
"""Two refusals or timeouts in a row eject, one does not."""

CLOSED_S = 0.5
"""A place stays closed this long after the first failure, doubled with the score."""

WAIT_S = 1.0
"""First wait before a probe; doubled at each ejection and failed probe."""

WAIT_MOST_S = 60.0
"""Longest wait before a probe, and between tries where the server is overloaded."""

PROVEN_WAIT_S = 2.0
"""Longest wait of an instance whose last probe passed: what fails there may be the rows', and others are waiting."""

HARD_WAIT_S = 60.0
"""Wait before the probe of an instance whose operator must act (401, 403, a redirect)."""

PROBE_S = 10.0
"""Time of a one-token generation, the load of the model apart."""

PROBE_MOST_S = 600.0
"""A probe may have to load the model: as long as a preload may take (``docs/decisions/0009-policies.md``)."""

CAP_MOST = 64
"""The cap of a re-admission is off here at the latest, also where the limit is larger or unbounded."""

ALL_PLACES = 1 << 30
"""What ``closed`` says while nothing may start: more than any limit."""

_SILENT = frozenset({FailureKind.UNREACHABLE, FailureKind.TIMEOUT})
"""Kinds that weigh ``HARD_SCORE`` where not even a first token came."""


class Health:
    """How one instance fares.

    A failure closes one place for as long as a success would have taken at most, so a fast failure
    cannot draw work faster than a slow success. A streak ejects; a probe lets it back in at 1, 2, 4 …

    Args:
        gateway: It hides several servers: it is paused where another one would be ejected, and tried
            again with one attempt without a probe.

    Attributes:
        ejected: It gets nothing but probes.
        probe_at: When the next probe is due, in monotonic seconds; ``inf`` while it is not ejected.
        reason: The failure that ejected it last; None once it is fully back.
        down_since: When it went out of use, kept until a request succeeds there (a probe that passes
            while requests fail is no recovery); None while it serves.
    """

    def __init__(self, *, gateway: bool = False) -> None:
        self.gateway = gateway
        self.ejected = False
        self.probe_at = inf
        self.reason: FailureKind | None = None
        self.down_since: float | None = None
        self._score = 0
        self._overloads = 0
        self._wait_s = WAIT_S
        self._failed_probes = 0
        self._cap: int | None = None
        self._out_until = -inf  # a gateway's stand-in for an ejection
        self._overloaded_until = -inf
        self._reopen_at: list[float] = []  # a heap: when each closed place opens again

    def failed(
        self,
        kind: FailureKind,
        now: float,
        service_s: float,
        *,
        retry_after_s: float | None = None,
        began: bool = False,
    ) -> bool:
        """Learn of a failed attempt; kinds that are not the instance's have no effect.

        Args:
            kind: Why it failed.
            now: Monotonic seconds.
            service_s: Mean seconds a success takes there; 0 if unknown.
            retry_after_s: What an overloaded server asked for.
            began: The answer had begun, so the instance was at work.

        Returns:
            Whether this failure ejected the instance (paused, for a gateway): what it was charged with since a success is refunded
            and what has not begun there is taken back. Failures of what still ran there return False
            while ``down``, and are refunded too.
        """
        if kind is FailureKind.OVERLOADED:
            self._overloaded(now, retry_after_s)
            return False
        if kind in HARD_FAULTS:
            return self.eject(now, kind)
        if kind not in INSTANCE_FAULTS:
            return False
        # What a gateway cannot reach is one of several servers.
        self._score += HARD_SCORE if kind in _SILENT and not began and not self.gateway else 1
        if self.down(now):
            return False
        if self._score >= EJECT_SCORE:
            return self.eject(now, kind)
        closed_s = CLOSED_S * 2.0 ** (self._score - 1)
        heappush(self._reopen_at, now + (min(closed_s, service_s) if service_s > 0.0 else closed_s))
        return False

    def eject(self, now: float, kind: FailureKind | None = None) -> bool:
        """Take it out of use until a probe passes; a gateway pauses instead, unless its operator must act.

        The probe comes after 1 s, doubled at each ejection and failed probe, or after ``HARD_WAIT_S``.

        Args:
            now: Monotonic seconds.
            kind: Why; kept as ``reason``.

        Returns:
            Whether it was in use until now.
        """
        if self.ejected or (kind not in HARD_FAULTS and self.down(now)):
            return False
        wait_s = HARD_WAIT_S if kind in HARD_FAULTS else self._wait_s
        self.reason = kind
        self.down_since = now if self.down_since is None else self.down_since
        self._wait_s = min(WAIT_MOST_S, 2.0 * self._wait_s)
        self._reopen_at.clear()
        if self.gateway and kind not in HARD_FAULTS:
            self._out_until = now + wait_s
            # One attempt finds out whether it is back; should that fail, it pauses again at once.
            self._cap, self._score = 1, EJECT_SCORE - 1
        else:
            self.ejected = True
            self.probe_at = now + wait_s
        return True

    def doubted(self, now: float) -> None:
        """It is of no use for now although nothing is its fault: it counts as down until a request succeeds there."""
        if self.down_since is None:
            self.down_since = now

    def succeeded(self, now: float, limit: int = CAP_MOST) -> None:
        """Learn of a success; after a re-admission it doubles the cap.

        Args:
            now: Monotonic seconds.
            limit: What the limit policy allows there; the cap is off once it reaches this.
        """
        self._forgive()
        if self.ejected:
            self.probe_at = min(self.probe_at, now)  # a sign of life: no need to wait longer
            return
        self.down_since = None
        if self._cap is None:
            return
        self._cap *= 2
        if self._cap >= min(limit, CAP_MOST):
            self._cap, self._wait_s, self.reason = None, WAIT_S, None

    def closed(self, now: float) -> int:
        """Places closed now after failures; ``ALL_PLACES`` while it is ejected, paused or overloaded."""
        if self.down(now) or now < self._overloaded_until:
            return ALL_PLACES
        while self._reopen_at and self._reopen_at[0] <= now:
            heappop(self._reopen_at)
        return len(self._reopen_at)

    def down(self, now: float) -> bool:
        """Whether failures have taken it out of use: ejected, or a gateway that is paused for them."""
        return self.ejected or now < self._out_until

    def cap(self) -> int | None:
        """Attempts allowed since its re-admission (1, 2, 4 …); 0 while ejected, None for no cap."""
        return 0 if self.ejected else self._cap

    def probe_timeout_s(self, load_s: float) -> float:
        """Seconds the next probe may take: 10 and the load of the model, doubled with each failed probe, at most 600."""
        return min(PROBE_MOST_S, (PROBE_S + load_s) * 2.0 ** min(self._failed_probes, 16))

    def probe_failed(self, now: float) -> None:
        """Learn that the probe failed: the next one comes after a doubled wait."""
        self._failed_probes += 1
        self.probe_at = now + self._wait_s
        self._wait_s = min(WAIT_MOST_S, 2.0 * self._wait_s)

    def probe_passed(self, now: float) -> None:
        """Learn that the probe passed: back in use, one attempt at a time first."""
        self._forgive()
        self.ejected = False
        self.probe_at = inf
        self._failed_probes = 0
        self._wait_s = min(self._wait_s, PROVEN_WAIT_S)
        self._cap = 1

    def next_change(self, now: float) -> float:
        """When a place opens again or a probe is due, in monotonic seconds; ``inf`` if nothing is pending."""
        if self.ejected:
            return max(self.probe_at, self._overloaded_until)
        if self.closed(now) >= ALL_PLACES:
            return max(self._out_until, self._overloaded_until)
        return self._reopen_at[0] if self.closed(now) else inf

    def shift(self, gap_s: float) -> None:
        """Move every deadline by the seconds the whole process was away (suspended, stopped)."""
        self.probe_at += gap_s
        self._out_until += gap_s
        self._overloaded_until += gap_s
        self._reopen_at = [at + gap_s for at in self._reopen_at]
        heapify(self._reopen_at)

    def _forgive(self) -> None:
        self._score = self._overloads = 0

    def _overloaded(self, now: float, retry_after_s: float | None) -> None:
        """Pause as long as the server asks, else 0.5 s doubled with each overload in a row.

        Without a pause a server that refuses at once would be asked as fast as the network allows.
        """
        self._overloads += 1
        own_s = min(WAIT_MOST_S, CLOSED_S * 2.0 ** min(self._overloads - 1, 16))
        self._overloaded_until = max(self._overloaded_until, now + (own_s if retry_after_s is None else retry_after_s))
