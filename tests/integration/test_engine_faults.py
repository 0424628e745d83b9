"""Every fault a server can show, in both dialects: the failure it becomes, and the instance it leaves behind."""

from __future__ import annotations

import pytest
from fake_ollama import INSTANT, FakeOllama, Fault, Speed, answer
from flying import SESSION, attempt, ended, events_until, failure, looped, outcome, outcomes, text, until_begun
from socket_world import HttpEngine

from arriero.backends.wire import Backend
from arriero.core.outcome import FailureKind, Success
from arriero.core.request import Timeouts
from arriero.engines.address import Address
from arriero.engines.asyncio import AsyncioEngine

pytestmark = pytest.mark.timeout(20)

K = FailureKind
SHORT = Timeouts(first_byte_s=4.0, idle_s=4.0, total_s=8.0)
LONG = Timeouts(first_byte_s=1000.0, idle_s=1000.0, total_s=1000.0)  # engine seconds of a scaled clock

FAULTS = [
    (Fault("html"), K.BAD_REPLY),
    (Fault("half_json"), K.BAD_REPLY),
    (Fault("empty"), K.BAD_REPLY),
    (Fault("bad_utf8"), K.BAD_REPLY),
    (Fault("not_http"), K.BAD_REPLY),
    (Fault("big_header"), K.BAD_REPLY),
    (Fault("bad_chunk"), K.BAD_REPLY),
    (Fault("gzip_bomb"), K.BAD_REPLY),
    (Fault("endless"), K.BAD_REPLY),
    (Fault("error_200"), K.BAD_REPLY),
    (Fault("wrong_model"), K.BAD_REPLY),
    (Fault("no_done"), K.BAD_REPLY),
    (Fault("short_body"), K.UNREACHABLE),
    (Fault("reset"), K.UNREACHABLE),
    (Fault("close"), K.UNREACHABLE),
    (Fault("reset_mid"), K.UNREACHABLE),
    (Fault("close_mid"), K.UNREACHABLE),
    (Fault("kill"), K.UNREACHABLE),
    (Fault("silent"), K.TIMEOUT),
    (Fault("hang"), K.TIMEOUT),
    (Fault("hang_mid"), K.TIMEOUT),
    (Fault("drip"), K.TIMEOUT),
    (Fault("drip_header"), K.TIMEOUT),
    (Fault("status", status=429, retry_after="7"), K.OVERLOADED),
    (Fault("status", status=503), K.OVERLOADED),
    (Fault("status", status=500), K.SERVER_ERROR),
    (Fault("status", status=401), K.UNAUTHORIZED),
    (Fault("status", status=403), K.UNAUTHORIZED),
    (Fault("redirect", location="http://203.0.113.9/"), K.REDIRECTED),
    (Fault("status", status=400), K.REJECTED),
]


