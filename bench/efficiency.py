"""Efficiency of the first policies on twelve uneven instances in virtual time, before and after a batch was learned from.

``python bench/efficiency.py [SEEDS]`` prints lower bound over makespan, the median over the seeds: of a batch that begins with
nothing, and of the same batch with what another of twice its size, drawn from the same families, left in the state file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "simulation"))

from fleets import second

WORKLOADS = {"families": {}, "blind": {"families": 1}, "max_tokens": {"capped": True}}


def main() -> None:
    """Print a table."""
    seeds = range(100, 100 + int(sys.argv[1]) if len(sys.argv) > 1 else 112)
    print(f"{'rows':>6}  {'lengths':<12}{'nothing known':>15}{'learned':>10}")
    for rows in (300, 1000):
        for name, fields in WORKLOADS.items():
            pairs = [second(rows, seed, **fields) for seed in seeds]
            before, after = (median(pair[side] for pair in pairs) for side in (0, 1))
            print(f"{rows:>6}  {name:<12}{before:>15.3f}{after:>10.3f}")


if __name__ == "__main__":
    main()
