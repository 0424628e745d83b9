"""How many cases the fuzz tests run: 5,000 by default, 20 times as many with -m slow."""

from __future__ import annotations

import importlib
from pathlib import Path

from fuzzing import SLOW_SEEDS, SLOW_TIMES

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("test_fuzz_*.py") if path != Path(__file__))


def cases():
    modules = [importlib.import_module(name) for name in MODULES]
    return sum(getattr(thing, "cases", 0) for module in modules for thing in vars(module).values())


def test_five_thousand_cases_run_by_default_and_a_hundred_thousand_in_the_slow_form():
    assert cases() >= 5_000
    assert cases() * len(SLOW_SEEDS) * SLOW_TIMES >= 100_000
