"""Milliseconds until `arriero --version` has answered, beside `python -c pass`: minimum and median of 21 runs in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "arriero --version": [sys.executable, "-m", "arriero", "--version"],
    "arriero run -h": [sys.executable, "-m", "arriero", "run", "-h"],
}
RUNS = 21


def run_ms(command: list[str]) -> float:
    """Wall milliseconds of one run."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    figures: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            figures[name].append(run_ms(command))
    for name, times in figures.items():
        print(f"{name:<20}{min(times):6.0f} ms at least{statistics.median(times):6.0f} ms median")
