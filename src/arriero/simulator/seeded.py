"""Seeded: a small world of every kind from one number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from random import Random

from msgspec import structs

from arriero.core.batch import Batch
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
from arriero.core.instance import Concurrency, Instance, InstanceLimit
from arriero.core.policies.pick import FirstCome, LongestFirst
from arriero.core.policies.predict import Lengths
from arriero.core.queue import Rank
from arriero.core.request import Unit
from arriero.simulator.engine import Chaos
from arriero.simulator.fault import FAULT_KINDS, Fault, FaultKind
from arriero.simulator.spec import ServerSpec, Truths
from arriero.simulator.workload import Workload, requests
from arriero.simulator.world import AUTO, Rows, World

MODELS = ("mistral:7b", "llama3:8b")

OTHERS = (
    "gap",
    "our crash",
    "chaos",
    "late",
    "missing",
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
)
"""Kinds of world beside those of the faults; ``seed`` goes through all of them in turn."""

KINDS = (*FAULT_KINDS, *OTHERS)


def world(seed: int) -> World:
    """The world of a seed: one kind for sure, and up to two more by chance.

    One server at least stays well for good, so that every request can end (P6).
    """
    random = Random(f"world {seed}")
    kinds = {KINDS[seed % len(KINDS)], *random.sample(KINDS, random.choice((0, 0, 1, 2)))}
    made = _quiet(seed, random, kinds)
    # In the order of KINDS: an order of strings in a set differs from process to process.
    for kind in KINDS:
        if kind in kinds:
            made = _WITH.get(kind, _with_fault(kind))(made, random)
    return made


def _quiet(seed: int, random: Random, kinds: set[str]) -> World:
    """Servers and rows, with nothing wrong yet."""
    servers = tuple(_server(f"s{number}", random) for number in range(random.randint(2, 4)))
    units = tuple(Unit(model) for model in (MODELS if "two models" in kinds else MODELS[:1]))
    if "two models" in kinds:
        servers = tuple(structs.replace(server, models=MODELS) for server in servers)
    batches: list[Rows] = []
    truths: Truths = {}
    for number in range(1, 1 + random.choice((1, 1, 2))):
        rows, costs = requests(_workload(random, kinds, units), number, random, priorities=_classes(kinds))
        batch = Batch(
            id=number,
            weight=random.choice((1.0, 3.0)),
            priority=random.choice((0, 1)) if "classes" in kinds else 0,
            window_requests=random.choice((8, 32, 4096)),
            window_bytes=random.choice((4_000, 16 * 1024 * 1024)),
            retries=random.choice((0, 2, 4)),
            max_wait_s=random.choice((30.0, 3600.0)),
        )
        opens_at = 0.0 if number == 1 else random.uniform(0.0, 20.0)
        batches.append(Rows(batch=batch, rows=tuple(rows), opens_at=opens_at, scan_s=random.choice((0.0, 0.0, 8.0))))
        truths |= costs
    return World(
        seed=seed,
        servers=servers,
        instances=tuple(_instance(server, random) for server in servers),
        batches=tuple(batches),
        truths=truths,
        concurrency=random.choice(
            (
                AUTO,
                AUTO,
                Concurrency(total=6),
                Concurrency(per_instance=3, learned=False),
                Concurrency(12, learned=False),
            )
        ),
        rank=random.choice((LongestFirst, _first_come)),
        retry=random.random() < 0.3,
    )


def _first_come(lengths: Lengths) -> Rank:  # noqa: ARG001 - the interface of every rank
    return FirstCome()


def _classes(kinds: set[str]) -> tuple[int, ...]:
    return (0, 0, 1) if "classes" in kinds else (0,)


def _workload(random: Random, kinds: set[str], units: tuple[Unit, ...]) -> Workload:
    odd = "odd rows" in kinds
    return Workload(
        rows=random.choice((random.randint(1, 12), random.randint(20, 70), random.randint(60, 160))),
        units=units,
        families=random.choice((1, 3)),
        capped=random.random() < 0.5,
        poison=int(odd and random.random() < 0.7),
        too_long=int(odd),
        bad=int(odd),
        lying=2 * odd,
    )


def _server(name: str, random: Random) -> ServerSpec:
    return ServerSpec(
        name=name,
        slots=random.choice((1, 2, 4, 8)),
        token_s=random.uniform(0.01, 0.06),
        prefill_tokens_per_s=random.choice((200.0, 2000.0)),
        load_s=random.choice((0.5, 3.0, 20.0)),
        context_tokens=random.choice((2048, 4096)),
        old=random.random() < 0.4,
        rtt_s=random.choice((0.001, 0.02, 0.1)),
    )


def _instance(server: ServerSpec, random: Random) -> Instance:
    limit = random.choice((None, None, None, InstanceLimit(2, 2, 2), InstanceLimit(1, 2, 6)))
    stream = server.dialect != "ollama" or random.random() < 0.8
    return Instance(name=server.name, url=f"http://{server.name}:11434", limit=limit, stream=stream)


def _change(made: World, index: int, **fields: object) -> World:
    """The same world with one server changed."""
    servers = list(made.servers)
    servers[index] = structs.replace(servers[index], **fields)
    return structs.replace(made, servers=tuple(servers))


def _with_fault(kind: str) -> Callable[[World, Random], World]:
    """Let a kind of fault strike servers, half of them twice; the last one only for a time."""

    def add(made: World, random: Random) -> World:
        found = next(known for known in FAULT_KINDS if known == kind)
        victims = [one for server in made.servers for one in server.hidden or (server,)]
        if random.random() < 0.5:
            victims.pop()
        faults = [
            _fault(found, victim, at, random, ends=victim is made.servers[-1] or len(made.servers) == 1)
            for victim in victims
            for at in _times(random)
            if random.random() < 0.8
        ]
        return structs.replace(made, faults=(*made.faults, *faults))

    return add


def _times(random: Random) -> Iterator[float]:
    yield random.uniform(0.0, 15.0)
    if random.random() < 0.5:
        yield random.uniform(40.0, 60.0)


def _fault(kind: FaultKind, victim: ServerSpec, at: float, random: Random, *, ends: bool) -> Fault:
    value = {
        "straggler": 0.15,
        "errors": random.uniform(0.1, 0.6),
        "storm with retry-after": random.choice((1.0, 7.0)),
        "foreign": float(random.randint(1, victim.slots)),
        "load fails": float(random.randint(1, 3)),
    }.get(kind, 0.0)
    lasting = kind not in ("crash", "evict", "load fails")
    lasts_s = random.choice((2.0, 10.0, 25.0, 400.0)) if lasting else 0.0
    if not ends and kind in ("garbage", "locked", "down") and random.random() < 0.2:
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
    if random.random() < 0.6:
        script.append((at + random.uniform(0.5, 10.0), InstanceJoined(gone)))
    return structs.replace(made, instances=made.instances[:-1], script=(*made.script, *script))


def _behind_gateway(made: World, random: Random) -> World:
    """The first servers stand behind one address; the last one stays as it is, or is behind it too."""
    hidden = made.servers[:-1] if random.random() < 0.5 else made.servers
    rest = made.servers[len(hidden) :]
    gateway = ServerSpec(name="gateway", hidden=hidden, generate_only=random.random() < 0.4)
    instance = Instance(name="gateway", url="http://gateway:8000")
    kept = tuple(one for one in made.instances if one.name in {server.name for server in rest})
    return structs.replace(made, servers=(gateway, *rest), instances=(instance, *kept))


_WITH: dict[str, Callable[[World, Random], World]] = {
    "gap": lambda made, random: structs.replace(
        made, gaps=((random.uniform(2.0, 15.0), random.choice((20.0, 900.0))),)
    ),
    "our crash": lambda made, random: structs.replace(
        made, crashes=tuple(sorted(random.uniform(0.5, 40.0) for _ in range(random.randint(1, 3))))
    ),
    "chaos": lambda made, random: structs.replace(made, chaos=Chaos(race_share=0.5, twice_share=0.2)),
    "late": lambda made, random: structs.replace(made, chaos=structs.replace(made.chaos, late=True)),
    "missing": lambda made, random: _change(made, 0, models=("phi3:mini",)),
    "leave and join": _moved,
    "drain": _scripted((12.0, Drained())),
    "abort": _scripted((12.0, Drained()), (16.0, Aborted())),
    "cancel": _scripted((12.0, BatchCancelled(1))),
    "pause": _paused,
    "limit": _scripted((6.0, LimitSet(InstanceLimit(1, 1, 1), "s0")), (12.0, LimitSet(InstanceLimit(2, 4, 16), "s0"))),
    "slow disk": lambda made, random: structs.replace(made, commit_s=4.0, sink_most=5),
    "gateway": _behind_gateway,
    "openai": lambda made, random: _change(made, 0, dialect="openai", timings=False),
    "two models": lambda made, random: made,
    "classes": lambda made, random: made,
    "odd rows": lambda made, random: made,
}
