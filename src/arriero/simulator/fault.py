"""Fault: something that goes wrong in a world at a time, and for how long."""

from __future__ import annotations

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
    troubles = server.troubles
    match fault.kind:
        case "crash":
            server.crash()
        case "down":
            server.go_down()
        case "hang":
            server.stop()
        case "straggler":
            server.struck["straggler"] += server.holds > 0
            server.go_on(fault.value)
        case "garbage":
            troubles.garbage = True
        case "errors":
            troubles.error_share = fault.value
        case "storm" | "storm with retry-after":
            troubles.storm = True
            troubles.retry_after_s = fault.value or None
        case "foreign":
            server.crowd(round(fault.value))
        case "evict":
            server.evict()
        case "load fails":
            troubles.failing_loads = round(fault.value)
            server.crash()
        case "locked":
            troubles.locked = True


def _end(fault: Fault, server: Server) -> None:
    troubles = server.troubles
    match fault.kind:
        case "down":
            server.come_up()
        case "hang" | "straggler":
            server.go_on()
        case "garbage":
            troubles.garbage = False
        case "errors":
            troubles.error_share = 0.0
        case "storm" | "storm with retry-after":
            troubles.storm = False
        case "foreign":
            server.crowd(0)
        case "locked":
            troubles.locked = False
        case _:
            pass
