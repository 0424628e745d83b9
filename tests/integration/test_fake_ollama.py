"""The fake fleet behaves as real servers were recorded to behave; all that is tested with it stands on this."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_ollama import INSTANT, FakeFleet, FakeGateway, FakeOllama, Fault, Model, Speed, answer, peak_overlap, read_log
from flying import (
    MODEL,
    SESSION,
    attempt,
    ended,
    events_until,
    failure,
    looped,
    outcome,
    outcomes,
    text,
    until_begun,
)
from replay import Replay

from arriero.backends.wire import Backend
from arriero.core.outcome import FailureKind, Observation, Success
from arriero.core.request import Timeouts, Unit
from arriero.engines.address import Address
from arriero.engines.asyncio import AsyncioEngine

pytestmark = pytest.mark.timeout(20)

QUICK = Speed(prefill_tokens_per_s=20_000, decode_tokens_per_s=1000)


@pytest.mark.parametrize("slots", [1, 2, 4])
@looped
async def test_no_more_answers_overlap_than_there_are_slots_and_the_rest_waits_in_order(
    slots: int, dialects: dict[str, Backend]
):
    async with (
        FakeOllama(slots, speed=QUICK) as fake,
        AsyncioEngine({"fake": Address(fake.url)}, dialects, SESSION) as engine,
    ):
        for n in range(12):
            engine.start(attempt(n))
            await fake.until(lambda fake, n=n: len(fake.log.entries) == n + 1)
        ends = ended(await events_until(engine, 12))
        assert all(isinstance(end, Success) for end in ends.values())
        assert peak_overlap(fake.log.entries) == slots
        began = [entry.began or 0.0 for entry in fake.log.entries]
        assert began == sorted(began)


@looped
async def test_the_wait_for_a_slot_shows_only_in_the_total_duration(dialects: dict[str, Backend]):
    async with (
        FakeOllama(1, speed=QUICK) as fake,
        AsyncioEngine({"fake": Address(fake.url)}, dialects, SESSION) as engine,
    ):
        ends = await outcomes(engine, [attempt(n) for n in range(4)])
        last = ends[3]
        assert isinstance(last, Success)
        assert last.timing.queue_s is not None
        assert last.timing.decode_s is not None
        assert last.timing.queue_s > last.timing.decode_s
        first = ends[0]
        assert isinstance(first, Success)
        assert first.timing.queue_s is not None
        assert first.timing.queue_s < 0.02


def unit(*options: tuple[str, int], model: str = MODEL) -> Unit:
    return Unit(model, options)


@looped
async def test_other_runner_options_reload_the_model_and_equal_ones_do_not(dialects: dict[str, Backend]):
    async with (
        FakeOllama(2, speed=INSTANT) as fake,
        AsyncioEngine({"fake": Address(fake.url)}, dialects, SESSION) as engine,
    ):
        for n, context in enumerate([512, 512, 1024, 1024, 512]):
            await outcome(engine, attempt(n, unit=unit(("num_ctx", context))))
        assert len(fake.loader.loads) == 3
        await outcome(engine, attempt(9, backend="openai"))  # cannot name a context: reloads
        assert len(fake.loader.loads) == 4


@looped
async def test_a_swap_waits_for_what_runs_and_loads_once(dialects: dict[str, Backend]):
    async with (
        FakeOllama(2, ["a:1b", "b:1b"], speed=QUICK) as fake,
        AsyncioEngine({"fake": Address(fake.url)}, dialects, SESSION) as engine,
    ):
        attempts = [attempt(n, unit=unit(model="a:1b")) for n in range(4)]
        attempts += [attempt(n, unit=unit(model="b:1b")) for n in range(4, 8)]
        ends = await outcomes(engine, attempts)
        assert all(isinstance(end, Success) for end in ends.values())
        assert fake.loader.loads == ["a:1b", "b:1b"]
        by_model = {m: [e for e in fake.log.entries if e.model == m] for m in ("a:1b", "b:1b")}
        assert max(e.ended or 0.0 for e in by_model["a:1b"]) <= min(e.began or 0.0 for e in by_model["b:1b"])


@looped
async def test_preload_lists_the_model_and_unload_frees_it(dialects: dict[str, Backend]):
    async with (
        FakeOllama(2, speed=INSTANT) as fake,
        AsyncioEngine({"fake": Address(fake.url)}, dialects, SESSION) as engine,
    ):

        async def resident(number: int) -> list[str]:
            asked = attempt(number, purpose="discover", subject="resident", request=None)
            seen = await outcome(engine, asked)
            assert isinstance(seen, Observation)
            return [model.name for model in seen.models]

        assert await resident(1) == []
        loaded = await outcome(engine, attempt(2, purpose="preload", request=None))
        assert isinstance(loaded, Success)
        assert await resident(3) == [MODEL]
        await outcome(engine, attempt(4, purpose="unload", request=None))
        assert await resident(5) == []
        purposes = [entry.purpose for entry in fake.log.entries]
        assert purposes == ["discover", "preload", "discover", "unload", "discover"]


@looped
async def test_hanging_up_on_the_loading_request_aborts_the_load(dialects: dict[str, Backend]):
    slow = Speed(prefill_tokens_per_s=20_000, decode_tokens_per_s=2000, load_s=5.0)
    async with (
        FakeOllama(2, speed=slow) as fake,
        AsyncioEngine({"fake": Address(fake.url)}, dialects, SESSION) as engine,
    ):
        engine.start(attempt(1, purpose="preload", request=None))
        await fake.until(lambda fake: fake.in_flight == 1)
        engine.cancel(1)
        await events_until(engine, 1)
        await fake.until(lambda fake: fake.in_flight == 0)
        await asyncio.sleep(0)
        assert (fake.loader.loaded, fake.loader.aborted_loads) == ({}, 1)


@pytest.mark.parametrize("version", ["0.33.0", "0.24.0"])
@looped
async def test_a_cancelled_prefill_holds_its_slot_for_a_while(version: str, dialects: dict[str, Backend]):
    slow = Speed(prefill_tokens_per_s=100, decode_tokens_per_s=2000)
    async with (
        FakeOllama(1, version=version, speed=slow) as fake,
        AsyncioEngine({"fake": Address(fake.url)}, dialects, SESSION) as engine,
    ):
        engine.start(attempt(1, prompt="x" * 360))  # 100 tokens: 1 s
        await fake.until(lambda fake: fake.in_flight == 1)
        engine.cancel(1)
        (end,) = await events_until(engine, 1)
        engine.start(attempt(2))
        began = (await until_begun(engine))[0]
        held_s = began.at - end.at - 0.13  # its own prefill
        assert held_s > 0.9 if version == "0.24.0" else 0.4 < held_s < 0.9
        await events_until(engine, 1)


@looped
async def test_a_frozen_model_leaves_listings_alive(dialects: dict[str, Backend]):
    async with (
        FakeOllama(1, faults=[Fault("hang")]) as fake,
        AsyncioEngine({"fake": Address(fake.url)}, dialects, SESSION, time_scale=20.0) as engine,
    ):
        asked = attempt(1, purpose="discover", subject="version", request=None)
        assert isinstance(await outcome(engine, asked), Observation)
        hung = attempt(2, timeouts=Timeouts(2.0, 2.0, 2.0))
        assert failure(await outcome(engine, hung)).kind is FailureKind.TIMEOUT


@looped
async def test_the_servers_log_has_one_completed_entry_for_each_answer(dialects: dict[str, Backend], tmp_path: Path):
    logs = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    async with FakeFleet([FakeOllama(2, speed=QUICK, name=path.stem, log=path) for path in logs]) as fleet:
        book = {server.name: Address(server.url) for server in fleet.servers}
        async with AsyncioEngine(book, dialects, SESSION) as engine:
            ends = await outcomes(engine, [attempt(n, instance="ab"[n % 2]) for n in range(20)])
    entries = [entry for path in logs for entry in read_log(path)]
    marks = sorted(entry.attempt for entry in entries if entry.how == "completed")
    assert marks == sorted(f"{SESSION}-{n}" for n in ends)
    assert {e.attempt: answer(f"prompt {e.attempt.rpartition('-')[2]}")[:12] for e in entries} == {
        e.attempt: e.prompt for e in entries
    }


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("timings", [True, False])
@looped
async def test_a_gateway_serves_generate_alone_and_deals_in_turn(
    streams: bool, timings: bool, dialects: dict[str, Backend]
):
    hidden = [FakeOllama(2, speed=INSTANT, name=name) for name in "abc"]
    async with (
        FakeGateway(hidden, streams=streams, timings=timings) as gateway,
        AsyncioEngine({"fake": Address(gateway.url)}, dialects, SESSION) as engine,
    ):
        ends = await outcomes(engine, [attempt(n, endpoint="/api/generate") for n in range(9)])
        assert {n: text(end) for n, end in ends.items()} == {n: answer(f"prompt {n}") for n in range(9)}
        assert all((end.timing.total_s is not None) == timings for end in ends.values() if isinstance(end, Success))
        assert [len(server.log.requests("completed")) for server in hidden] == [3, 3, 3]
        for number, asked in enumerate(("version", "models", "resident"), 20):
            seen = await outcome(engine, attempt(number, purpose="discover", subject=asked, request=None))
            assert failure(seen).status == 404


@looped
async def test_a_gateway_hides_errors_in_a_200_and_drops_truncate(dialects: dict[str, Backend]):
    hidden = FakeOllama(1, speed=INSTANT, context=256)
    async with (
        FakeGateway([hidden]) as gateway,
        AsyncioEngine({"fake": Address(gateway.url)}, dialects, SESSION) as engine,
    ):
        missing = attempt(1, endpoint="/api/generate", unit=unit(model="nope:1b"))
        assert failure(await outcome(engine, missing)).status == 200
        assert hidden.log.entries[-1].status == 404
        long = attempt(2, endpoint="/api/generate", prompt="x" * 4000)
        cut = await outcome(engine, long)
        assert isinstance(cut, Success)  # the server cut it in silence
        assert cut.usage.prompt_tokens == 128


def fleet_process(tmp_path: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """A fleet in a process of its own; it ends with its standard input."""
    ports = tmp_path / "ports.json"
    folder = Path(__file__).parent.parent / "fake"
    command = [sys.executable, "-m", "fake_ollama", "--port-file", ports, "--log", tmp_path / "log", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process, json.loads(ports.read_text(encoding="utf-8"))


@looped
async def test_a_fleet_process_serves_logs_takes_orders_and_ends_with_its_parent(
    dialects: dict[str, Backend], tmp_path: Path
):
    process, found = fleet_process(tmp_path, "--instant", "--slots", "1", "2")
    try:
        book = {instance["name"]: Address(instance["url"]) for instance in found["instances"]}
        names: Sequence[str] = list(book)
        async with AsyncioEngine(book, dialects, SESSION) as engine:
            ends = await outcomes(engine, [attempt(n, instance=names[n % 2]) for n in range(6)])
            assert all(isinstance(end, Success) for end in ends.values())
        order = {
            "method": "POST",
            "path": "/_fake",
            "body": {"faults": [{"kind": "html", "at": [6]}, {"kind": "html"}]},
        }
        async with AsyncioEngine(book, {**dialects, "replay": Replay(order)}, SESSION) as engine:
            await outcome(engine, attempt(7, instance=names[0], backend="replay"))
            assert failure(await outcome(engine, attempt(8, instance=names[0]))).kind is FailureKind.BAD_REPLY
        entries = [entry for instance in found["instances"] for entry in read_log(Path(instance["log"]))]
        assert sum(entry.how == "completed" for entry in entries) == 6
    finally:
        process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_model_can_be_told_how_long_its_answers_are():
    assert len(answer("x", 40).split()) == 40
    assert Model(MODEL, answer_tokens=40).answer_tokens == 40


def test_a_fault_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no fault is named"):
        Fault("nonsense")
