"""Crew: real workers on a broker, each before fake servers of its own, and batches that they carry, with both books."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from books import assert_no_hole, assert_promises
from fake_ollama import Entry, Speed, answer, prompt_hash
from running import (
    PATIENCE_S,
    Fleet,
    Running,
    Watched,
    assert_answered,
    prompts,
    read_results,
    started,
    stored_results,
    write_prompts,
)

AT_ONCE = 10
"""In flight over the fleet of a crew: a place in the queue more than the eight slots."""

SLOTS = (2, 2, 2, 2)
PACE = Speed(decode_tokens_per_s=50.0)
"""An answer takes 0.1 to 0.3 s: eight slots make about 40 a second."""

STALL_S = {"redis": 15.0, "rabbitmq": 60.0}
"""No longer is nothing answered once everything is back; RabbitMQ's clients take longer to come back."""


class Crew:
    """Two workers, ``left`` and ``right``, with two servers each; a test may kill, stop and start them.

    Args:
        folder: For what they say.
        url: The broker, as they reach it.
        fleet: Four fake servers.
    """

    def __init__(self, folder: Path, url: str, fleet: Fleet) -> None:
        self.folder = folder
        self.url = url
        self.fleet = fleet
        self.workers: dict[str, Running] = {}

    def servers(self, name: str) -> list[Watched]:
        """Those that only this worker reaches."""
        half = len(self.fleet.servers) // 2
        return self.fleet.servers[:half] if name == "left" else self.fleet.servers[half:]

    def start(self, name: str, *words: str, url: str = "") -> Running:
        """A worker that is ready."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        flags = [word for server in self.servers(name) for word in ("-i", server.url)]
        running = Running(folder, "worker", "--broker", url or self.url, "--name", name, *flags, *words)
        self.workers[name] = running
        running.until_said("ready")
        return running

    def send(self, name: str, number: int) -> None:
        self.workers[name].process.send_signal(number)

    def kill(self, name: str) -> None:
        """SIGKILL; its connections break without a word."""
        self.workers[name].end(signal.SIGKILL)

    def restart(self, name: str, number: int = signal.SIGTERM, url: str = "") -> None:
        """Its end, orderly or not, and another in its place."""
        self.workers[name].end(number)
        self.start(name, url=url)

    def mend(self) -> None:
        """Whatever a test left: both run."""
        for name, running in list(self.workers.items()):
            if running.process.poll() is None:
                self.send(name, signal.SIGCONT)
            else:
                self.start(name)

    def leave(self) -> None:
        """SIGTERM to each: they drain and end well."""
        for running in self.workers.values():
            if running.process.poll() is None:
                running.process.send_signal(signal.SIGCONT)
                running.process.send_signal(signal.SIGTERM)
        codes = {name: running.end() for name, running in self.workers.items() if running.process.returncode is None}
        assert {name: one.code for name, one in codes.items() if one.code} == {}, codes

    def close(self) -> None:
        """Whatever happened: none is left."""
        for running in self.workers.values():
            running.process.kill()
            running.end()


@contextmanager
def crew_of(folder: Path, url: str, fleet: Fleet, words: Sequence[str] = ()) -> Iterator[Crew]:
    """Workers that are ready, and end well with the block."""
    crew = Crew(folder, url, fleet)
    try:
        for name in ("left", "right"):
            crew.start(name, *words)
        yield crew
        crew.leave()
    finally:
        crew.close()


class Carried:
    """A batch over a crew, and what the servers' record and the journal say of it."""

    def __init__(self, folder: Path, crew: Crew, rows: int, *, url: str = "", words: str = "") -> None:
        self.folder = folder
        self.crew = crew
        self.fleet = crew.fleet
        self.asked = [f"{folder.name} {words}: {prompt}" for prompt in prompts(rows)]
        self.marks = {prompt_hash(prompt) for prompt in self.asked}
        write_prompts(folder, self.asked)
        self.words = (
            "run",
            "prompts.txt",
            "-m",
            "mistral:7b",
            "--engine",
            "celery",
            "--broker",
            url or crew.url,
            "-c",
            str(AT_ONCE),
        )
        self.before = {entry.attempt for entry in self.fleet.requests()}

    @contextmanager
    def begun(self) -> Iterator[Running]:
        """The command under way, with some answers kept."""
        done = len(self.fleet.requests("completed"))
        with started(self.folder, *self.words) as running:
            self.fleet.until_completed(done + AT_ONCE)
            yield running

    def mine(self) -> list[Entry]:
        """Requests of this batch: those that none before it sent, and that ask what it asks."""
        return [
            entry for entry in self.fleet.requests() if entry.attempt not in self.before and entry.prompt in self.marks
        ]

    def goes_on(self, kind: str) -> None:
        """Everything is there again: answers come within the time that is promised."""
        done = len(self.fleet.requests("completed"))
        with self.fleet.changed:
            came = self.fleet.changed.wait_for(
                lambda: len(self.fleet.requests("completed")) > done + AT_ONCE, STALL_S[kind]
            )
        assert came, f"nothing was answered for {STALL_S[kind]} s: {self.fleet.entries[-3:]}"

    def end(self, running: Running) -> None:
        """The rest at once, to its end."""
        self.fleet.calm()
        done = running.end(patience_s=PATIENCE_S * 2)
        assert done.code == 0, done.err
        assert_answered(read_results(self.folder), self.asked)

    def check(self, *, redone: int = 0, coordinators: int = 1) -> None:
        """Nothing lost, nothing doubled, and at most so many requests were sent for nothing.

        Args:
            redone: What was in flight when something died.
            coordinators: Runs of the command.
        """
        sent = self.mine()
        marks = [entry.attempt for entry in sent]
        assert len(set(marks)) == len(marks), "an attempt was carried twice"
        completed = {entry.attempt for entry in sent if entry.how == "completed"}
        results = {one.attempt_name: one for one in stored_results(self.folder)}
        assert len(results) == len(self.asked)
        assert results.keys() <= completed, "a result that no server gave"
        for one in results.values():
            assert one.text == answer(self.asked[one.position])
        assert len(marks) - len(self.asked) <= redone, f"{len(marks) - len(self.asked)} were sent again"
        assert len({mark.partition("-")[0] for mark in marks}) <= coordinators
        if coordinators > 1:
            assert_no_hole(completed, results, AT_ONCE)
        assert_promises(self.folder, "results.json")


def wait_until(holds: Callable[[], object], patience_s: float = 2 * PATIENCE_S) -> None:
    """Look again and again until something holds."""
    until = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def chance(name: str) -> random.Random:
    """Instants of chance that are the same in each run."""
    return random.Random(name)
