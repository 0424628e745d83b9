"""Step: one use of an instance that is no request, and how long it may take."""

from __future__ import annotations

import msgspec

from arriero.core.outcome import Subject
from arriero.core.request import Purpose, Timeouts, Unit

DISCOVER_S = 10.0
"""A listing is answered at once or not at all."""

LOAD_S = 600.0
"""A preload has its own timeout (``docs/decisions/0009-policies.md``): cold loads of 190 s are reported, and giving up aborts the load."""


class Step(msgspec.Struct, frozen=True):
    """One use of an instance that is no request: what for, and what it asks or names."""

    purpose: Purpose
    subject: Subject = ""
    unit: Unit | None = None


def step_timeouts(purpose: Purpose, probe_s: float, *, gateway: bool) -> Timeouts:
    """How long a step may take.

    Args:
        purpose: What for.
        probe_s: What the member's health allows a probe.
        gateway: Behind it a probe may have to load the model, and giving up would abort that load for ever.
    """
    limit_s = {"discover": DISCOVER_S, "probe": LOAD_S if gateway else probe_s}.get(purpose, LOAD_S)
    return Timeouts(first_byte_s=limit_s, idle_s=limit_s, total_s=limit_s)
