"""Whatever dies behind the Celery engine, on Redis and on RabbitMQ: nothing lost, nothing doubled, little sent again, no long stall."""

from __future__ import annotations

import json
import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from broker import Broker
from crew import AT_ONCE, PACE, SLOTS, STALL_S, Carried, Crew, chance, crew_of, wait_until
from cuttable_proxy import network_before
from messages_seen import announcements, doubling, put, put_task
from running import fake_fleet, started

from arriero.errors import ArrieroError
from arriero.journal.reader import JournalReader

pytestmark = pytest.mark.timeout(120)

CANARY = "CANARY-FRAME-27182"
ROWS = 400


@pytest.fixture(scope="module")
def standing(
    tmp_path_factory: pytest.TempPathFactory, kind: str, own_brokers: Callable[[str], Broker]
) -> Iterator[Crew]:
    """Workers that stay from test to test; each kind of broker has its own."""
    broker = own_brokers(kind)
    broker.revive()
    with fake_fleet(*SLOTS, speed=PACE) as fleet, crew_of(tmp_path_factory.mktemp("crew"), broker.url, fleet) as crew:
        yield crew


@pytest.fixture
def crew(standing: Crew, own_broker: Broker) -> Crew:
    """Two workers that run, at the pace of a test."""
    assert standing.url == own_broker.url
    for server in standing.fleet.servers:
        server.speed = PACE
    standing.mend()
    return standing


def lost(folder: Path) -> int:
    """Attempts that the journal has as lost with their worker."""
    try:
        with JournalReader(folder / "results.json.journal") as reader:
            return sum(str(attempt.kind) == "lost" for attempt in reader.attempts())
    except ArrieroError:  # in the making
        return 0


def carries(crew: Crew, name: str) -> None:
    """Wait until a worker has carried another request."""
    mine = crew.servers(name)
    before = sum(len(server.log.requests()) for server in mine)
    with crew.fleet.changed:
        done = crew.fleet.changed.wait_for(
            lambda: sum(len(server.log.requests()) for server in mine) > before, STALL_S["redis"]
        )
    assert done, f"{name} carries nothing"


def test_a_killed_worker_loses_nothing_and_its_successor_is_used_at_once(tmp_path: Path, crew: Crew, kind: str) -> None:
    batch = Carried(tmp_path, crew, ROWS)
    with batch.begun() as running:
        crew.kill("left")
        crew.start("left")
        carries(crew, "left")
        batch.goes_on(kind)
        batch.end(running)
    batch.check(redone=AT_ONCE)


@pytest.mark.one_broker
def test_a_frozen_worker_is_done_without_and_what_it_says_late_is_dropped(
    tmp_path: Path, crew: Crew, kind: str
) -> None:
    batch = Carried(tmp_path, crew, ROWS)
    with batch.begun() as running:
        crew.send("left", signal.SIGSTOP)
        batch.goes_on(kind)
        wait_until(lambda: lost(tmp_path))
        crew.send("left", signal.SIGCONT)
        carries(crew, "left")
        batch.end(running)
    batch.check(redone=AT_ONCE)


def test_a_killed_coordinator_goes_on_by_the_same_command(tmp_path: Path, crew: Crew, kind: str) -> None:
    batch = Carried(tmp_path, crew, ROWS)
    with batch.begun() as running:
        assert running.end(signal.SIGKILL).code == -signal.SIGKILL
    with batch.begun() as running:
        batch.goes_on(kind)
        batch.end(running)
    batch.check(redone=2 * AT_ONCE, coordinators=2)


@pytest.mark.one_broker
def test_a_second_batch_waits_for_the_workers_of_the_first_and_then_has_them(tmp_path: Path, crew: Crew) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()
    batch, other = Carried(first, crew, ROWS), Carried(second, crew, 40)
    with batch.begun() as running, started(second, *other.words) as waiting:
        batch.goes_on("redis")
        batch.goes_on("redis")
        assert other.mine() == [], "both were served"
        batch.end(running)
        other.end(waiting)
    batch.check()
    other.check()


def test_a_broker_that_is_killed_costs_a_pause_and_no_request(
    tmp_path: Path, crew: Crew, own_broker: Broker, kind: str
) -> None:
    batch = Carried(tmp_path, crew, ROWS)
    with batch.begun() as running:
        own_broker.kill()
        own_broker.start()
        batch.goes_on(kind)
        batch.end(running)
    batch.check()


@pytest.mark.one_broker
def test_a_broker_that_forgets_everything_costs_a_pause_and_no_request(
    tmp_path: Path, crew: Crew, own_broker: Broker, kind: str
) -> None:
    batch = Carried(tmp_path, crew, ROWS)
    with batch.begun() as running:
        own_broker.wipe()
        batch.goes_on(kind)
        batch.end(running)
    batch.check()


