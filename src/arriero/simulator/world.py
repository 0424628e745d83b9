"""World: servers, instances, batches and everything that will go wrong, as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from arriero.core.batch import Batch
from arriero.core.events import Event
from arriero.core.instance import Concurrency, Instance
from arriero.core.policies.pick import LongestFirst
from arriero.core.policies.predict import Lengths
from arriero.core.policies.timeout import TimeoutPolicy
from arriero.core.queue import Rank
from arriero.core.remembered import Served, Sizes
from arriero.core.request import Request, Result
from arriero.simulator.engine import Chaos
from arriero.simulator.fault import Fault
from arriero.simulator.spec import ServerSpec, Truths

AUTO = Concurrency()
"""``-c auto``."""


PREDICTED = TimeoutPolicy()
"""Timeouts where the user says nothing."""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """One batch of a world.

    Attributes:
        batch: The batch.
        rows: Its rows in input order; those that can never be sent as results.
        opens_at: When its first row can be read.
        scan_s: Seconds its scan takes; 0: it was scanned before.
    """

    batch: Batch
    rows: tuple[Request | Result, ...]
    opens_at: float = 0.0
    scan_s: float = 0.0


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides a run.

    Attributes:
        seed: Of all chance in the run.
        servers: All that answer, also those that join later.
        instances: The fleet at the start.
        batches: What is to be done.
        truths: What each request costs.
        concurrency: ``-c``.
        faults: What goes wrong with servers.
        script: What is told from outside, and when.
        gaps: When we are suspended, and for how many seconds.
        crashes: When our process dies.
        chaos: What goes wrong on the way.
        commit_s: Seconds a commit takes.
        sink_most: Results that may wait for their commit before nothing new starts.
        remembered: What an earlier batch learned of instances, true or not, by their names.
        sizes: What it learned of lengths.
        timeout: How long attempts may take.
        closes: A batch is closed as soon as it has ended, while others go on.
        learns: What one life of ours has learned is handed to the next one.
        retry: Failed rows are tried once more, in a round of their own.
        rank: Order of the requests that wait.
    """

    seed: int
    servers: tuple[ServerSpec, ...]
    instances: tuple[Instance, ...]
    batches: tuple[Rows, ...]
    truths: Truths
    concurrency: Concurrency = AUTO
    faults: tuple[Fault, ...] = ()
    script: tuple[tuple[float, Event], ...] = ()
    gaps: tuple[tuple[float, float], ...] = ()
    crashes: tuple[float, ...] = ()
    chaos: Chaos = Chaos()
    commit_s: float = 0.05
    sink_most: int = 2000
    remembered: Mapping[str, tuple[Served, ...]] = {}
    sizes: tuple[Sizes, ...] = ()
    timeout: TimeoutPolicy = PREDICTED
    closes: bool = False
    learns: bool = False
    retry: bool = False
    rank: Callable[[Lengths], Rank] = LongestFirst
