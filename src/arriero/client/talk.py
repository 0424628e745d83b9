"""Talk: what the user hears of the fleet while a batch runs, a line each."""

from __future__ import annotations

from collections.abc import Callable

from arriero.client.instances import fault_words
from arriero.core.events import READMITTED, Event, FleetChanged, InstanceChanged, Notice
from arriero.monitor.safe import safe_text
from arriero.monitor.words import short_duration


class Talk:
    """Turns notices into lines; only changes that a person may act on.

    Args:
        say: Prints a line.
        max_wait_s: How long an outage may last.
    """

    def __init__(self, say: Callable[[str], None], max_wait_s: float) -> None:
        self._say = say
        self._max_wait_s = max_wait_s
        self._out: set[str] = set()

    def hear(self, event: Event | Notice, now: float) -> None:
        """Say it if it is worth it."""
        if isinstance(event, InstanceChanged):
            line = self._instance(event)
        elif isinstance(event, FleetChanged):
            line = self._fleet(event)
        else:
            return
        if line:
            self._say(safe_text(line))

    def _instance(self, event: InstanceChanged) -> str:
        if event.state == "ejected" and event.name not in self._out:
            self._out.add(event.name)
            reason = fault_words(event.reason, event.detail)
            return f"{event.name:<10} ejected: {reason}; what it had goes elsewhere, it is probed"
        if event.state == "paused" and event.name not in self._out:
            self._out.add(event.name)
            reason = fault_words(event.reason, event.detail)
            return f"{event.name:<10} paused: {reason}; it is tried again, one request at a time first"
        if event.state != "ok":
            return ""
        if event.reason == READMITTED or (not event.reason and event.name in self._out):
            self._out.discard(event.name)  # it may have been out before anybody listened
            return f"{event.name:<10} back, at one request first"
        if event.reason:
            model = event.unit.model if event.unit else ""
            return f"{event.name:<10} does not serve {model}: {event.reason}"
        return ""

    def _fleet(self, event: FleetChanged) -> str:
        if event.usable:
            return f"{'fleet':<11}usable again: work goes on"
        wait = short_duration(self._max_wait_s)
        return f"{'fleet':<11}no usable instance: probing up to {wait} (--max-wait); Ctrl-C is safe"
