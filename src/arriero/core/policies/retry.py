"""Retry: whether a failed request is sent again, and after how many seconds."""

from __future__ import annotations

from random import Random

from arriero.core.outcome import HARD_FAULTS, INSTANCE_FAULTS, FailureKind

BACKOFF_S = 1.0
"""Upper end of the first wait, doubled with each failure (``docs/decisions/0009-policies.md``)."""

BACKOFF_MOST_S = 60.0
"""No wait is drawn from a longer interval."""

RETRY_AFTER_MOST_S = 300.0
"""A server that asks for more is asked again after five minutes."""

CHARGED = INSTANCE_FAULTS | {FailureKind.INVALID_OUTPUT}
"""Kinds that use up one of a request's attempts.

The others end the request, are nobody's fault, or take the instance out of use, so that they cannot
come again for ever: overload is bounded by ``--max-wait``, a missing model and hard faults by the
number of instances.
"""


def charges(kind: FailureKind) -> bool:
    """Whether a failure of this kind uses up an attempt (before any refund)."""
    return kind in CHARGED


def backoff_s(failures: int, random: Random, *, elsewhere: bool = False) -> float:
    """Seconds to wait after a failure: uniform in [0, min(60, 1 x 2^(failures - 1))].

    Args:
        failures: Failures of this request so far, this one included; at least 1.
        random: The scheduler's seeded source of chance.
        elsewhere: Another instance, where it has not failed, can take it: the first retry goes at once.

    Returns:
        Seconds, in [0, 60].

    Source:
        "Full jitter" of the AWS Architecture Blog, "Exponential Backoff And Jitter"; the immediate first
        retry elsewhere: docs/decisions/0009-policies.md.
    """
    if failures <= 1 and elsewhere:
        return 0.0
    # The exponent is cut where 2^n passes any possible bound, so that a long outage cannot overflow.
    return random.uniform(0.0, min(BACKOFF_MOST_S, BACKOFF_S * 2.0 ** min(max(failures, 1) - 1, 16)))


def retry(
    kind: FailureKind,
    *,
    charged: int,
    retries: int,
    elsewhere: bool,
    retry_after_s: float | None,
    overloaded_for_s: float,
    max_wait_s: float,
    repeated_before: bool,
    random: Random,
) -> float | None:
    """Decide what follows a failed attempt (the table of kinds in ``docs/reliability.md``).

    Args:
        kind: Why the attempt failed.
        charged: Attempts the request has used up, this one included if ``charges(kind)``.
        retries: Attempts it may use after the first.
        elsewhere: Another usable instance, where it has not failed, can take it.
        retry_after_s: What the server asked for; None if it did not.
        overloaded_for_s: Seconds since the first overload in a row of this request.
        max_wait_s: How long overload may last (``--max-wait``).
        repeated_before: This failure is Ollama's abort after many identical tokens, and an earlier one was too.
        random: The scheduler's seeded source of chance.

    Returns:
        Seconds to wait before it may start again; None: this failure is the request's end.
    """
    if kind is FailureKind.OVERLOADED:
        return _after_overload_s(retry_after_s, overloaded_for_s, max_wait_s, random)
    if kind is FailureKind.MODEL_MISSING:
        return 0.0 if elsewhere else None
    if kind is FailureKind.LOST or kind in HARD_FAULTS:
        return backoff_s(1, random, elsewhere=elsewhere)
    # A repeated abort is deterministic at temperature 0: a third time would end the same way.
    if kind not in CHARGED or charged > retries or repeated_before:
        return None
    if kind is FailureKind.INVALID_OUTPUT:
        return 0.0  # the server is well; waiting would not change what the model writes
    return backoff_s(charged, random, elsewhere=elsewhere)


def _after_overload_s(
    retry_after_s: float | None, overloaded_for_s: float, max_wait_s: float, random: Random
) -> float | None:
    """Wait as long as asked, else up to as long as it has lasted; None once ``max_wait_s`` is over."""
    left_s = max_wait_s - overloaded_for_s
    if left_s <= 0.0:
        return None
    # An interval that grows by the time already waited doubles at each draw in the mean, like 2^n, and
    # needs no count of overloads.
    jitter_s = random.uniform(0.0, min(BACKOFF_MOST_S, BACKOFF_S + overloaded_for_s))
    if retry_after_s is None:
        return min(jitter_s, left_s)
    # All that were told the same second must not come back in the same second.
    return min(min(retry_after_s, RETRY_AFTER_MOST_S) + min(jitter_s, BACKOFF_S), left_s)
