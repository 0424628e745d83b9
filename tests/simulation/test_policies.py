"""What the first policies bring, as figures: slots found, fleets kept full, shares kept."""

from __future__ import annotations

from collections import Counter
from random import Random
from statistics import mean, median

import pytest
from fleets import batch_of, bound_s, efficiency, second, uneven
from msgspec import structs

from arriero.core.batch import Batch
from arriero.core.events import AttemptEnded
from arriero.core.instance import Concurrency, Instance
from arriero.core.policies.pick import FirstCome
from arriero.simulator.engine import Chaos
from arriero.simulator.fault import Fault
from arriero.simulator.run import Run
from arriero.simulator.session import Watch
from arriero.simulator.spec import ServerSpec
from arriero.simulator.workload import Workload, requests
from arriero.simulator.world import Rows, World

SEEDS = range(5)


def efficiencies(rows: int, **arguments) -> float:
    """Median over the seeds, on the twelve uneven instances."""
    return median(efficiency(batch_of(uneven(), rows, seed=seed, **arguments)) for seed in SEEDS)


class SlotsFound(Watch):
    """Slots as learned once so many requests have ended."""

    def __init__(self, after: int) -> None:
        self.slots = 0
        self._left = after

    def happened(self, session, event) -> None:
        self._left -= isinstance(event, AttemptEnded)
        if self._left == 0:
            (member,) = session.scheduler.fleet
            (limit,) = member.limits.values()
            self.slots = limit.slots


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
@pytest.mark.parametrize("slots", [1, 2, 4, 8, 32])
def test_auto_finds_the_slots_within_two_after_ten_requests_a_slot(slots: int, dialect: str):
    for seed in SEEDS:
        server = ServerSpec(name="one", slots=slots, dialect=dialect, timings=dialect == "ollama", context_tokens=8192)
        found = SlotsFound(10 * slots + 3)
        Run(batch_of((server,), 14 * slots, seed=seed), found).out()

        assert abs(found.slots - slots) <= 2, f"seed {seed}: {found.slots} of {slots}"


@pytest.mark.parametrize("slots", [2, 8, 32])
def test_auto_finds_the_slots_where_only_ends_are_told(slots: int):
    for seed in SEEDS:
        server = ServerSpec(name="one", slots=slots, context_tokens=8192)
        found = SlotsFound(10 * slots + 3)
        Run(structs.replace(batch_of((server,), 14 * slots, seed=seed), chaos=Chaos(late=True)), found).out()

        assert abs(found.slots - slots) <= 2, f"seed {seed}: {found.slots} of {slots}"


def test_an_uneven_fleet_of_which_nothing_is_known_is_kept_busy():
    assert efficiencies(1000) >= 0.87
    assert efficiencies(1000, capped=True) >= 0.93
    assert efficiencies(1000, families=1) >= 0.74


def test_what_one_batch_learned_lifts_the_next():
    pairs = [second(300, seed) for seed in range(100, 112)]

    assert mean(after for _, after in pairs) >= mean(before for before, _ in pairs) + 0.03, pairs


@pytest.mark.slow
def test_an_uneven_fleet_is_kept_busy_by_a_big_batch():
    assert efficiencies(4000) >= 0.94
    assert efficiencies(4000, capped=True) >= 0.96
    assert efficiencies(4000, families=1) >= 0.90


def test_a_fixed_total_of_as_many_as_the_slots_is_spread_over_them():
    assert efficiencies(1000, concurrency=Concurrency(total=48, learned=False)) >= 0.89


def test_the_longest_first_ends_sooner_than_the_first_first():
    world = batch_of(uneven(), 600, seed=1, capped=True)

    assert efficiency(world) > efficiency(structs.replace(world, rank=lambda _: FirstCome())) + 0.02


@pytest.mark.parametrize("kind", ["garbage", "errors", "down"])
def test_a_sick_fast_instance_costs_little_more_than_its_own_work(kind: str):
    """Without it 3 of 20 parts of the fleet's speed are gone."""
    for seed in SEEDS:
        sick = Fault(kind=kind, server="i00", at=20.0, lasts_s=float("inf"), value=0.0 if kind != "errors" else 0.3)
        well, ill = batch_of(uneven(), 1000, seed=seed), batch_of(uneven(), 1000, seed=seed, faults=(sick,))

        assert efficiency(ill) >= 0.75 * efficiency(well), f"seed {seed}"


class Sent(Watch):
    """Requests started, by batch, while both batches had some waiting."""

    def __init__(self) -> None:
        self.by_batch: Counter[int] = Counter()

    def starts(self, session, attempt) -> None:
        if attempt.request is not None and all(session.scheduler.counts(batch).waiting for batch in session.feeds):
            self.by_batch[attempt.request.batch] += 1


def two_batches(**second) -> World:
    """Two batches of equal rows on one instance; the second as told."""
    server = ServerSpec(name="one", slots=4)
    batches, truths = [], {}
    for number, fields in ((1, {}), (2, second)):
        rows, costs = requests(Workload(rows=300), number, Random(f"rows {number}"))
        batches.append(Rows(batch=Batch(id=number, **fields), rows=tuple(rows)))
        truths |= costs
    instance = Instance(name="one", url="http://one")
    return World(seed=0, servers=(server,), instances=(instance,), batches=tuple(batches), truths=truths)


def test_a_batch_of_three_times_the_weight_gets_three_quarters():
    sent = Sent()
    Run(two_batches(weight=3.0), sent).out()

    assert sent.by_batch[2] / sent.by_batch.total() == pytest.approx(0.75, abs=0.05)


def test_a_batch_of_a_higher_class_goes_wholly_first():
    sent = Sent()
    Run(two_batches(priority=1), sent).out()

    assert sent.by_batch[1] == 0


def test_the_bound_of_one_instance_is_what_its_slots_can_do():
    server = ServerSpec(name="one", slots=4, context_tokens=8192)
    world = batch_of((server,), 2000, seed=0)

    assert 0.9 <= efficiency(world) <= 1.02
    assert bound_s(world) > 0.0
