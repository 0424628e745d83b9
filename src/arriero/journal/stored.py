"""What a journal gives back: StoredResult, StoredAttempt, StoredNotice, StoredSession, StoredBatch."""

from __future__ import annotations

from typing import Any, Self

import msgspec

from arriero.core.batch import BatchStatus
from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.request import AttemptId, BatchId, Result, Unit
from arriero.journal.outcome import failure, success, unseal

UNIT = msgspec.json.Decoder(Unit)


class StoredResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a request ended, as the journal keeps it; all that an output needs.

    Attributes:
        batch: The batch.
        position: The row, from 0.
        round: The round it ended in.
        id: The row's own id.
        row_hash: blake2b-128 of the row's bytes; empty in a salvaged one.
        outcome: The answer, or the failure that ended it.
        model: The model asked for; ``outcome.model`` is the one that answered.
        instance: Where the deciding attempt ran; ``""`` if it was never sent.
        attempts: Attempts made in that round.
        attempt: Id of the deciding one; 0 if none.
        session: Name of the process run that recorded it.
        ended_at: Monotonic seconds of that session's engine.
    """

    batch: BatchId
    position: int
    round: int
    id: str
    row_hash: bytes
    outcome: Success | Failure
    model: str
    instance: str
    attempts: int
    attempt: AttemptId
    session: str
    ended_at: float

    @classmethod
    def of(cls, result: Result) -> Self:
        """A result as the journal will give it back, but for the session's name, which is not in it."""
        request = result.request
        return cls(
            batch=request.batch,
            position=request.position,
            round=request.round,
            id=request.id,
            row_hash=request.row_hash,
            outcome=result.outcome,
            model=request.unit.model,
            instance=result.instance,
            attempts=result.attempts,
            attempt=result.attempt,
            session="",
            ended_at=result.ended_at,
        )

    @property
    def succeeded(self) -> bool:
        """Whether there is an answer."""
        return isinstance(self.outcome, Success)

    @property
    def text(self) -> str | None:
        """The answer; None for a failure."""
        return self.outcome.text if isinstance(self.outcome, Success) else None

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended; None for a failure."""
        return self.outcome.finish_reason if isinstance(self.outcome, Success) else None

    @property
    def usage(self) -> Usage | None:
        """Tokens as the server counted them; None for a failure."""
        return self.outcome.usage if isinstance(self.outcome, Success) else None

    @property
    def timing(self) -> Timing | None:
        """Durations of the deciding attempt; None for a failure."""
        return self.outcome.timing if isinstance(self.outcome, Success) else None

    @property
    def thinking(self) -> str | None:
        """What a thinking model thought; None if nothing."""
        return self.outcome.thinking if isinstance(self.outcome, Success) else None

    @property
    def embeddings(self) -> msgspec.Raw | None:
        """Raw JSON list of vectors; None unless asked for."""
        return self.outcome.embeddings if isinstance(self.outcome, Success) else None

    @property
    def logprobs(self) -> msgspec.Raw | None:
        """Raw JSON as the server sent it; None unless asked for."""
        return self.outcome.logprobs if isinstance(self.outcome, Success) else None

    @property
    def kind(self) -> FailureKind | None:
        """Why it failed; None if it succeeded."""
        return self.outcome.kind if isinstance(self.outcome, Failure) else None

    @property
    def detail(self) -> str:
        """The server's words about a failure: foreign text (P12); ``""`` if it succeeded."""
        return self.outcome.detail if isinstance(self.outcome, Failure) else ""

    @property
    def latency_s(self) -> float:
        """Seconds the deciding attempt took."""
        outcome = self.outcome
        return outcome.timing.latency_s if isinstance(outcome, Success) else outcome.latency_s

    @property
    def attempt_name(self) -> str:
        """The deciding attempt as its header named it to the server (P15); ``""`` if it was never sent."""
        return f"{self.session}-{self.attempt}" if self.attempt else ""


class StoredAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that failed or was no request.

    Attributes:
        position: The row; None for an attempt that is no request, as is ``round``.
        unit: The unit; None for ``discover``.
        kind: Why it failed; None if it did not.
        detail: Foreign text (P12).
        charged: It counts towards ``--retries``.
        latency_s: Seconds it took, where known.
        at: Monotonic seconds of that session's engine.
    """

    batch: BatchId
    position: int | None
    round: int | None
    number: int
    session: str
    attempt: AttemptId
    purpose: str
    instance: str
    unit: Unit | None
    kind: FailureKind | None
    detail: str
    charged: bool
    latency_s: float | None
    at: float


class StoredNotice(msgspec.Struct, frozen=True):
    """What observers were told: the class name in ``core.events`` and its fields as JSON."""

    session: str
    at: float
    name: str
    body: msgspec.Raw


class StoredSession(msgspec.Struct, frozen=True):
    """A process that wrote; ``ended_wall_s`` is None if it was killed or still runs."""

    name: str
    batch: BatchId
    pid: int
    host: str
    version: str
    command: str
    settings: bytes
    started_wall_s: float
    started_at: float
    ended_wall_s: float | None


class StoredBatch(msgspec.Struct, frozen=True, array_like=True):
    """A batch's own row: status word, current round, size, counters."""

    batch: BatchId
    status: BatchStatus
    round: int
    total: int | None
    input_bytes: int | None
    succeeded: int
    failed: int


def result(row: tuple[Any, ...]) -> StoredResult:
    """A row of the statements ``results``, ``failures`` and ``history``.

    Raises:
        ValueError: If it is not what was written.
    """
    *place, kind, row_hash, id_, session_key, session, instance, model, attempts, attempt, ended_at, sealed = row
    data = unseal((*place, id_, session_key, instance, model, attempts, attempt, ended_at), sealed)
    batch, position, round_ = place
    outcome = success(data) if kind is None else failure(data)
    if session is None or (isinstance(outcome, Failure) and outcome.kind != kind):
        raise ValueError("a row is not what was written")
    return StoredResult(
        batch=batch,
        position=position,
        round=round_,
        id=id_,
        row_hash=row_hash,
        outcome=outcome,
        model=model,
        instance=instance,
        attempts=attempts,
        attempt=attempt,
        session=session,
        ended_at=ended_at,
    )


def attempt(row: tuple[Any, ...]) -> StoredAttempt:
    """A row of the statement ``attempts``.

    Raises:
        ValueError: If a kind is not in the list, or the unit is not what was written.
    """
    _, batch, position, round_, number, session, id_, purpose, instance, unit, kind, detail, charged, latency_s, at = (
        row
    )
    return StoredAttempt(
        batch=batch,
        position=position,
        round=round_,
        number=number,
        session=session,
        attempt=id_,
        purpose=purpose,
        instance=instance,
        unit=None if unit is None else UNIT.decode(unit),
        kind=None if kind is None else FailureKind(kind),
        detail=detail,
        charged=bool(charged),
        latency_s=latency_s,
        at=at,
    )


def batch(row: tuple[Any, ...]) -> StoredBatch:
    """A row of the statement ``batch``.

    Raises:
        ValueError: If the status is not a word of ours, or a number is none.
    """
    key, status, *rest = row
    return msgspec.convert((key, BatchStatus(status), *rest), StoredBatch)
