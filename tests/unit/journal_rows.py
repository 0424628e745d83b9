"""Requests, results and journals for the tests of the journal."""

from __future__ import annotations

import hashlib
import threading

from arriero.core.events import AttemptFailed, UpkeepEnded
from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.request import Attempt, Content, Request, Result, Timeouts, Unit
from arriero.journal.journal import Journal

UNIT = Unit("mistral:7b", (("num_ctx", 4096),))
BINDING = {"model": "mistral:7b", "input": "prompts.txt"}


def row_hash(position):
    return hashlib.blake2b(str(position).encode(), digest_size=16).digest()


def request(position, *, round_=0, batch=1):
    return Request(
        batch=batch,
        position=position,
        line=position + 1,
        id=f"row-{position}",
        content=Content(prompt="never stored"),
        unit=UNIT,
        row_hash=row_hash(position),
        round=round_,
    )


def answered(position, text=None, *, round_=0, batch=1):
    outcome = Success(
        text=f"answer {position}" if text is None else text,
        finish_reason="stop",
        usage=Usage(7, 11),
        timing=Timing(1.5, ttft_s=0.25),
        model="mistral:7b",
    )
    asked = request(position, round_=round_, batch=batch)
    return Result(request=asked, outcome=outcome, instance="gpu-01", attempt=position + 100, attempts=1, ended_at=2.5)


def failed(position, kind=FailureKind.TIMEOUT, *, round_=0, detail="the server's words"):
    asked = request(position, round_=round_)
    outcome = Failure(kind=kind, detail=detail, latency_s=3.0)
    return Result(request=asked, outcome=outcome, instance="gpu-02", attempt=position + 100, attempts=3, ended_at=2.5)


def attempt(position, *, number=1, round_=0):
    asked = request(position, round_=round_)
    return Attempt(
        id=900 + 10 * position + number,
        instance="gpu-02",
        unit=UNIT,
        request=asked,
        number=number,
        timeouts=Timeouts(1, 1, 1),
    )


def attempt_failed(position, *, charged=True, number=1, round_=0, kind=FailureKind.TIMEOUT):
    made = attempt(position, number=number, round_=round_)
    return AttemptFailed(attempt=made, kind=kind, detail="foreign", charged=charged, retry_in_s=1.0, at=4.0)


def upkeep(kind=None):
    made = Attempt(id=5, instance="gpu-01", purpose="discover", subject="version", timeouts=Timeouts(1, 1, 1))
    return UpkeepEnded(attempt=made, kind=kind, latency_s=0.5, at=3.0)


def opened(path, *, binding=None, batch=1, settings=b'{"retries":4}'):
    bound = BINDING if binding is None else binding
    return Journal.open(path, batch=batch, binding=bound, command="arriero run prompts.txt", settings=settings)


class Ear:
    """Hears what a journal tells, and lets a test wait for a number of results."""

    def __init__(self, journal):
        self.kept = []
        self.dropped = 0
        self.failure = None
        self._changed = threading.Condition()
        journal.on_commit = self.commit
        journal.on_failure = self.fail

    def commit(self, kept, dropped):
        with self._changed:
            self.kept += [result.request.position for result in kept]
            self.dropped += dropped
            self._changed.notify_all()

    def fail(self, error):
        with self._changed:
            self.failure = error
            self._changed.notify_all()

    def wait(self, results, within_s=20):
        with self._changed:
            heard = self._changed.wait_for(lambda: len(self.kept) >= results or self.failure is not None, within_s)
        assert heard, "the journal told nothing"


def write(path, results, notices=(), **kwargs):
    with opened(path, **kwargs) as journal:
        ear = Ear(journal)
        journal.record(results, list(notices))
    return ear
