"""Spare: how many attempts an instance is given beyond its slots, so that none of them idles for a round trip."""

from __future__ import annotations

from math import exp

IDLE_LOSS = 0.005
"""Share of the slots that may stand idle during round trips."""


def spare_places(slots: int, ends: float) -> int:
    """Attempts to hold ready beyond the slots so that none idles for a round trip.

    Args:
        slots: Places on the server.
        ends: Mean of the ends during one round trip, ``slots * turn_s / hold_s``; they come as Poisson.

    Returns:
        The smallest e in 1 .. slots + 8 with E[max(0, Poisson(ends) - e)] <= IDLE_LOSS * slots.
    """
    allowed = IDLE_LOSS * slots
    if ends * ends <= 2.0 * allowed:
        return 1  # E[max(0, N - 1)] <= ends^2 / 2
    if ends - (slots + 8) > allowed:
        return slots + 8  # E[max(0, N - e)] >= ends - e
    chance = below = exp(-ends)
    short = ends - 1.0 + below  # E[max(0, N - e)] = E[N] - sum of P(N > k) for k < e
    places = 1
    while short > allowed and places < slots + 8:
        chance *= ends / places
        below += chance
        short -= 1.0 - below
        places += 1
    return places
