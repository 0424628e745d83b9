"""Broken: what is raised when a promise was not kept, and several watches as one."""

from __future__ import annotations

from collections.abc import Sequence

from arriero.core.events import Event, Notice
from arriero.core.request import Attempt, AttemptId, Result
from arriero.simulator.session import End, Session, Watch

CLOSE_S = 1e-6
"""Sums of floats may be off by this much."""


class BrokenError(AssertionError):
    """A promise was broken."""


def check(promise: bool, words: str) -> None:
    """Raise if it does not hold.

    Raises:
        BrokenError: It does not.
    """
    if not promise:
        raise BrokenError(words)


class Watches(Watch):
    """Everything is shown to each of several watches, in order."""

    def __init__(self, *watches: Watch) -> None:
        self._watches = watches

    def opened(self, session: Session) -> None:
        for watch in self._watches:
            watch.opened(session)

    def starts(self, session: Session, attempt: Attempt) -> None:
        for watch in self._watches:
            watch.starts(session, attempt)

    def cancels(self, session: Session, attempt: AttemptId) -> None:
        for watch in self._watches:
            watch.cancels(session, attempt)

    def happened(self, session: Session, event: Event | Notice) -> None:
        for watch in self._watches:
            watch.happened(session, event)

    def results(self, session: Session, results: Sequence[Result]) -> None:
        for watch in self._watches:
            watch.results(session, results)

    def turned(self, session: Session) -> None:
        for watch in self._watches:
            watch.turned(session)

    def closed(self, session: Session, end: End) -> None:
        for watch in self._watches:
            watch.closed(session, end)
