"""The example of a whole fleet on one machine does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_ollama import Speed
from redis_broker import RedisBroker
from running import assert_answered, environment, fake_fleet, prompts, read_results, write_prompts

from missing import missing

pytestmark = pytest.mark.timeout(90)

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "celery" / "one_machine.sh"


def test_one_machine_runs_a_batch_over_two_workers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    if not RedisBroker.installed():
        missing("no redis-server: apt-get install redis-server")
    write_prompts(tmp_path, 40)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with fake_fleet(2, 2, speed=Speed(decode_tokens_per_s=100.0)) as fleet:
        words = [str(EXAMPLE), "prompts.txt", *fleet.urls, "--", "-m", "mistral:7b", "-c", "6"]
        done = subprocess.run(
            words,
            cwd=tmp_path,
            env=environment(tmp_path, {"PATH": path, "TMPDIR": str(tmp_path)}),
            capture_output=True,
            text=True,
            check=False,
            timeout=80,
        )

    assert done.returncode == 0, done.stderr
    assert "worker-1/" in done.stdout
    assert "worker-2/" in done.stdout
    assert_answered(read_results(tmp_path), prompts(40))
    assert list(tmp_path.glob("tmp.*")) == []
