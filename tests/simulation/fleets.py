"""Fleets: bigger worlds without faults, to measure what the policies bring."""

from __future__ import annotations

from random import Random

from msgspec import structs

from arriero.core.batch import Batch
from arriero.core.instance import Concurrency, Instance
from arriero.core.remembered import Served, Sizes
from arriero.simulator.fault import Fault
from arriero.simulator.run import Run
from arriero.simulator.session import Watch
from arriero.simulator.spec import ServerSpec, Truth, Truths
from arriero.simulator.workload import Workload, requests
from arriero.simulator.world import AUTO, Rows, World

TOKEN_S = 0.025
"""Seconds a token of a server of speed 1 takes alone: 40 tokens/s."""


def uneven() -> tuple[ServerSpec, ...]:
    """Twelve instances of four slots: four of speed 3, eight of speed 1; prompts are read 20 times as fast as answers are written."""
    speeds = (3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1)
    return tuple(
        ServerSpec(
            name=f"i{number:02}",
            slots=4,
            token_s=TOKEN_S / speed,
            fill=0.12,
            prefill_tokens_per_s=20.0 * speed / TOKEN_S,
            load_s=0.0,
            context_tokens=8192,
        )
        for number, speed in enumerate(speeds)
    )


def batch_of(
    servers: tuple[ServerSpec, ...],
    rows: int,
    *,
    seed: int,
    concurrency: Concurrency = AUTO,
    families: int = 8,
    capped: bool = False,
    faults: tuple[Fault, ...] = (),
) -> World:
    """One batch on some servers; sizes as in the dispatch study: prompts of 300 tokens in the median, answers of 150."""
    workload = Workload(
        rows=rows,
        prompt_tokens=300,
        output_tokens=150,
        spread=0.6 if families > 1 else 0.9,
        families=families,
        capped=capped,
    )
    made, truths = requests(workload, 1, Random(f"fleet {seed}"))
    instances = tuple(Instance(name=server.name, url=f"http://{server.name}") for server in servers)
    return World(
        seed=seed,
        servers=servers,
        instances=instances,
        batches=(Rows(batch=Batch(id=1), rows=tuple(made)),),
        truths=truths,
        concurrency=concurrency,
        faults=faults,
    )


def rate_of(server: ServerSpec, prompt_tokens: float, output_tokens: float) -> float:
    """Requests of this mean size that a server can end a second at most.

    In the steady state ``b`` decode and the rest of the slots read: ``b = r * out * token_s * (1 + fill * (b - 1))`` and
    ``b + r * prompt / prefill <= slots``, where one prompt is read at a time.
    """
    read_s = prompt_tokens / server.prefill_tokens_per_s
    least, most = 0.0, min(1.0 / read_s, server.work_rate() / output_tokens)
    for _ in range(60):
        rate = (least + most) / 2.0
        decoding = server.slots - rate * read_s
        able = decoding / (output_tokens * server.token_s * (1.0 + server.fill * (decoding - 1.0)))
        least, most = (rate, most) if able > rate else (least, rate)
    return least


def bound_s(world: World) -> float:
    """No schedule ends sooner: all rates together, or the longest request alone on the fastest server."""
    truths: Truths = world.truths
    prompt = sum(truth.prompt_tokens for truth in truths.values()) / len(truths)
    output = sum(truth.output_tokens for truth in truths.values()) / len(truths)
    longest = max(min(_alone_s(truth, server) for server in world.servers) for truth in truths.values())
    return max(len(truths) / sum(rate_of(server, prompt, output) for server in world.servers), longest)


def _alone_s(truth: Truth, server: ServerSpec) -> float:
    return truth.prompt_tokens / server.prefill_tokens_per_s + truth.output_tokens * server.token_s


class Ends(Watch):
    """When the last result came."""

    def __init__(self) -> None:
        self.last_s = 0.0

    def results(self, session, results) -> None:
        self.last_s = session.engine.now()


def efficiency(world: World) -> float:
    """Lower bound over makespan; every request must have been answered."""
    ends = Ends()
    kept = Run(world, ends).out()

    assert len(kept) == len(world.truths)
    assert all(result.succeeded for result in kept.values())
    return bound_s(world) / ends.last_s


class Learned(Watch):
    """What a batch leaves for the next one."""

    def __init__(self) -> None:
        self.served: dict[str, tuple[Served, ...]] = {}
        self.sizes: list[Sizes] = []

    def turned(self, session) -> None:
        self.served = {member.name: tuple(member.learned()) for member in session.scheduler.fleet}
        self.sizes = session.scheduler.lengths.learned()


def second(rows: int, seed: int, *, families: int = 8, capped: bool = False) -> tuple[float, float]:
    """Efficiency of a batch that begins with nothing, and of the same one after another batch."""
    world = batch_of(uneven(), rows, seed=seed, families=families, capped=capped)
    learned = Learned()
    Run(batch_of(uneven(), 2 * rows, seed=seed, families=families, capped=capped), learned).out()
    after = structs.replace(world, remembered=learned.served, sizes=tuple(learned.sizes))
    return efficiency(world), efficiency(after)
