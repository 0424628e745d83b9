"""Verdict: what the end of one attempt means for its request."""

from __future__ import annotations

from random import Random

import msgspec

from arriero.core.batch import Batch
from arriero.core.outcome import Failure, FailureKind, Success
from arriero.core.policies.retry import charges, retry
from arriero.core.queue import Open
from arriero.core.request import Attempt

CRASHES_MOST = 3
"""A request under which that many model processes went down is quarantined as ``poison`` (``docs/reliability.md``)."""


FORGIVEN_MOST = 10
"""So often a failure is laid at an instance's door.

A row that fails wherever it is sent takes a lone instance out each time; if all of that were refunded, it would never end.
"""

GATEWAY_FORGIVEN = 2
"""Of a gateway, so many failures for each retry are laid at the door of a server behind it.

Where a third of its answers fail, five attempts lose 4 rows of 1,000, thirteen lose 1 of a million.
"""


class Verdict(msgspec.Struct, frozen=True):
    """What follows.

    Attributes:
        end: How the request ended; None if it goes on.
        wait_s: Seconds until it may be sent again, if it goes on.
        charged: Whether the attempt was charged to the request.
        failure: The failure to journal; None for a success that ends the request.
    """

    end: Success | Failure | None
    wait_s: float = 0.0
    charged: bool = False
    failure: Failure | None = None


def refund(entry: Open) -> bool:
    """An attempt that was charged failed on an instance that is out of use now: it was not the request's fault.

    Returns:
        Whether it was given back; a request is forgiven ``FORGIVEN_MOST`` times.
    """
    if entry.forgiven >= FORGIVEN_MOST:
        return False
    entry.charged -= 1
    entry.forgiven += 1
    return True


def blames_instance(entry: Open, name: str, answered_at: float | None, kind: FailureKind) -> bool:
    """Whether a failure speaks against the instance where it happened, and not only against its request.

    The first failure of a request always does. After that the request itself is the more likely cause where the instance has
    answered another one since, or where it has failed the same request before. An instance that cannot be reached is never the
    request's fault for that.

    Args:
        entry: The request; not yet told of this failure.
        name: The instance.
        answered_at: When a request last succeeded there; None if none did.
        kind: Why it failed.
    """
    if entry.failed_at is None:
        return True
    if answered_at is not None and answered_at > entry.failed_at:
        return False
    return kind is FailureKind.UNREACHABLE or name not in entry.failed_on


def judge_success(entry: Open, attempt: Attempt, success: Success) -> Verdict:
    """An answer ends its request, unless it outgrew its context and so lost its beginning on the way.

    Then it is asked once more with the room that its prompt leaves. The last token is never fed back, so an exchange one token
    longer than the context has lost nothing.

    Source:
        Ollama shifts the context silently, also with ``truncate: false``, when prompt and answer together exceed it
        (seen on v0.24.0 and v0.33.0).
    """
    prompt, output, context = success.usage.prompt_tokens, success.usage.output_tokens, attempt.context_tokens
    if prompt is None or output is None or context is None or prompt + output - 1 <= context:
        return Verdict(success)
    room = context - prompt
    failure = Failure(
        kind=FailureKind.TOO_LONG,
        detail=f"prompt and answer need {prompt + output} tokens, the context holds {context}",
        latency_s=success.timing.latency_s,
        n_prompt_tokens=prompt,
    )
    if room < 1 or entry.room_tokens is not None:
        return Verdict(failure, failure=failure)
    entry.room_tokens = room
    return Verdict(None, failure=failure)


def _asks_for_less(entry: Open, attempt: Attempt, failure: Failure) -> bool:
    """Whether it was refused only for the room that we guessed for its answer, and now asks for what its prompt leaves.

    Source:
        vLLM answers 400 where prompt and ``max_tokens`` together exceed the context, and says how long the prompt is.
    """
    prompt, context = failure.n_prompt_tokens, attempt.context_tokens
    if failure.kind is not FailureKind.TOO_LONG or prompt is None or context is None or prompt >= context:
        return False
    if entry.request.max_tokens is not None or entry.room_tokens is not None:
        return False
    entry.room_tokens = context - prompt
    return True


def judge_failure(
    entry: Open,
    attempt: Attempt,
    failure: Failure,
    batch: Batch,
    *,
    forgiven: bool,
    elsewhere: bool,
    now: float,
    random: Random,
) -> Verdict:
    """Whether a failed request is tried again, and when; its books are brought up to date.

    Args:
        entry: The request; charged, and told where it failed.
        attempt: What failed.
        failure: How.
        batch: Its batch, with the retries allowed.
        forgiven: The instance is out of use with this failure or was before: it is not charged.
        elsewhere: Whether an instance where it has not failed serves its unit.
        now: Monotonic seconds.
        random: The scheduler's source of chance.
    """
    if _asks_for_less(entry, attempt, failure):
        return Verdict(None, failure=failure)
    forgiven = forgiven and entry.forgiven < FORGIVEN_MOST
    charged = charges(failure.kind) and not forgiven
    entry.charged += charged
    entry.forgiven += charges(failure.kind) and forgiven
    if failure.kind is not FailureKind.OVERLOADED:
        entry.failed_on |= {attempt.instance}
        entry.failed_at = now
        entry.overloaded_since = None
    elif entry.overloaded_since is None:
        entry.overloaded_since = now
    entry.crashes += failure.crashed
    entry.timed_out += failure.kind is FailureKind.TIMEOUT
    if entry.crashes >= CRASHES_MOST:
        poison = Failure(kind=FailureKind.POISON, detail=failure.detail, status=failure.status, crashed=True)
        return Verdict(poison, charged=charged, failure=failure)
    wait_s = retry(
        failure.kind,
        charged=entry.charged,
        retries=batch.retries,
        elsewhere=elsewhere,
        retry_after_s=failure.retry_after_s,
        overloaded_for_s=0.0 if entry.overloaded_since is None else now - entry.overloaded_since,
        max_wait_s=batch.max_wait_s,
        repeated_before=failure.repeated and entry.repeated,
        random=random,
    )
    entry.repeated = entry.repeated or failure.repeated
    if wait_s is None:
        return Verdict(failure, charged=charged, failure=failure)
    return Verdict(None, wait_s, charged, failure)
