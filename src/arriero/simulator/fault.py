"""Fault: something that goes wrong in a world at a time, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import msgspec

from arriero.simulator.server import Server
from arriero.simulator.timeline import Timeline

FaultKind: TypeAlias = Literal[
    "crash",
    "down",
    "hang",
    "straggler",
    "garbage",
    "errors",
    "storm",
    "storm with retry-after",
    "foreign",
    "evict",
    "load fails",
    "locked",
    "upgrade",
    "odd figures",
    "model removed",
]

FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of one server.

    Attributes:
        kind: What.
        server: Whose.
        at: When it begins, in virtual seconds.
        lasts_s: For how long; kinds that are over at once leave it out; ``inf`` for ever.
        value: Share of errors, share of speed, slots taken, loads that fail, seconds asked for.
    """

    kind: FaultKind
    server: str
    at: float
    lasts_s: float = 0.0
    value: float = 0.0


def strike(fault: Fault, server: Server, timeline: Timeline) -> None:
    """Let a fault happen, and end, in its time."""
    timeline.at(fault.at, lambda: _begin(fault, server))
    if fault.lasts_s and fault.at + fault.lasts_s < float("inf"):
        timeline.at(fault.at + fault.lasts_s, lambda: _end(fault, server))


def _begin(fault: Fault, server: Server) -> None:
    server.struck[fault.kind] += fault.kind == "straggler" and server.holds > 0
    _BEGIN[fault.kind](server, fault.value)


def _end(fault: Fault, server: Server) -> None:
    end = _END.get(fault.kind)
    if end is not None:
        end(server)


def _storm(server: Server, retry_after_s: float) -> None:
    server.troubles.storm = True
    server.troubles.retry_after_s = retry_after_s or None


def _calm(server: Server) -> None:
    server.troubles.storm = False


def _garbage(server: Server, value: float) -> None:
    server.troubles.garbage = not value


def _errors(server: Server, share: float) -> None:
    server.troubles.error_share = share


def _fail_loads(server: Server, loads: float) -> None:
    server.troubles.failing_loads = round(loads)
    server.crash()


def _lock(server: Server, value: float) -> None:
    server.troubles.locked = not value


def _confuse(server: Server, value: float) -> None:
    server.troubles.confused = not value


_BEGIN: dict[FaultKind, Callable[[Server, float], None]] = {
    "crash": lambda server, _: server.crash(),
    "down": lambda server, _: server.go_down(),
    "hang": lambda server, _: server.stop(),
    "straggler": lambda server, share: server.go_on(share),
    "garbage": _garbage,
    "errors": _errors,
    "storm": _storm,
    "storm with retry-after": _storm,
    "foreign": lambda server, slots: server.crowd(round(slots)),
    "evict": lambda server, _: server.evict(),
    "load fails": _fail_loads,
    "locked": _lock,
    "upgrade": lambda server, _: server.go_down(),
    "odd figures": _confuse,
    "model removed": lambda server, _: server.remove_models(),
}

_END: dict[FaultKind, Callable[[Server], None]] = {
    "down": lambda server: server.come_up(),
    "hang": lambda server: server.go_on(),
    "straggler": lambda server: server.go_on(),
    "garbage": lambda server: _garbage(server, 1.0),
    "errors": lambda server: _errors(server, 0.0),
    "storm": _calm,
    "storm with retry-after": _calm,
    "foreign": lambda server: server.crowd(0),
    "locked": lambda server: _lock(server, 1.0),
    "upgrade": lambda server: server.upgrade(),
    "odd figures": lambda server: _confuse(server, 1.0),
}
