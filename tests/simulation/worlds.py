"""Worlds: run one with every check on, and say how to do it again if it fails."""

from __future__ import annotations

import os
from collections import Counter

from broken import BrokenError, Watches
from checker import Checker
from ledger import Ledger

from arriero.simulator.mishaps import KINDS
from arriero.simulator.run import Run
from arriero.simulator.seeded import world
from arriero.simulator.timeline import StandstillError
from arriero.simulator.world import World

CHOSEN = "ARRIERO_SEED"
"""Environment variable with the one seed to run."""


class Lived(Counter[str]):
    """What a world has been through, and the digest of all that was decided in it."""

    plans = ""


def live(made: World) -> Lived:
    """Run a world under the eyes of a checker.

    Raises:
        BrokenError: A promise was broken; the message holds the line that does it again.
    """
    checker, ledger = Checker(made), Ledger(made)
    run = Run(made, Watches(checker, ledger))
    try:
        run.out()
        checker.over(run)
        ledger.over(run)
    except (AssertionError, StandstillError, LookupError, ValueError, TypeError, AttributeError) as error:
        again = f"{CHOSEN}={made.seed} python -m pytest tests/simulation/test_promises.py -x"
        words = f"seed {made.seed} ({KINDS[made.seed % len(KINDS)]}) at {run.timeline.now:.3f} s: {error}\n    {again}"
        raise BrokenError(words) from error
    lived = Lived(checker.seen)
    lived.update(ledger.seen)
    lived.update({f"fault {kind}": count for kind, count in run.struck.items()})
    lived["sink full"] += run.sink.waits
    lived.plans = checker.plans.hexdigest()
    return lived


def live_seed(seed: int) -> Lived:
    """Run the world of a seed."""
    return live(world(seed))


def chosen(seeds: range) -> list[int]:
    """The seeds to run: all, or the one that the environment names."""
    return [int(os.environ[CHOSEN])] if CHOSEN in os.environ else list(seeds)
