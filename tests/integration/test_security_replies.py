"""A hostile server costs one attempt and bounded memory: bombs, answers and headers without an end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_ollama import Fault
from running import PATIENCE_S, Fleet, environment, fake_fleet, read_results, stored_results, write_prompts

from arriero.core.outcome import Failure

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(
        not Path("/proc/self/status").exists(), reason="the most memory of a process is read from /proc"
    ),
]

MB = 1 << 20
ENOUGH_BYTES = 80 * MB
"""Above the most that one answer may have, 64 MB."""


PROGRAM = """
import atexit, os
from pathlib import Path
from arriero.cli import main

atexit.register(lambda: Path("status").write_text(Path("/proc/self/status").read_text()))
main()
"""
"""The command line, which leaves behind what the system says of it; ``ru_maxrss`` counts who started it too."""


def peak_bytes(folder: Path, fleet: Fleet) -> tuple[int, int]:
    """The exit code of a run, and the most memory it had."""
    words = ("run", "prompts.txt", "--retries", "0", "-c", "1", "--display", "none", *fleet.flags)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=folder, env=environment(folder), timeout=PATIENCE_S, check=False
    )
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
    return done.returncode, int(peak) * 1024


@pytest.fixture(scope="module")
def calm_bytes(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The most memory of a run in which nothing goes wrong."""
    folder = tmp_path_factory.mktemp("calm")
    write_prompts(folder, 2)
    with fake_fleet(2) as fleet:
        code, peak = peak_bytes(folder, fleet)
    assert code == 0
    return peak


@pytest.mark.parametrize(
    ("fault", "words", "most_bytes"),
    [
        (Fault("packed", text="gzip"), "packed although", 20 * MB),
        pytest.param(Fault("packed", text="deflate"), "packed although", 20 * MB, marks=pytest.mark.slow),
        pytest.param(Fault("packed", text="br"), "packed although", 20 * MB, marks=pytest.mark.slow),
        (Fault("endless"), "larger than 64 MB", ENOUGH_BYTES + 64 * MB),
        (Fault("big_header"), "a header above 8 kB", 20 * MB),
    ],
    ids=lambda value: f"{value.kind}-{value.text[:7]}" if isinstance(value, Fault) else None,
)
def test_a_bomb_or_an_answer_without_an_end_costs_one_attempt_and_bounded_memory(
    tmp_path: Path, calm_bytes: int, fault: Fault, words: str, most_bytes: int
) -> None:
    write_prompts(tmp_path, 2)
    fault.contains = "number 1."
    with fake_fleet(2, faults=[fault]) as fleet:
        code, peak = peak_bytes(tmp_path, fleet)

    assert code == 3
    assert [record["status"] for record in read_results(tmp_path)] == ["success", "failed"]
    (failed,) = [one.outcome for one in stored_results(tmp_path) if isinstance(one.outcome, Failure)]
    assert words in failed.detail
    assert len(fleet.requests("failed") + fleet.requests("disconnected")) == 1
    assert peak - calm_bytes < most_bytes, f"{(peak - calm_bytes) / MB:.0f} MB above a calm run"