def test_a_network_that_is_cut_and_mended_loses_nothing(
    tmp_path: Path, crew: Crew, own_broker: Broker, kind: str
) -> None:
    """Before the coordinator it costs a pause; before a worker, what that had in flight."""
    with network_before(own_broker.port) as ours, network_before(own_broker.port) as its:
        crew.restart("left", url=own_broker.at(its.port))
        batch = Carried(tmp_path, crew, 2 * ROWS, url=own_broker.at(ours.port))
        with batch.begun() as running:
            ours.cut()
            wait_until(lambda: all(entry.how for entry in batch.mine()))  # what ran has ended, and nothing is sent
            ours.mend()
            batch.goes_on(kind)
            its.cut()
            wait_until(lambda: lost(tmp_path))
            its.mend()
            batch.goes_on(kind)
            carries(crew, "left")
            batch.end(running)
        batch.check(redone=AT_ONCE)
    crew.restart("left")


@pytest.mark.one_broker
def test_messages_that_are_none_are_dropped_without_a_word_of_them(
    tmp_path: Path, crew: Crew, own_broker: Broker, kind: str
) -> None:
    url = own_broker.url
    batch = Carried(tmp_path, crew, ROWS)
    with batch.begun() as running:
        told = announcements(url, 2)
        ours = f"arriero.c.{told['left']['batch']}.{told['left']['run']}"
        for queue in (told["left"]["queue"], ours):
            put(url, queue, f"{CANARY} {{".encode(), content_type="application/json", content_encoding="utf-8")
            put(
                url,
                queue,
                pickle.dumps(CANARY),
                content_type="application/x-python-serialize",
                content_encoding="binary",
            )
            put(url, queue, {"v": 999, "kind": "work", "start": CANARY}, serializer="json")
            put_task(url, queue, CANARY)
            put_task(url, queue, json.dumps({"v": 999, "kind": "work", "start": [CANARY]}))
            put_task(url, queue, json.dumps({"kind": "work", "session": CANARY, "seq": 1}))
            put_task(url, queue, json.dumps({"kind": "work", "seq": 1, "start": CANARY}))
            put_task(url, queue, {"kind": "work", "start": CANARY})
            put_task(url, queue, json.dumps({"v": 1, "kind": CANARY}))
            put_task(url, queue, {"v": 1, "kind": "work"}, task=f"os.system.{CANARY}")
        batch.goes_on(kind)
        batch.end(running)
        said = running.err
    batch.check()
    for text in (said, *(worker.err for worker in crew.workers.values())):
        assert CANARY not in text
        assert "Traceback" not in text


@pytest.mark.one_broker
def test_a_frame_that_is_delivered_twice_is_carried_once(
    tmp_path: Path, crew: Crew, own_broker: Broker, kind: str
) -> None:
    batch = Carried(tmp_path, crew, ROWS)
    with doubling(own_broker) as doubled, batch.begun() as running:
        batch.goes_on(kind)
        batch.end(running)
    batch.check()
    assert {queue.split(".")[1] for queue in doubled} == {"w", "c"}, "both directions were doubled"
    assert len(doubled) > ROWS / 10


class Ordeal:
    """A long batch whose parts are killed one after another, at instants of chance."""

    def __init__(self, folder: Path, crew: Crew, broker: Broker, rows: int) -> None:
        self.batch = Carried(folder, crew, rows)
        self.crew = crew
        self.broker = broker
        self.chance = chance(broker.kind)
        self.coordinators = 1
        self.redone = 0

    def strike(self, running) -> bool:
        """Kill something and bring it back; whether the coordinator must be started again."""
        what = self.chance.choice(
            ("worker", "worker", "coordinator", "coordinator", "broker", "broker", "wipe", "stop")
        )
        if what == "coordinator":
            self.coordinators += 1
            self.redone += 2 * AT_ONCE
            running.end(signal.SIGKILL)
            return True
        if what == "worker":
            name = self.chance.choice(("left", "right"))
            self.redone += AT_ONCE
            self.crew.restart(name, signal.SIGKILL)
        elif what == "wipe":
            self.broker.wipe()
        else:
            (self.broker.kill if what == "broker" else self.broker.stop)()
            self.broker.start()
        self.batch.goes_on(self.broker.kind)
        return False


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_fifty_kills_at_any_instant_lose_nothing_and_double_nothing(
    tmp_path: Path, crew: Crew, own_broker: Broker
) -> None:
    ordeal = Ordeal(tmp_path, crew, own_broker, rows=20_000)
    kills = 50
    while kills:
        with ordeal.batch.begun() as running:
            dead = False
            while kills and not dead:
                kills -= 1
                dead = ordeal.strike(running)
            if not dead:
                ordeal.batch.end(running)
    if dead:
        with ordeal.batch.begun() as running:
            ordeal.batch.end(running)
    ordeal.batch.check(redone=ordeal.redone, coordinators=ordeal.coordinators)
