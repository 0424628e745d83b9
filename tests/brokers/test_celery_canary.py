"""P12 behind Celery: no prompt and no answer in what its own tools show, in events, or in what a worker says."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from broker import free_ports
from celery import Celery
from crew import PACE, SLOTS, Carried, Crew, crew_of, wait_until
from fake_ollama import prompt_hash
from messages_seen import every_event
from running import PATIENCE_S, fake_fleet

pytestmark = [pytest.mark.timeout(120), pytest.mark.one_broker]

CANARY = "CANARY-PROMPT-27182"
LOOKS = 2


@pytest.fixture
def crew(tmp_path: Path, broker_url: str) -> Iterator[Crew]:
    """Two workers."""
    with fake_fleet(*SLOTS, speed=PACE) as fleet, crew_of(tmp_path, broker_url, fleet) as crew:
        yield crew


def secrets(batch: Carried) -> tuple[str, ...]:
    """The canary, and what each answer begins with."""
    return (CANARY, *(prompt_hash(prompt) for prompt in batch.asked))


def told_by_inspect(url: str) -> list[Any]:
    """All that a worker answers to ``celery inspect``."""
    with Celery(broker=url, set_as_current=False) as app:
        look = app.control.inspect(timeout=0.5)
        return [
            look.active(safe=False), look.reserved(safe=False), look.scheduled(safe=False), look.stats(),
            look.registered(), look.active_queues(), look.conf(with_defaults=True), look.report(),
        ]  # fmt: skip


@contextmanager
def flower(folder: Path, url: str) -> Iterator[str]:
    """Flower beside it, with its API open; the address."""
    (port,) = free_ports(1)
    words = ["-m", "celery", "--broker", url, "flower", "--address=127.0.0.1", f"--port={port}"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "FLOWER_UNAUTHENTICATED_API": "1"}
    with (folder / "flower.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *words], env=environment, cwd=folder, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: page(f"{address}/healthcheck"))
        yield address
    finally:
        process.kill()
        process.wait()


def page(url: str) -> str:
    """A page's text; empty while there is none."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 - our own
        return answer.read().decode()
    return ""


def test_no_tool_of_celery_shows_a_prompt_or_an_answer(tmp_path: Path, crew: Crew, broker_url: str) -> None:
    (tmp_path / "run").mkdir()
    batch = Carried(tmp_path / "run", crew, 300, words=CANARY)
    looks: list[str] = []
    with every_event(broker_url) as events, flower(tmp_path, broker_url) as pages, batch.begun() as running:
        for _ in range(LOOKS):
            looks.append(json.dumps(told_by_inspect(broker_url)))
            workers = json.loads(page(f"{pages}/api/workers?refresh=1"))
            looks += [json.dumps(workers), page(f"{pages}/api/tasks?limit=1000"), page(f"{pages}/workers")]
            looks += [page(f"{pages}/tasks"), *(page(f"{pages}/worker/{name}") for name in workers)]
        batch.end(running)

    assert {name.partition("@")[0] for name in workers} == {"left", "right"}
    assert all(any(name in look for look in looks) for name in ("arriero.deliver", "left@", "right@"))
    heard = json.dumps(events)
    assert "arriero-worker" in heard
    said = [worker.err for worker in crew.workers.values()]
    for secret in secrets(batch):
        assert not any(secret in text for text in (*looks, heard, running.err, *said)), secret
    batch.check()
