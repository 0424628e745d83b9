"""Two workers, each with a real Ollama that only it reaches, and one batch over both; one worker is killed."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from arriero_command import arriero, attempts, ended, records, started, wait_finished, wait_until
from broker import serving
from ollama_fleet import OllamaFleet
from redis_broker import RedisBroker

from missing import missing

pytestmark = pytest.mark.timeout(120)

PROMPTS = [f"Write one sentence about the number {number}." for number in range(24)]


@pytest.fixture
def broker(home: Path) -> Iterator[str]:
    """A Redis of our own."""
    if not RedisBroker.installed():
        missing("no redis-server: apt-get install redis-server")
    with serving(RedisBroker(home / "redis")) as redis:
        yield redis.url


@contextmanager
def worker(folder: Path, broker: str, name: str, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that is ready, before one server."""
    folder = folder / name
    folder.mkdir()
    with started(folder, "worker", "--broker", broker, "--name", name, "-i", url) as process:
        wait_until(lambda: "ready" in (folder / "stderr.txt").read_text(), process)
        yield process


def test_a_batch_over_two_workers_with_real_servers_survives_the_death_of_one(
    own_fleet: Callable[..., OllamaFleet], broker: str, tmp_path: Path
) -> None:
    fleet = own_fleet(2, 2)
    dying, living = fleet.servers
    (tmp_path / "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS))
    words = ("run", "prompts.txt", "-o", "results.json", "--engine", "celery", "--broker", broker)
    options = fleet.flags_of(fleet.model, "num_predict=8", urls=[])
    with ExitStack() as stack:
        left = stack.enter_context(worker(tmp_path, broker, "left", dying.url))
        right = stack.enter_context(worker(tmp_path, broker, "right", living.url))
        process = stack.enter_context(started(tmp_path, *words, *options))
        for server in (dying, living):
            wait_finished(tmp_path, "results.json", 2, process, server.address)
        left.send_signal(signal.SIGKILL)
        code, said = ended(tmp_path, process)
        right.send_signal(signal.SIGTERM)
        assert right.wait(30) == 0

    assert code == 0, said
    results = records(tmp_path)
    assert [result["prompt"] for result in results] == PROMPTS
    assert all(result["status"] == "success" and result["response"] for result in results)
    assert {str(one.kind) for one in attempts(tmp_path) if one.purpose == "request"} <= {"lost"}
    assert len(Counter(result["instance"] for result in results)) == 2
    assert arriero(tmp_path, "verify", "results.json").returncode == 0
