"""Advice: what the end of a batch says about the slots of the fleet and whether ``-c`` fitted them."""

from __future__ import annotations

from arriero.core.instance import Concurrency
from arriero.monitor.snapshot import InstanceSnapshot, Snapshot

SHOWN = 8
"""Instances whose slots are told one by one."""

TURNS = 2
"""A batch of fewer requests than ``-c`` this often was too short to say that it was too low."""


def slots_advice(snapshot: Snapshot, concurrency: Concurrency) -> str:
    """What is known of the slots, beside what ``-c`` allowed; empty if nothing is known for sure, or if it fitted.

    A number is told as it stands only where it was tested on each usable instance: more was there than its slots, and
    no more of it ran. Otherwise what ran at once is a least.

    Args:
        snapshot: The last one.
        concurrency: ``-c``.
    """
    usable = [instance for instance in snapshot.instances if instance.state == "ok"]
    slots = sum(instance.slots or 0 for instance in usable if instance.succeeded)
    total = _total(concurrency, len(usable))
    sent = snapshot.counts.finished - snapshot.restored
    if not slots:
        return ""
    if not all(instance.succeeded and instance.slots and instance.slots_tested for instance in usable):
        return _at_least(slots, concurrency, total, sent)
    if total is not None and slots > total:
        return f"{slots:,} can run at once, {_flag(concurrency)} leaves {slots - total:,} idle"
    if concurrency.learned:
        return f"{slots:,} can run at once{_each(usable)}, learned"
    if total is None or total == slots or sent < total:
        return ""  # it fitted, or so many were never there
    return f"{slots:,} can run at once, {_flag(concurrency)} parks {total - slots:,}"


def _at_least(slots: int, concurrency: Concurrency, total: int | None, sent: int) -> str:
    """The same where more might run than was tried: only worth a word if ``-c`` was the bound."""
    if total is None or slots < total or sent < TURNS * total:
        return ""
    if slots == total:
        return f"at least {slots:,} can run at once, all that {_flag(concurrency)} allows: more may fit"
    return f"at least {slots:,} can run at once, {_flag(concurrency)} leaves {slots - total:,} or more idle"


def _total(concurrency: Concurrency, usable: int) -> int | None:
    """Requests that ``-c`` lets run at once; None for no bound."""
    return concurrency.total if concurrency.per_instance is None else concurrency.per_instance * usable


def _flag(concurrency: Concurrency) -> str:
    if concurrency.per_instance is not None:
        return f"-c {concurrency.per_instance}x"
    return f"-c auto:{concurrency.total}" if concurrency.learned else f"-c {concurrency.total}"


def _each(usable: list[InstanceSnapshot]) -> str:
    if not 1 < len(usable) <= SHOWN:
        return ""
    return f" ({' + '.join(str(instance.slots) for instance in usable)})"
