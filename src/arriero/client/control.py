"""Control: how a surface asks a running batch to drain or to abort; safe from signal handlers and threads."""

from __future__ import annotations

from collections.abc import Callable

from arriero.core.events import Aborted, Drained, Event


class Control:
    """Requests to a batch; what is asked before it runs reaches it when it does.

    Attributes:
        interrupted: Something was asked, so the batch ends before its time.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._asked: list[Event] = []
        self._post: Callable[[Event], None] = self._asked.append

    def drain(self) -> None:
        """Nothing new starts; what runs may end."""
        self.interrupted = True
        self._post(Drained())

    def abort(self) -> None:
        """What runs is dropped, and redone on resume."""
        self.interrupted = True
        self._post(Aborted())

    def connect(self, post: Callable[[Event], None]) -> None:
        """A batch runs from now on: ``post`` hands events to its loop."""
        self._post = post
        for event in self._asked:
            post(event)
