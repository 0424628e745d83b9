"""Exchange: one HTTP exchange as a simulated server sees it."""

from __future__ import annotations

from typing import Protocol

from arriero.core.outcome import Failure, FailureKind, Outcome
from arriero.core.request import Attempt, Unit
from arriero.simulator.spec import Truth

STEP = Truth(prompt_tokens=8, output_tokens=1)
"""What a probe costs."""


class Client(Protocol):
    """The engine's side of an exchange."""

    def began(self, exchange: Exchange) -> None:
        """The server sent the first token."""
        ...

    def ended(self, exchange: Exchange, outcome: Outcome) -> None:
        """The server sent its last byte, or closed the connection."""
        ...

    def silent(self, exchange: Exchange, *, silent: bool) -> None:
        """A stream stands still, or goes on."""
        ...


class Exchange:
    """One attempt on its way through a server.

    Attributes:
        attempt: The attempt.
        truth: What it costs.
        arrived_at: When the server got it.
        load_s: Seconds of that wait in which its unit was loaded.
        prefill_s: Seconds its prompt was read; 0 until then.
        first_at: When its first token was sent; None before.
        gone: The client has hung up.
        over: The server has said its last word.
        masked: A gateway stands between: no timings, and every failure is an error inside a 200.
    """

    __slots__ = (
        "_client",
        "arrived_at",
        "attempt",
        "first_at",
        "gone",
        "load_s",
        "masked",
        "over",
        "prefill_s",
        "truth",
    )

    def __init__(self, attempt: Attempt, truth: Truth, client: Client) -> None:
        self.attempt = attempt
        self.truth = truth
        self.arrived_at = 0.0
        self.load_s = 0.0
        self.prefill_s = 0.0
        self.first_at: float | None = None
        self.gone = False
        self.over = False
        self.masked = False
        self._client = client

    @property
    def unit(self) -> Unit:
        """What it needs resident."""
        return self.attempt.unit or Unit("")

    @property
    def output_tokens(self) -> int:
        """Tokens it will get."""
        return max(1, min(self.truth.output_tokens, self.attempt.max_tokens))

    def began(self, now: float) -> None:
        """The first token is sent."""
        self.first_at = now
        if not self.gone:
            self._client.began(self)

    def end(self, outcome: Outcome) -> None:
        """The last word of the server; nothing is heard by a client that has gone."""
        if self.over:
            return
        self.over = True
        if self.masked and isinstance(outcome, Failure) and outcome.kind is not FailureKind.UNSUPPORTED:
            outcome = Failure(kind=FailureKind.BAD_REPLY, detail="error inside a 200", began=outcome.began)
        if not self.gone:
            self._client.ended(self, outcome)

    def silent(self, *, silent: bool) -> None:
        """Its stream stands still, or goes on."""
        if self.first_at is not None and not self.gone and not self.over:
            self._client.silent(self, silent=silent)
