"""What the first policies bring, as figures: slots found, fleets kept full, shares kept."""

from __future__ import annotations

from collections import Counter
from random import Random
from statistics import mean, median

import pytest
from broken import Watches
from fleets import batch_of, bound_s, efficiency, second, uneven
from msgspec import structs

from arriero.core.batch import Batch
from arriero.core.events import READMITTED, AttemptEnded, InstanceChanged
from arriero.core.instance import Concurrency, Instance
from arriero.core.outcome import Success
from arriero.core.policies.pick import FirstCome
from arriero.simulator.engine import Chaos
from arriero.simulator.fault import Fault
from arriero.simulator.run import Run
from arriero.simulator.session import Watch
from arriero.simulator.spec import ServerSpec
from arriero.simulator.workload import Workload, requests
from arriero.simulator.world import AUTO, Rows, World

SEEDS = range(5)


def efficiencies(rows: int, **arguments) -> float:
    """Median over the seeds, on the twelve uneven instances."""
    return median(efficiency(batch_of(uneven(), rows, seed=seed, **arguments)) for seed in SEEDS)


class SlotsFound(Watch):
    """Slots as learned once so many requests have ended."""

    def __init__(self, after: int, name: str = "one") -> None:
        self.slots = 0
        self._left = after
        self._name = name

    def happened(self, session, event) -> None:
        self._left -= isinstance(event, AttemptEnded)
        if self._left == 0:
            (limit,) = session.scheduler.fleet[self._name].limits.values()
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


def equal(n: int) -> tuple[ServerSpec, ...]:
    """Instances of four slots, all alike."""
    return tuple(ServerSpec(name=f"i{number}", slots=4, context_tokens=8192) for number in range(n))


class Asked(Watch):
    """Requests sent while something lasts, by instance."""

    def __init__(self, begins_at: float, ends_at: float) -> None:
        self.by_instance: Counter[str] = Counter()
        self._begins_at, self._ends_at = begins_at, ends_at

    def starts(self, session, attempt) -> None:
        if attempt.request is not None and self._begins_at <= session.engine.now() < self._ends_at:
            self.by_instance[attempt.instance] += 1


def test_a_storm_of_errors_on_all_instances_is_waited_out_and_uses_up_few_rows():
    """While answers that began before it still come, it looks like an instance that fails at times."""
    for seed in SEEDS:
        faults = tuple(Fault(kind="errors", server=f"i{n}", at=5.0, lasts_s=120.0, value=1.0) for n in range(3))
        asked = Asked(25.0, 125.0)
        kept = Run(batch_of(equal(3), 200, seed=seed, faults=faults), asked).out()
        failed = [result for result in kept.values() if not result.succeeded]

        assert len(failed) <= 4, f"seed {seed}: {len(failed)} of 200 rows failed"
        assert all(result.ended_at > 5.0 + 3.0 for result in failed), f"seed {seed}: retries were used up in 3 s"
        assert asked.by_instance.total() <= 3, f"seed {seed}: {asked.by_instance} while all instances are known to fail"


class Comeback(Watch):
    """After an instance came back: how many ran there, and how many answers had come before."""

    def __init__(self, name: str) -> None:
        self.seen: list[tuple[int, int]] = []
        self._name = name
        self._running: set[int] = set()
        self._answers = -1

    def starts(self, session, attempt) -> None:
        if attempt.instance == self._name and attempt.request is not None:
            self._running.add(attempt.id)
            if self._answers >= 0:
                self.seen.append((len(self._running), self._answers))

    def happened(self, session, event) -> None:
        if isinstance(event, AttemptEnded) and event.attempt in self._running:
            self._running.discard(event.attempt)
            self._answers += self._answers >= 0 and isinstance(event.outcome, Success)
        elif isinstance(event, InstanceChanged) and event.name == self._name and event.reason == READMITTED:
            self._answers = 0


def test_an_instance_that_returns_as_another_version_is_filled_slowly_and_to_its_new_slots():
    for seed in SEEDS:
        comeback, found = Comeback("i0"), SlotsFound(400, "i0")
        upgrade = Fault(kind="upgrade", server="i0", at=20.0, lasts_s=5.0)
        watch = Watches(comeback, found)
        kept = Run(batch_of(equal(2), 400, seed=seed, faults=(upgrade,)), watch).out()

        assert all(result.succeeded for result in kept.values()), f"seed {seed}"
        assert comeback.seen[0] == (1, 0), f"seed {seed}"
        assert all(running <= 2**answers for running, answers in comeback.seen if answers < 4), f"seed {seed}"
        assert abs(found.slots - 5) <= 1, f"seed {seed}: {found.slots} of 5"


@pytest.mark.parametrize("concurrency", [AUTO, Concurrency(total=12, learned=False)], ids=["auto", "12"])
def test_an_instance_that_became_eight_times_as_slow_gets_less_and_costs_little_more_than_its_share(concurrency):
    for seed in SEEDS:
        slow = Fault(kind="straggler", server="i0", at=20.0, lasts_s=float("inf"), value=0.125)
        world = batch_of(equal(3), 600, seed=seed, concurrency=concurrency, faults=(slow,))
        well, asked = structs.replace(world, faults=()), Asked(60.0, float("inf"))
        Run(world, asked).out()

        assert asked.by_instance["i0"] <= 0.25 * asked.by_instance["i1"], f"seed {seed}: {asked.by_instance}"
        assert efficiency(world) >= 0.5 * efficiency(well), f"seed {seed}"


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
