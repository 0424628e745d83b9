"""Signals: the first asks the batch to drain, a second Ctrl-C aborts what runs, a third leaves at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from arriero.cli.terminal import has_room

INTERRUPTED_EXIT = 130

_WATCHED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_DRAINING = (
    "\ndraining: what runs may end, what waits for a slot is called back\n"
    "           (Ctrl-C again drops what runs; a resume redoes it)\n"
)
_ABORTING = "\naborting: what runs is dropped, and redone on resume (Ctrl-C again: out at once)\n"


class Control(Protocol):
    """What a signal may ask of a batch; both are safe inside a signal handler."""

    def drain(self) -> None:
        """Nothing new starts; what runs may end."""
        ...

    def abort(self) -> None:
        """What runs is cancelled and makes no result."""
        ...


class Signals:
    """Turns signals into requests to a batch while it runs; a context manager for the main thread.

    Only Ctrl-C goes further than draining: a service manager may well send SIGTERM and SIGHUP together, and
    dropping work is for a person to decide.

    Args:
        control: The batch.
        leave: Ends the process at once; ``os._exit``, which runs no clean-up that could hang.
        quiet: Print nothing: ``--display json`` tells the state with the next progress, ``none`` nothing at all.
    """

    def __init__(self, control: Control, leave: Callable[[int], object] = os._exit, *, quiet: bool = False) -> None:
        self._control = control
        self._quiet = quiet
        self._leave = leave
        self._before: dict[signal.Signals, Any] = {}
        self._first: int | None = None
        self._aborted = False

    def __enter__(self) -> Self:
        for number in _WATCHED:
            # A process started with `nohup` ignores SIGHUP, and goes on ignoring it.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._received)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def exit_code(self, code: int) -> int:
        """The exit status, where the batch only knows that it was interrupted (130): 129, 130 or 143 by signal."""
        return 128 + self._first if code == INTERRUPTED_EXIT and self._first is not None else code

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._first is None:
            self._first = number
            self._tell(_DRAINING)
            self._control.drain()
        elif number == signal.SIGINT and not self._aborted:
            self._aborted = True
            self._tell(_ABORTING)
            self._control.abort()
        elif number == signal.SIGINT:
            self._leave(INTERRUPTED_EXIT)

    def _tell(self, text: str) -> None:
        # Past the buffered stream: the handler may have interrupted a write to it, and a second one would raise.
        if not self._quiet and has_room(2, 0.0):  # nobody reads: the signal counts all the same
            try:
                os.write(2, text.encode())
            except OSError:
                return
