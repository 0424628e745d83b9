"""Storms over a whole batch: every server fails for a while, restarts as another, has no memory, is slow, loses its model."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
from fake_ollama import INSTANT, Fault, Speed
from fake_ollama.log import Entry
from fake_ollama.runner import Model
from running import (
    Watched,
    arriero,
    assert_answered,
    assert_verified,
    fake_fleet,
    prompts,
    read_results,
    started,
    write_prompts,
)

from arriero.core.policies.health import EJECT_SCORE
from arriero.journal.reader import JournalReader

pytestmark = pytest.mark.timeout(30)

ASKED = prompts(40)
SLOW = Speed(decode_tokens_per_s=150.0)
NO_ROOM = "model requires more system memory (9.8 GiB) than is available (3.1 GiB)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path, ASKED)
    return tmp_path


def failed_attempts(folder: Path) -> dict[str, int]:
    """Attempts that failed on the way, by kind."""
    with JournalReader(folder / "results.json.journal") as reader:
        return reader.attempt_kinds()


def of(server: Watched, purpose: str, *, since: int = 0) -> list[Entry]:
    """What a server was asked for a purpose, in order."""
    return [entry for entry in list(server.log.entries)[since:] if entry.purpose == purpose]


def strange(url: str, **body: object) -> None:
    """Somebody else asks a server for something and waits for its answer."""
    sent = json.dumps({"stream": False, **body}).encode()
    with urllib.request.urlopen(f"{url}/api/generate", sent, timeout=10) as reply:  # noqa: S310
        assert json.load(reply)["done"]


def test_a_storm_of_500s_on_every_instance_burns_few_attempts_and_is_waited_out(folder: Path) -> None:
    with fake_fleet(2, 2, speed=SLOW) as fleet, started(folder, "run", "prompts.txt", *fleet.flags) as running:
        fleet.until_completed(6)
        for server in fleet.servers:
            server.script.faults = [Fault("status")]
        fleet.until(lambda _: all(any(probe.fault for probe in of(one, "probe")) for one in fleet.servers))
        stormy = [entry for entry in fleet.requests() if entry.fault]
        fleet.calm()
        done = running.end()

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    hit = len({entry.prompt for entry in stormy})
    assert 2 <= hit <= len(stormy) <= 3 * hit, "a row that failed waits, an instance that failed goes out"
    assert failed_attempts(folder).keys() == {"server_error"}
    assert_verified(folder)


def test_an_instance_that_returns_with_another_version_gets_one_request_first_and_nothing_fails(folder: Path) -> None:
    with fake_fleet(4, 4, speed=SLOW) as fleet:
        changed = fleet.servers[1]
        with started(folder, "run", "prompts.txt", *fleet.flags) as running:
            fleet.until_completed(8)
            for server in fleet.servers:
                server.speed = Speed(decode_tokens_per_s=20.0)  # it must come back before the other has done it all
            fleet.do(changed.stop())
            running.until_said("ejected")
            changed.version, changed.old = "0.24.0", True
            before = len(changed.log.entries)
            fleet.do(changed.start())
            fleet.until(lambda _: len(of(changed, "request", since=before)) >= 2)
            first, second = of(changed, "request", since=before)[:2]
            fleet.calm()
            done = running.end()

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    assert of(changed, "probe", since=before)[0].started < first.started, "a generation has proved it"
    assert first.ended is not None
    assert first.ended <= second.started, "one request first"
    assert failed_attempts(folder).keys() <= {"unreachable"}
    assert_verified(folder)


def test_an_instance_that_returns_with_another_build_of_the_model_is_told_of(folder: Path) -> None:
    with fake_fleet(2, speed=SLOW) as fleet, started(folder, "run", "prompts.txt", *fleet.flags) as running:
        (server,) = fleet.servers
        fleet.until_completed(6)
        fleet.do(server.stop())
        running.until_said("ejected")
        server.models["mistral:7b"] = Model("mistral:7b", build="pulled anew")
        fleet.do(server.start())
        fleet.calm()
        done = running.end()

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    assert "came back with another build of the model" in done.err
    assert_verified(folder)


def test_an_instance_that_is_eight_times_slower_gets_less_of_the_work(folder: Path) -> None:
    each = [{"speed": Speed(decode_tokens_per_s=speed)} for speed in (320.0, 40.0)]
    with fake_fleet(2, 2, each=each) as fleet:
        done = arriero(folder, "run", "prompts.txt", *fleet.flags)

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    quick, slow = (len(of(server, "request")) for server in fleet.servers)
    assert 1 <= slow <= quick / 3, f"the quick one had {quick}, the slow one {slow}"
    assert_verified(folder)


@pytest.mark.parametrize("when", ["from-the-start", "in-the-middle"])
def test_an_instance_without_the_memory_for_the_model_is_left_out_and_no_row_fails(folder: Path, when: str) -> None:
    with fake_fleet(2, 2, speed=SLOW) as fleet:
        full = fleet.servers[0]
        if when == "from-the-start":
            full.loader.no_room = NO_ROOM
        with started(folder, "run", "prompts.txt", *fleet.flags) as running:
            if when == "in-the-middle":
                fleet.until_completed(8)
                full.loader.no_room = NO_ROOM
                fleet.loop.call_soon_threadsafe(full.crash_model)
            running.until_said("ejected: server_error")
            fleet.servers[1].speed = INSTANT
            done = running.end()

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    refused = [entry for entry in of(full, "request") if entry.status == 500]
    assert len(refused) <= EJECT_SCORE + 4
    assert full.loader.loads == (["mistral:7b"] if when == "in-the-middle" else [])
    assert_verified(folder)


@pytest.mark.parametrize(
    ("asked", "loads"),
    [({"model": "mistral:7b", "keep_alive": 0}, []), ({"model": "llama3:8b", "prompt": "Hello"}, ["llama3:8b"])],
    ids=["unloaded", "driven-out"],
)
def test_a_model_that_others_take_away_is_loaded_again_and_no_attempt_fails(
    folder: Path, asked: dict[str, object], loads: list[str]
) -> None:
    with fake_fleet(2, models=("mistral:7b", "llama3:8b"), speed=SLOW) as fleet:
        (server,) = fleet.servers
        words = ("-m", "mistral:7b", "-c", "1")  # between two requests the model is idle, and goes
        with started(folder, "run", "prompts.txt", *words, *fleet.flags) as running:
            fleet.until_completed(4)
            strange(server.url, **asked)
            fleet.until(lambda _: server.loader.loads[1:] == [*loads, "mistral:7b"])
            fleet.calm()
            done = running.end()

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    assert failed_attempts(folder) == {}
    assert_verified(folder)
