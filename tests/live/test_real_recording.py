"""The recorder: what it takes down from a live server is judged by the tables of the conformance tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CONFORMANCE = Path(__file__).parent.parent / "conformance"


@pytest.mark.usefixtures("own_fleet")
def test_a_fresh_recording_of_every_case_passes_the_conformance_tests(tmp_path: Path) -> None:
    recorded = subprocess.run(
        [sys.executable, CONFORMANCE / "record.py", "--out", tmp_path / "anew"],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    judged = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", CONFORMANCE / "test_backends.py"],
        env={**os.environ, "ARRIERO_TEST_RECORDINGS": str(tmp_path / "anew")},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert recorded.returncode == 0, recorded.stderr
    assert judged.returncode == 0, judged.stdout


def test_a_server_of_somebody_else_is_recorded_without_what_would_kill_it(ollama_fleet, tmp_path: Path) -> None:
    recorded = subprocess.run(
        [sys.executable, CONFORMANCE / "record.py", "--out", tmp_path, "--url", ollama_fleet.urls[-1]],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip

    assert recorded.returncode == 3, recorded.stderr
    missing = [line.removeprefix("not recorded: ") for line in recorded.stderr.splitlines()]
    assert len(missing) == 15
    assert all("busy" in name or "death" in name or "-sig" in name for name in missing)
    (file,) = tmp_path.glob("v*.jsonl")
    assert len(file.read_text().splitlines()) == 174 - len(missing)
