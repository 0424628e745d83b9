"""Crew: threads that do one piece of work each at a time, as many as there is work, and end when there is none."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

IDLE_S = 5.0
"""How long a thread waits for more work."""


class Crew:
    """Threads by need. They hold no process up: work that cannot be interrupted ends with it.

    Args:
        name: Name of the threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)

    def do(self, work: Callable[[], None]) -> None:
        """Have it done by a thread that waits, or by a new one. It must not raise."""
        if self._idle.acquire(blocking=False):
            self._work.put(work)
        else:
            threading.Thread(target=self._labour, args=(work,), name=self._name, daemon=True).start()

    def _labour(self, work: Callable[[], None]) -> None:
        while True:
            work()
            del work  # what it holds must not wait for more to do
            self._idle.release()
            try:
                work = self._work.get(timeout=IDLE_S)
            except queue.Empty:
                if self._idle.acquire(blocking=False):
                    return
                work = self._work.get()  # it was promised to whoever waits
