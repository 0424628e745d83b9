"""Flight: one attempt on its way, what came back so far and how long it may still take."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol

from arriero.backends.wire import Backend, Broken, HttpCall, HttpReply, UnsupportedError
from arriero.core.outcome import Failure, FailureKind, Outcome
from arriero.core.request import Attempt, Timeouts

BODY_BYTES = 64 * 1024 * 1024
"""No answer is larger; counted while it streams in."""


class Inflow(Protocol):
    """A body that fills by itself, such as ``aiohttp.StreamReader``."""

    total_bytes: int
    """Bytes of body so far, those that were taken out included."""


class Headers(Protocol):
    """Headers of an answer; names in any case."""

    def get(self, name: str, otherwise: str, /) -> str:
        """The value of a header."""
        ...


class Flight:
    """Everything the engine knows of an attempt between its start and its one end.

    Times are engine seconds. A plain class with slots: one is made for every attempt.

    Attributes:
        attempt: What is carried.
        backend: The dialect that writes and judges it.
        broken: Why it will not come to its end; the first reason stays.
        status: HTTP status; 0 before any.
        n_bytes: Bytes of body so far.
    """

    __slots__ = (
        "_first_end",
        "_hang_up",
        "_inflow",
        "_last",
        "_pieces",
        "_timeouts",
        "_total_end",
        "attempt",
        "backend",
        "broken",
        "call",
        "content_type",
        "date",
        "location",
        "n_bytes",
        "retry_after",
        "started",
        "status",
        "ttft_s",
    )

    call: HttpCall

    def __init__(self, attempt: Attempt, backend: Backend, now: float) -> None:
        self.attempt = attempt
        self.backend = backend
        self.started = now
        self.broken: Broken | None = None
        self.status = 0
        self.content_type = ""
        self.retry_after = ""
        self.location = ""
        self.date = ""
        self.ttft_s: float | None = None
        self.n_bytes = 0
        self._pieces: list[bytes] = []
        self._timeouts = Timeouts(inf, inf, inf)
        self._first_end = self._total_end = inf
        self._last: float | None = None
        self._inflow: Inflow | None = None
        self._hang_up: Callable[[], object] | None = None

    def write(self, now: float) -> Failure | None:
        """Write the call, which goes out now: deadlines run from here; or how the attempt ends unsent."""
        try:
            call = self.backend.call(self.attempt)
        except UnsupportedError as error:
            return Failure(kind=FailureKind.UNSUPPORTED, detail=str(error))
        self.begin(call, now)
        return None

    def begin(self, call: HttpCall, now: float) -> None:
        """The call is written and goes out now."""
        self.call = call
        self.wait(call.timeouts, now)

    def wait(self, timeouts: Timeouts, now: float) -> None:
        """Something is awaited from now on: deadlines run from here."""
        self._timeouts = timeouts
        self.started = now
        self._first_end = now + timeouts.first_byte_s
        self._total_end = now + timeouts.total_s

    def given_up(self, now: float) -> Failure:
        """How an attempt ended that nobody can judge: it was stopped before anything came back."""
        broken = self.broken or Broken(FailureKind.CANCELLED, "cancelled")
        return Failure(kind=broken.kind, detail=broken.detail, own=True, latency_s=now - self.started)

    def enter(self, hang_up: Callable[[], object]) -> None:
        """From here on the exchange is under way; ``hang_up`` interrupts it, wherever it is."""
        self._hang_up = hang_up

    def leave(self) -> None:
        """The exchange is over; there is nothing left to interrupt."""
        self._hang_up = None

    def stop(self, kind: FailureKind, detail: str) -> None:
        """Give the attempt up; its end follows. A second reason changes nothing."""
        if self.broken is not None:
            return
        hang_up = self._hang_up
        self.broken = Broken(kind, detail, sent=hang_up is not None)
        if hang_up is not None:
            hang_up()

    def take(self, piece: bytes, now: float) -> None:
        """A piece of the body arrived; one too many gives the attempt up."""
        self._pieces.append(piece)
        self._grown(self.n_bytes + len(piece), now)

    def follow(self, inflow: Inflow) -> None:
        """From here on the body is gathered elsewhere; ``look`` sees how it grows."""
        self._inflow = inflow

    def look(self, now: float) -> None:
        """Note whether the body that is followed has grown since the last look."""
        if self._inflow is not None and self._inflow.total_bytes > self.n_bytes:
            self._grown(self._inflow.total_bytes, now)

    def take_rest(self, rest: bytes, now: float) -> None:
        """All that arrived since ``follow``."""
        self._inflow = None
        if rest:
            self._pieces.append(rest)
            self._last = now

    def _grown(self, n_bytes: int, now: float) -> None:
        self.n_bytes = n_bytes
        self._last = now
        if n_bytes > BODY_BYTES:
            self._pieces.clear()
            self.stop(FailureKind.BAD_REPLY, "larger than 64 MB")

    @property
    def due(self) -> float:
        """When patience ends, as things stand."""
        end = self._first_end if self._last is None else self._last + self._timeouts.idle_s
        return min(end, self._total_end)

    def delay(self, gap_s: float) -> None:
        """The process was away: nobody's silence is counted for that long."""
        self._first_end += gap_s
        self._total_end += gap_s
        if self._last is not None:
            self._last += gap_s

    def expire(self) -> None:
        """Patience ended: give up, saying which bound was met."""
        timeouts = self._timeouts
        if self.due >= self._total_end:
            text = f"not finished after {timeouts.total_s:g} s"
        elif self._last is None:
            text = f"no first byte after {timeouts.first_byte_s:g} s"
        else:
            text = f"silent for {timeouts.idle_s:g} s inside the answer"
        self.stop(FailureKind.TIMEOUT, text)

    def answered(self, status: int, headers: Headers) -> bool:
        """Take in the head of the answer; whether its body is to be read."""
        self.status = status
        self.content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self.retry_after = headers.get("Retry-After", "")
        self.date = headers.get("Date", "")
        if 300 <= status < 400:  # noqa: PLR2004  # a redirect; its body says nothing
            self.location = headers.get("Location", "")
            return False
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            self.broken = Broken(FailureKind.BAD_REPLY, "packed although 'identity' was asked for")
            return False
        return True

    @property
    def told_first(self) -> bool:
        """Whether the first token of this answer is to be told: it comes in pieces, and is no refusal."""
        return self.call.stream and self.status == 200  # noqa: PLR2004

    def outcome(self, now: float) -> Outcome:
        """How it ended, as its dialect judges what came back."""
        return self.backend.outcome(self.attempt, self.reply(now))

    def reply(self, now: float) -> HttpReply:
        """What came back, joined once."""
        pieces = self._pieces
        return HttpReply(
            status=self.status,
            content_type=self.content_type,
            retry_after=self.retry_after,
            location=self.location,
            date=self.date,
            body=pieces[0] if len(pieces) == 1 else b"".join(pieces),
            broken=self.broken,
            latency_s=now - self.started,
            ttft_s=self.ttft_s,
        )


def unknown() -> Failure:
    """The end of an attempt at an instance that nobody knows."""
    return Failure(kind=FailureKind.UNREACHABLE, detail="no instance of this name", own=True)
