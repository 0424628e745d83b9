"""What every engine promises to the loop that drives it."""

from __future__ import annotations

import threading
from math import inf

import pytest
from every_engine import ENGINES, Build
from fake_ollama import answer
from flying import attempt, ended, events_until, failure, looped, outcome, outcomes, text, until_begun

from arriero.core.events import AttemptBegan, AttemptEnded, Drained, InstanceLeft, Unpaused
from arriero.core.outcome import FailureKind, Success
from arriero.core.request import Attempt, Content, Timeouts

pytestmark = pytest.mark.timeout(20)


@pytest.fixture(params=ENGINES.values(), ids=ENGINES)
def world(request: pytest.FixtureRequest) -> Build:
    return request.param


@looped
async def test_an_attempt_begins_and_then_ends_once_with_its_own_answer(world: Build):
    async with world(instant=False) as here:
        here.engine.start(attempt(1, prompt="hello"))
        events = await events_until(here.engine, 1)
        began, end = events
        assert isinstance(began, AttemptBegan)
        assert isinstance(end, AttemptEnded)
        assert began.at < end.at
        assert text(end.outcome) == answer("hello")
        assert isinstance(end.outcome, Success)
        timing = end.outcome.timing
        assert timing.ttft_s is not None
        assert 0 < timing.ttft_s < timing.latency_s


@looped
async def test_an_unstreamed_attempt_ends_once_and_never_begins(world: Build):
    async with world() as here:
        here.engine.start(attempt(1, prompt="hello", stream=False))
        (end,) = await events_until(here.engine, 1)
        assert isinstance(end, AttemptEnded)
        assert text(end.outcome) == answer("hello")


@looped
async def test_more_attempts_than_slots_all_end_once_each_with_the_answer_to_its_prompt(world: Build):
    async with world(slots=3) as here:
        attempts = [attempt(n, backend=("ollama", "openai")[n % 2]) for n in range(60)]
        for one in attempts:
            here.engine.start(one)
        events = await events_until(here.engine, 60)
        assert {n: text(o) for n, o in ended(events).items()} == {n: answer(f"prompt {n}") for n in range(60)}
        began = [event.attempt for event in events if isinstance(event, AttemptBegan)]
        assert sorted(began) == list(range(60))
        order = {(type(event), event.attempt): place for place, event in enumerate(events)}
        assert all(order[AttemptBegan, n] < order[AttemptEnded, n] for n in range(60))


@looped
async def test_events_carry_times_that_never_go_back(world: Build):
    async with world(slots=2, instant=False) as here:
        before = here.engine.now()
        for n in range(8):
            here.engine.start(attempt(n))
        times = [event.at for event in await events_until(here.engine, 8)]
        assert times == sorted(times)
        assert before <= times[0] <= times[-1] <= here.engine.now()


@looped
async def test_cancel_ends_a_running_attempt_as_cancelled_and_frees_its_slot(world: Build):
    async with world(slots=1, behaviour="hang_mid") as here:
        here.engine.start(attempt(1))
        await until_begun(here.engine)
        here.engine.cancel(1)
        found = ended(await events_until(here.engine, 1))
        assert failure(found[1]).kind is FailureKind.CANCELLED
        here.engine.start(attempt(2))
        await until_begun(here.engine)  # the only slot was free again
        here.engine.cancel(2)
        await events_until(here.engine, 1)


@looped
async def test_cancel_ends_an_attempt_that_waits_for_a_slot(world: Build):
    async with world(slots=1, behaviour="hang_mid") as here:
        here.engine.start(attempt(1))
        await until_begun(here.engine)
        here.engine.start(attempt(2))
        await here.until_there(2)
        here.engine.cancel(2)
        assert failure(ended(await events_until(here.engine, 1))[2]).kind is FailureKind.CANCELLED


@looped
async def test_cancel_right_after_start_ends_the_attempt_once(world: Build):
    async with world() as here:
        here.engine.start(attempt(1))
        here.engine.cancel(1)
        here.engine.cancel(1)
        assert failure(ended(await events_until(here.engine, 1))[1]).kind is FailureKind.CANCELLED
        assert await here.engine.wait(here.engine.now() + 0.05) == []


@looped
async def test_cancel_of_an_unknown_or_ended_attempt_changes_nothing(world: Build):
    async with world() as here:
        await outcome(here.engine, attempt(1))
        here.engine.cancel(1)
        here.engine.cancel(99)
        assert await here.engine.wait(here.engine.now() + 0.05) == []


