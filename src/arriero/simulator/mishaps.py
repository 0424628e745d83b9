"""Mishaps: what each kind of world adds to a quiet one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from random import Random

from msgspec import structs

from arriero.core.events import (
    Aborted,
    BatchCancelled,
    Drained,
    Event,
    InstanceJoined,
    InstanceLeft,
    LimitSet,
    Paused,
    Unpaused,
)
from arriero.core.instance import Instance, InstanceLimit
from arriero.core.request import GENERATE
from arriero.simulator.engine import Chaos
from arriero.simulator.fault import FAULT_KINDS, Fault, FaultKind
from arriero.simulator.spec import ServerSpec
from arriero.simulator.workload import chance
from arriero.simulator.world import World

OTHERS = (
    "gap",
    "our crash",
    "chaos",
    "late",
    "missing",
    "lone model",
    "leave and join",
    "drain",
    "abort",
    "cancel",
    "pause",
    "limit",
    "slow disk",
    "gateway",
    "openai",
    "two models",
    "classes",
    "odd rows",
    "stubborn rows",
    "flawed rows",
    "own timeouts",
    "errors everywhere",
    "unloadable",
)
"""Kinds of world beside those of the faults; ``seed`` goes through all of them in turn."""

KINDS = (*FAULT_KINDS, *OTHERS)

EARLY: tuple[FaultKind, ...] = ("garbage", "down", "hang")
"""What may be wrong behind a gateway when it is first asked."""


def _change(made: World, index: int, **fields: object) -> World:
    """The same world with one server changed."""
    servers = list(made.servers)
    servers[index] = structs.replace(servers[index], **fields)
    return structs.replace(made, servers=tuple(servers))


def mishap(kind: str) -> Callable[[World, Random], World]:
    """What a kind of world adds to a quiet one; those that only draw other rows and servers add nothing."""
    found = next((known for known in FAULT_KINDS if known == kind), None)
    return MISHAPS.get(kind, lambda made, _: made) if found is None else _strikes(found)


def _strikes(found: FaultKind) -> Callable[[World, Random], World]:
    """Let a kind of fault strike servers, half of them twice; the last one only for a time."""

    def add(made: World, random: Random) -> World:
        victims = [one for server in made.servers for one in server.hidden or (server,)]
        if chance(random, 0.5):
            victims.pop()
        faults = [
            _fault(found, victim, at, random, ends=victim is made.servers[-1] or len(made.servers) == 1)
            for victim in victims
            for at in _times(random)
            if chance(random, 0.8)
        ]
        return structs.replace(made, faults=(*made.faults, *faults))

    return add


def _times(random: Random) -> Iterator[float]:
    yield random.uniform(0.0, 15.0)
    if chance(random, 0.5):
        yield random.uniform(40.0, 60.0)


def _fault(kind: FaultKind, victim: ServerSpec, at: float, random: Random, *, ends: bool) -> Fault:
    value = {
        "straggler": random.choice((0.125, 0.5)),
        "errors": random.uniform(0.1, 0.6),
        "storm with retry-after": random.choice((1.0, 7.0)),
        "foreign": float(random.randint(1, victim.slots)),
        "load fails": float(random.randint(1, 3)),
    }.get(kind, 0.0)
    lasting = kind not in ("crash", "evict", "load fails", "model removed")
    lasts_s = random.choice((2.0, 10.0, 25.0, 400.0)) if lasting else 0.0
    if not ends and kind in ("garbage", "locked", "down") and chance(random, 0.2):
        lasts_s = inf
    return Fault(kind=kind, server=victim.name, at=at, lasts_s=lasts_s, value=value)


def _scripted(*events: tuple[float, Event]) -> Callable[[World, Random], World]:
    """Tell events at about these times."""

    def add(made: World, random: Random) -> World:
        told = tuple((at * random.uniform(0.5, 1.5), event) for at, event in events)
        return structs.replace(made, script=(*made.script, *told))

    return add


def _paused(made: World, random: Random) -> World:
    at = random.uniform(1.0, 20.0)
    return structs.replace(made, script=(*made.script, (at, Paused()), (at + random.uniform(1.0, 30.0), Unpaused())))


def _moved(made: World, random: Random) -> World:
    """One instance leaves, perhaps for a while; another one joins late."""
    gone, late = made.instances[0], made.instances[-1]
    at = random.uniform(2.0, 15.0)
    script: list[tuple[float, Event]] = [
        (at, InstanceLeft(gone.name)),
        (random.uniform(1.0, 20.0), InstanceJoined(late)),
    ]
    if chance(random, 0.6):
        script.append((at + random.uniform(0.5, 10.0), InstanceJoined(gone)))
    if chance(random, 0.3):  # told again, perhaps under another description; and something that nobody knows leaves
        script += [(random.uniform(5.0, 25.0), InstanceJoined(late)), (at, InstanceLeft("nobody"))]
    return structs.replace(made, instances=made.instances[:-1], script=(*made.script, *script))


def _behind_gateway(made: World, random: Random) -> World:
    """The first servers stand behind one address; the last one stays as it is, or is behind it too."""
    hidden = made.servers[:-1] if chance(random, 0.5) else made.servers
    rest = made.servers[len(hidden) :]
    gateway = ServerSpec(name="gateway", hidden=hidden, generate_only=chance(random, 0.4))
    limit = InstanceLimit(1, 1, 1) if chance(random, 0.4) else None
    endpoint = GENERATE if chance(random, 0.2) else ""
    instance = Instance(name="gateway", url="http://gateway:8000", limit=limit, endpoint=endpoint)
    if chance(random, 0.3):  # it serves nothing at first, on no path
        kind = random.choice(EARLY)
        early = [Fault(kind=kind, server=one.name, at=0.0, lasts_s=random.uniform(2.0, 15.0)) for one in hidden]
        made = structs.replace(made, faults=(*made.faults, *early))
    kept = tuple(one for one in made.instances if one.name in {server.name for server in rest})
    return structs.replace(made, servers=(gateway, *rest), instances=(instance, *kept))


def _openai(made: World, random: Random) -> World:
    """The first server speaks the other dialect; at times its answers come at once."""
    token_s = 0.0004 if chance(random, 0.3) else made.servers[0].token_s
    return _change(made, 0, dialect="openai", timings=False, token_s=token_s)


def _unloadable(made: World, random: Random) -> World:
    """The first servers cannot load what they list; at times none can."""
    sound = 0 if chance(random, 0.5) else 1
    servers = [structs.replace(server, unloadable=True) for server in made.servers[: len(made.servers) - sound]]
    return structs.replace(made, servers=(*servers, *made.servers[len(servers) :]))


def _cancelled(made: World, random: Random) -> World:
    """A batch is cancelled while some of its requests wait for their retry."""
    at = random.uniform(4.0, 15.0)
    servers = [server for server in made.servers if not server.hidden]
    errors = [Fault(kind="errors", server=server.name, at=at - 3.0, lasts_s=6.0, value=0.5) for server in servers]
    if chance(random, 0.5):  # what was called back ends by itself all the same, and not well
        errors += [Fault(kind="crash", server=server.name, at=at + 0.2) for server in servers]
        made = structs.replace(made, chaos=structs.replace(made.chaos, race_share=0.7))
    return structs.replace(made, faults=(*made.faults, *errors), script=(*made.script, (at, BatchCancelled(1))))


def _away(made: World, random: Random) -> World:
    """We are suspended, at times while every server says that it has no room, or is down."""
    at, gap_s = random.uniform(2.0, 15.0), random.choice((60.0, 900.0))
    hosts = [one for server in made.servers for one in server.hidden or (server,)]
    meanwhile = random.choice(("storm", "storm", "outage", "down", "crash", ""))
    faults: list[Fault] = []
    if meanwhile in ("storm", "outage"):
        kind: FaultKind = "storm" if meanwhile == "storm" else "down"
        begun = max(0.0, at - 5.0)
        faults = [Fault(kind=kind, server=host.name, at=begun, lasts_s=gap_s + 15.0) for host in hosts]
    elif meanwhile == "crash":
        faults = [Fault(kind="crash", server=host.name, at=at - 0.2) for host in hosts]
    elif meanwhile == "down":
        faults = [Fault(kind="down", server=host.name, at=at + random.uniform(0.5, 5.0), lasts_s=2.0) for host in hosts]
    return structs.replace(made, gaps=((at, gap_s),), faults=(*made.faults, *faults))


def _errors_everywhere(made: World, random: Random) -> World:
    """Every server answers every generation with an error, for a while."""
    at, lasts_s = random.uniform(1.0, 12.0), random.choice((2.0, 10.0, 60.0, 400.0))
    hosts = [one for server in made.servers for one in server.hidden or (server,)]
    errors = [Fault(kind="errors", server=host.name, at=at, lasts_s=lasts_s, value=1.0) for host in hosts]
    return structs.replace(made, faults=(*made.faults, *errors))


def _limited(made: World, random: Random) -> World:
    """Limits are set for an instance, for one that nobody knows, and at times for the whole fleet."""
    name = made.instances[0].name
    told: list[tuple[float, Event]] = [
        (random.uniform(3.0, 9.0), LimitSet(InstanceLimit(1, 1, 1), name)),
        (random.uniform(6.0, 18.0), LimitSet(InstanceLimit(2, 4, 16), name)),
        (random.uniform(1.0, 9.0), LimitSet(InstanceLimit(1, 1, 1), "nobody")),
    ]
    if chance(random, 0.5):
        told.append((random.uniform(1.0, 12.0), LimitSet(InstanceLimit(1, 3, 5))))
    return structs.replace(made, script=(*made.script, *told))


def _lone_model(made: World, random: Random) -> World:
    """Only one instance has the second model, and it goes down for long."""
    lone, *others = made.servers
    servers = (lone, *(structs.replace(other, models=lone.models[:1]) for other in others))
    down = Fault(kind="down", server=lone.name, at=random.uniform(2.0, 15.0), lasts_s=random.choice((5.0, 400.0)))
    return structs.replace(made, servers=servers, faults=(*made.faults, down))


MISHAPS: dict[str, Callable[[World, Random], World]] = {
    "gap": _away,
    "our crash": lambda made, random: structs.replace(
        made, crashes=tuple(sorted(random.uniform(0.5, 40.0) for _ in range(random.randint(1, 3))))
    ),
    "chaos": lambda made, _: structs.replace(made, chaos=Chaos(race_share=0.5, twice_share=0.2)),
    "late": lambda made, _: structs.replace(made, chaos=structs.replace(made.chaos, late=True)),
    "missing": lambda made, _: _change(made, 0, models=("phi3:mini",)),
    "leave and join": _moved,
    "drain": _scripted((12.0, Drained())),
    "abort": _scripted((12.0, Drained()), (16.0, Aborted())),
    "cancel": _cancelled,
    "pause": _paused,
    "limit": _limited,
    "errors everywhere": _errors_everywhere,
    "slow disk": lambda made, _: structs.replace(made, commit_s=4.0, sink_most=5),
    "gateway": _behind_gateway,
    "lone model": _lone_model,
    "openai": _openai,
    "unloadable": _unloadable,
}