def name(case: object) -> str:
    return f"{case.kind}-{case.status}" if isinstance(case, Fault) else str(case)


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=name)
@looped
async def test_a_fault_becomes_its_kind(
    fault: Fault, kind: FailureKind, dialect: str, dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    async with (
        FakeOllama(speed=INSTANT, faults=[fault]) as fake,
        engine_class({"fake": Address(fake.url)}, dialects, SESSION, time_scale=20.0) as engine,
    ):
        patience = SHORT if kind is FailureKind.TIMEOUT else LONG
        end = failure(await outcome(engine, attempt(1, backend=dialect, timeouts=patience)))
        assert end.kind is kind, end
        assert end.latency_s > 0


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
@looped
async def test_after_each_fault_in_turn_the_next_answer_is_whole(
    dialect: str, dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    survivable = [fault for fault, _ in FAULTS if fault.kind != "kill"]
    faults = [Fault(fault.kind, at=(2 * place,), status=fault.status) for place, fault in enumerate(survivable)]
    async with (
        FakeOllama(4, speed=INSTANT, faults=faults) as fake,
        engine_class({"fake": Address(fake.url)}, dialects, SESSION, time_scale=50.0) as engine,
    ):
        for place in range(len(faults)):
            failure(await outcome(engine, attempt(2 * place, backend=dialect, timeouts=SHORT)))
            good = attempt(2 * place + 1, backend=dialect, timeouts=LONG)
            assert text(await outcome(engine, good)) == answer(f"prompt {good.id}"), faults[place]


@looped
async def test_retry_after_reaches_the_outcome(dialects: dict[str, Backend], engine_class: type[HttpEngine]):
    async with (
        FakeOllama(speed=INSTANT, faults=[Fault("status", status=429, retry_after="7")]) as fake,
        engine_class({"fake": Address(fake.url)}, dialects, SESSION) as engine,
    ):
        assert failure(await outcome(engine, attempt(1))).retry_after_s == 7.0


@pytest.mark.parametrize("version", ["0.33.0", "0.24.0"])
@looped
async def test_a_dying_model_process_fails_all_that_runs_and_waits_and_the_next_answer_is_whole(
    version: str, dialects: dict[str, Backend]
):
    speed = Speed(prefill_tokens_per_s=20_000, decode_tokens_per_s=200)
    crash = Fault("crash", contains="poison")
    async with (
        FakeOllama(2, version=version, speed=speed, faults=[crash]) as fake,
        AsyncioEngine({"fake": Address(fake.url)}, dialects, SESSION) as engine,  # sends in the order of the starts
    ):
        attempts = [attempt(n, prompt=f"poison {n}" if n == 0 else "") for n in range(5)]
        ends = await outcomes(engine, attempts)
        kinds = {failure(end).kind for end in ends.values()}
        assert kinds == {FailureKind.SERVER_ERROR}
        assert all(failure(end).crashed for end in ends.values())
        assert text(await outcome(engine, attempt(9))) == answer("prompt 9")
        assert fake.loader.loads == ["mistral:7b"] * 2


@looped
async def test_a_server_that_goes_down_fails_its_attempts_and_serves_again_on_the_same_address(
    dialects: dict[str, Backend],
    engine_class: type[HttpEngine],
):
    async with (
        FakeOllama(2, faults=[Fault("hang_mid", times=2)]) as fake,
        engine_class({"fake": Address(fake.url)}, dialects, SESSION) as engine,
    ):
        for n in range(3):
            engine.start(attempt(n))
        await until_begun(engine, 2)
        await fake.until(lambda fake: fake.in_flight == 3)
        await fake.stop()
        ends = ended(await events_until(engine, 3))
        assert {failure(end).kind for end in ends.values()} == {FailureKind.UNREACHABLE}
        assert "refused" in failure(await outcome(engine, attempt(3))).detail
        await fake.start()
        assert text(await outcome(engine, attempt(4))) == answer("prompt 4")
        assert [entry.how for entry in fake.log.requests()] == ["stopped", "stopped", "stopped", "completed"]


@looped
async def test_a_busy_server_is_overloaded_not_broken(dialects: dict[str, Backend], engine_class: type[HttpEngine]):
    slow_load = Speed(prefill_tokens_per_s=20_000, decode_tokens_per_s=2000, load_s=0.2)
    async with (
        FakeOllama(4, speed=slow_load, max_queue=2) as fake,
        engine_class({"fake": Address(fake.url)}, dialects, SESSION) as engine,
    ):
        ends = await outcomes(engine, [attempt(n) for n in range(10)])
        served = [end for end in ends.values() if isinstance(end, Success)]
        refused = [failure(end).kind for end in ends.values() if not isinstance(end, Success)]
        assert len(served) == 3  # one that loads and two that wait, as recorded
        assert set(refused) == {FailureKind.OVERLOADED}


@looped
async def test_missing_timings_still_make_an_answer(dialects: dict[str, Backend], engine_class: type[HttpEngine]):
    async with (
        FakeOllama(speed=INSTANT, faults=[Fault("no_timings")]) as fake,
        engine_class({"fake": Address(fake.url)}, dialects, SESSION) as engine,
    ):
        end = await outcome(engine, attempt(1))
        assert text(end) == answer("prompt 1")
        assert isinstance(end, Success)
        assert end.timing.total_s is None