@pytest.mark.parametrize(
    ("behaviour", "timeouts", "words"),
    [
        ("hang", Timeouts(3.0, 60.0, 60.0), "no first byte after 3 s"),
        ("hang_mid", Timeouts(60.0, 3.0, 60.0), "silent for 3 s"),
        ("drip", Timeouts(60.0, 60.0, 5.0), "not finished after 5 s"),
        ("drip_header", Timeouts(4.0, 60.0, 60.0), "no first byte after 4 s"),
    ],
)
@looped
async def test_each_deadline_ends_the_attempt_as_timeout(world: Build, behaviour: str, timeouts: Timeouts, words: str):
    async with world(behaviour=behaviour, time_scale=20.0) as here:
        began = here.engine.now()
        end = failure(await outcome(here.engine, attempt(1, timeouts=timeouts)))
        took = here.engine.now() - began
        patience = min(timeouts.first_byte_s, timeouts.idle_s, timeouts.total_s)
        assert end.kind is FailureKind.TIMEOUT
        assert words in end.detail
        assert patience <= took < patience + 40.0  # at most two seconds of real time late
        assert end.latency_s >= patience


@looped
async def test_an_answer_that_keeps_coming_outlives_first_byte_and_idle_deadlines(world: Build):
    async with world(instant=False, time_scale=1.0) as here:
        slow = attempt(1, timeouts=Timeouts(first_byte_s=2.0, idle_s=2.0, total_s=60.0))
        assert text(await outcome(here.engine, slow)) == answer("prompt 1")


@looped
async def test_wait_comes_back_empty_at_its_time(world: Build):
    async with world(time_scale=10.0) as here:
        until = here.engine.now() + 1.0
        assert await here.engine.wait(until) == []
        assert until <= here.engine.now() < until + 10.0


@looped
async def test_wait_for_a_time_that_is_past_lets_attempts_go_on(world: Build):
    async with world() as here:
        here.engine.start(attempt(1))
        events = []
        while not ended(events):
            events.extend(await here.engine.wait(here.engine.now() - 1.0))
        assert text(ended(events)[1]) == answer("prompt 1")


@looped
async def test_post_from_another_thread_wakes_wait_and_keeps_order(world: Build):
    async with world() as here:

        def post() -> None:
            here.engine.post(Drained())
            here.engine.post(Unpaused())

        thread = threading.Timer(0.02, post)
        thread.start()
        events = []
        while len(events) < 2:
            events.extend(await here.engine.wait(inf))
        thread.join()
        assert events == [Drained(), Unpaused()]


@looped
async def test_an_instance_that_leaves_takes_its_attempts_with_it_as_lost(world: Build):
    async with world(behaviour="hang_mid") as here:
        here.engine.start(attempt(1))
        await until_begun(here.engine)
        here.engine.post(InstanceLeft("fake"))
        assert failure(ended(await events_until(here.engine, 1))[1]).kind is FailureKind.LOST


@looped
async def test_closing_ends_every_attempt_once_and_wait_still_hands_the_ends_out(world: Build):
    async with world(slots=2, behaviour="hang_mid") as here:
        for n in range(5):
            here.engine.start(attempt(n))
        await until_begun(here.engine, 2)
        here.engine.start(attempt(5))  # never got to run
        await here.engine.aclose()
        found = ended(await here.engine.wait(inf))
        assert sorted(found) == list(range(6))
        assert {failure(end).kind for end in found.values()} == {FailureKind.CANCELLED}


@looped
async def test_an_attempt_started_after_closing_ends_as_cancelled(world: Build):
    async with world() as here:
        await here.engine.aclose()
        assert failure(await outcome(here.engine, attempt(1))).kind is FailureKind.CANCELLED


@looped
async def test_an_instance_nobody_knows_is_unreachable_not_an_error(world: Build):
    async with world() as here:
        assert failure(await outcome(here.engine, attempt(1, instance="gone"))).kind is FailureKind.UNREACHABLE


@looped
async def test_what_the_dialect_cannot_say_ends_as_unsupported(world: Build):
    async with world() as here:
        embed = attempt(1, backend="openai", content=Content(prompt="x", endpoint="/api/embed"))
        assert failure(await outcome(here.engine, embed)).kind is FailureKind.UNSUPPORTED


@looped
async def test_a_failing_instance_leaves_the_engine_fit_for_the_next_attempt(world: Build):
    async with world(behaviour="reset", times=20) as here:
        ends = await outcomes(here.engine, [attempt(n) for n in range(20)])
        assert {failure(end).kind for end in ends.values()} == {FailureKind.UNREACHABLE}
        assert text(await outcome(here.engine, attempt(20))) == answer("prompt 20")


def never_ended(attempts: list[Attempt], found: dict[int, object]) -> list[int]:
    return [one.id for one in attempts if one.id not in found]


@looped
async def test_a_storm_of_starts_and_cancels_leaves_no_attempt_without_its_one_end(world: Build):
    async with world(slots=2, instant=False) as here:
        attempts = [attempt(n) for n in range(80)]
        events = []
        for place, one in enumerate(attempts):
            here.engine.start(one)
            if place % 3 == 0:
                here.engine.cancel(attempts[place // 2].id)
            if place % 7 == 0:
                events.extend(await here.engine.wait(here.engine.now() + 0.002))
        while len(ended(events)) < 80:
            events.extend(await here.engine.wait(inf))
        assert never_ended(attempts, ended(events)) == []
        assert await here.engine.wait(here.engine.now() + 0.02) == []
