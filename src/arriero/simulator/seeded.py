"""Seeded: a small world of every kind from one number."""

from __future__ import annotations

from random import Random

from msgspec import structs

from arriero.core.batch import Batch
from arriero.core.instance import Concurrency, Instance, InstanceLimit
from arriero.core.policies.pick import FirstCome, LongestFirst
from arriero.core.policies.predict import Lengths
from arriero.core.policies.timeout import TimeoutPolicy
from arriero.core.queue import Rank
from arriero.core.remembered import Served, Sizes
from arriero.core.request import Unit
from arriero.simulator.mishaps import KINDS, mishap
from arriero.simulator.spec import ServerSpec, Truths
from arriero.simulator.workload import Workload, chance, requests
from arriero.simulator.world import AUTO, PREDICTED, Rows, World

MODELS = ("mistral:7b", "llama3:8b")


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
            made = mishap(kind)(made, random)
    return made


def _quiet(seed: int, random: Random, kinds: set[str]) -> World:
    """Servers and rows, with nothing wrong yet."""
    servers = tuple(_server(f"s{number}", random) for number in range(random.randint(2, 4)))
    units = _units(random, kinds)
    if len({unit.model for unit in units}) > 1:
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
        retry=chance(random, 0.3),
        timeout=_timeout(random) if "own timeouts" in kinds else PREDICTED,
        closes=chance(random, 0.5),
        learns=chance(random, 0.5),
        sizes=_sizes(Random(f"sizes {seed}"), units),
        remembered=_memory(Random(f"memory {seed}"), servers),
    )


def _units(random: Random, kinds: set[str]) -> tuple[Unit, ...]:
    """What rows name: one model, two, or one with two contexts."""
    if "lone model" in kinds or ("two models" in kinds and chance(random, 0.7)) or _both(random, kinds):
        return tuple(Unit(model) for model in MODELS)
    if "two models" in kinds:
        return Unit(MODELS[0]), Unit(MODELS[0], (("num_ctx", 1024),))
    return (Unit(MODELS[0]),)


def _both(random: Random, kinds: set[str]) -> bool:
    """Whether a gateway is asked for two models."""
    return "gateway" in kinds and chance(random, 0.5)


def _timeout(random: Random) -> TimeoutPolicy:
    """What a user may have set; some of it is too little for some rows."""
    return random.choice((PREDICTED, TimeoutPolicy("fixed", 30.0), TimeoutPolicy("length", 10.0, 0.02)))


def _memory(random: Random, servers: tuple[ServerSpec, ...]) -> dict[str, tuple[Served, ...]]:
    """In a third of the worlds an earlier batch left figures, most of them wrong by now."""
    if not chance(random, 0.33):
        return {}
    return {
        server.name: tuple(
            Served(
                unit=Unit(model),
                digest=f"sha256:{model}",
                slots=random.choice((1, 2, 4, 30)),
                token_s=random.choice((0.0, 0.001, 0.03, 2.0)),
                load_s=random.choice((0.0, 1.0, 60.0)),
            )
            for model in server.models
        )
        for server in servers
    }


def _sizes(random: Random, units: tuple[Unit, ...]) -> tuple[Sizes, ...]:
    """In some worlds an earlier batch heard no count of a prompt."""
    return tuple(Sizes(unit=unit) for unit in units) if chance(random, 0.2) else ()


def _first_come(lengths: Lengths) -> Rank:  # noqa: ARG001 - the interface of every rank
    return FirstCome()


def _classes(kinds: set[str]) -> tuple[int, ...]:
    return (0, 0, 1) if "classes" in kinds else (0,)


def _workload(random: Random, kinds: set[str], units: tuple[Unit, ...]) -> Workload:
    odd = "odd rows" in kinds
    brief = "openai" in kinds and chance(random, 0.3)
    rows = random.choice((random.randint(1, 12), random.randint(20, 70), random.randint(60, 160)))
    if brief:
        rows = random.randint(200, 400)
    return Workload(
        rows=rows,
        units=units,
        families=random.choice((1, 3)),
        capped=chance(random, 0.5),
        poison=int(odd and chance(random, 0.7)),
        too_long=int(odd),
        bad=int(odd),
        lying=2 * (odd or "openai" in kinds),
        output_tokens=4 if brief else 60,
        stubborn=min(rows, random.randint(1, 8)) if "stubborn rows" in kinds else 0,
        formless=2 * ("flawed rows" in kinds),
        repeats=2 * ("flawed rows" in kinds),
        refused=2 * ("flawed rows" in kinds),
        pictures=2 * ("flawed rows" in kinds),
        hasty=0.3 * ("own timeouts" in kinds),
        generate=0.5 * ("flawed rows" in kinds),
        terse=0.1 * ("flawed rows" in kinds),
    )


def _server(name: str, random: Random) -> ServerSpec:
    return ServerSpec(
        name=name,
        slots=random.choice((1, 2, 4, 8)),
        token_s=random.uniform(0.01, 0.06),
        prefill_tokens_per_s=random.choice((200.0, 2000.0)),
        load_s=random.choice((0.5, 3.0, 20.0)),
        context_tokens=random.choice((2048, 4096)),
        old=chance(random, 0.4),
        rtt_s=random.choice((0.001, 0.02, 0.1)),
    )


def _instance(server: ServerSpec, random: Random) -> Instance:
    limit = random.choice((None, None, None, InstanceLimit(2, 2, 2), InstanceLimit(1, 2, 6)))
    stream = server.dialect != "ollama" or chance(random, 0.8)
    return Instance(name=server.name, url=f"http://{server.name}:11434", limit=limit, stream=stream)
