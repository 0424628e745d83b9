"""Talk: what the user hears of the input and the fleet, a line each."""

from __future__ import annotations

from collections.abc import Callable

from arriero.client.batch import BatchFiles
from arriero.client.instances import fault_words
from arriero.core.events import Event, FleetChanged, InstanceChanged, Notice
from arriero.monitor.display import Started
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
        if event.state == "ok" and event.name in self._out:
            self._out.discard(event.name)
            return f"{event.name:<10} back, at one request first"
        if event.state == "ok" and event.reason:
            model = event.unit.model if event.unit else ""
            return f"{event.name:<10} does not serve {model}: {event.reason}"
        return ""

    def _fleet(self, event: FleetChanged) -> str:
        if event.usable:
            return f"{'fleet':<11}usable again: work goes on"
        wait = short_duration(self._max_wait_s)
        return f"{'fleet':<11}no usable instance: waiting and probing, at most {wait} (--max-wait); Ctrl-C is safe"


def started(files: BatchFiles) -> Started:
    """The batch at its start, for a program that reads along."""
    journal = files.journal
    return Started(
        input=safe_text(files.source.name),
        output=safe_text(files.settings.output),
        journal=safe_text(str(journal.path)),
        session=journal.session,
        total=files.scan.total,
        ended_before=len(journal.done),
    )


def input_lines(files: BatchFiles) -> list[str]:
    """What is known of the input at the start: its rows as far as they were scanned, and what ended before."""
    scan, name = files.scan, safe_text(files.source.name)
    count = f"{scan.total:,} rows" if scan.total is not None else f"{scan.scanned:,} rows so far, still scanning"
    ended = len(files.journal.done)
    parts = [name, count]
    if ended:
        parts.append(f"{ended:,} ended before")
    if scan.appended:
        parts.append(f"{scan.appended:,} appended since")
    if scan.bad_rows:
        parts.append(f"{scan.bad_rows:,} bad lines will fail")
    return [f"{'input':<11}" + "   ".join(parts), *(f"{'note':<11}{note}" for note in files.binder.notes)]
