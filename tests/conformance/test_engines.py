"""What every engine promises to the loop that drives it, as ``Engine`` in ``drive.py`` says it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from math import inf

import flying
import pytest
from every_engine import ENGINES, Build, World
from flying import ended, events_until, failure, looped, outcome, outcomes, text, until_begun
from staging import Play

from arriero.core.events import AttemptBegan, AttemptEnded, Drained, Event, InputReady, InstanceLeft, Unpaused
from arriero.core.outcome import Failure, FailureKind, Observation, Success
from arriero.core.request import Attempt, Timeouts

pytestmark = pytest.mark.timeout(20)

NEVER = Timeouts(inf, inf, inf)
NEARLY = 0.9
"""A server's timer may go off early by its grain."""

attempt = partial(flying.attempt, timeouts=NEVER)


@pytest.fixture(params=ENGINES.values(), ids=ENGINES)
def world(request: pytest.FixtureRequest) -> Build:
    return request.param


def begun(events: Sequence[Event]) -> list[int]:
    """Attempts that have begun, as often as was told."""
    return [event.attempt for event in events if isinstance(event, AttemptBegan)]


async def the_end(here: World, one: Attempt) -> Failure:
    """The failure that ends this attempt, the only one in flight."""
    return failure(ended(await events_until(here.engine, 1))[one.id])


async def nothing_more(here: World) -> None:
    """Another attempt runs from its start to its end, and is all that is heard of."""
    here.engine.start(attempt(9999, instance="spare"))
    events = await events_until(here.engine, 1)
    assert [type(event) for event in events] == [AttemptBegan, AttemptEnded], events
    assert {event.attempt for event in events} == {9999}


# One attempt.


@looped
async def test_an_attempt_begins_with_its_first_token_and_ends_once_with_its_own_answer(world: Build):
    async with world(fake=Play(first_s=4.0, token_s=1.0), tokens=5) as here:
        one, started = attempt(1, prompt="hello"), here.engine.now()
        here.engine.start(one)
        began, end = await events_until(here.engine, 1)
        assert isinstance(began, AttemptBegan)
        assert isinstance(end, AttemptEnded)
        assert isinstance(end.outcome, Success)
        assert (end.outcome.text, end.outcome.usage.output_tokens) == (here.answer(one), 5)
        timing = end.outcome.timing
        assert timing.ttft_s is not None
        assert 4.0 * NEARLY <= timing.ttft_s <= began.at - started
        assert 8.0 * NEARLY <= timing.latency_s <= end.at - started
        assert began.at < end.at
        await nothing_more(here)


@looped
async def test_an_answer_of_a_single_token_begins_before_it_ends(world: Build):
    async with world(tokens=1) as here:
        here.engine.start(attempt(1))
        began, end = await events_until(here.engine, 1)
        assert isinstance(began, AttemptBegan)
        assert isinstance(end, AttemptEnded)
        assert began.at <= end.at


@looped
async def test_an_attempt_whose_server_says_no_token_never_begins(world: Build):
    async with world(fake=Play("silent")) as here:
        one = attempt(1)
        here.engine.start(one)
        await here.until_there(1)
        assert await here.engine.wait(here.engine.now() + 1.0) == []
        here.engine.cancel(1)
        events = await events_until(here.engine, 1)
        assert begun(events) == []
        assert not failure(ended(events)[1]).began


@looped
async def test_an_unstreamed_attempt_ends_once_and_never_begins(world: Build):
    async with world(fake=Play(first_s=1.0)) as here:
        one = attempt(1, stream=False)
        here.engine.start(one)
        (end,) = await events_until(here.engine, 1)
        assert isinstance(end, AttemptEnded)
        assert text(end.outcome) == here.answer(one)
        assert isinstance(end.outcome, Success)
        assert end.outcome.timing.ttft_s is None
        await nothing_more(here)


@pytest.mark.parametrize(
    ("purpose", "subject", "says"),
    [
        ("preload", "", "load"),
        ("unload", "", "unload"),
        ("probe", "", "length"),
        ("discover", "version", None),
        ("discover", "models", None),
    ],
)
@looped
async def test_every_use_of_an_instance_is_an_attempt_that_ends_once(
    world: Build, purpose: str, subject: str, says: str | None
):
    async with world() as here:
        unit = None if purpose == "discover" else attempt(0).unit
        use = attempt(1, purpose=purpose, subject=subject, unit=unit, request=None, max_tokens=1)
        end = await outcome(here.engine, use)
        if says is None:
            assert isinstance(end, Observation)
            assert (end.subject, bool(end.version or end.models)) == (subject, True)
        else:
            assert isinstance(end, Success)
            assert (end.finish_reason in (says, "stop"), end.text == "" or purpose == "probe") == (True, True)
        await nothing_more(here)


# Many attempts.


@looped
async def test_more_attempts_than_slots_all_end_once_each_with_the_answer_to_its_prompt(world: Build):
    async with world(fake=Play(slots=3)) as here:
        attempts = [attempt(n, backend=("ollama", "openai")[n % 2]) for n in range(60)]
        for one in attempts:
            here.engine.start(one)
        events = await events_until(here.engine, 60)
        assert {n: text(end) for n, end in ended(events).items()} == {one.id: here.answer(one) for one in attempts}
        assert sorted(begun(events)) == list(range(60))
        place = {(type(event), event.attempt): number for number, event in enumerate(events)}
        assert all(place[AttemptBegan, n] < place[AttemptEnded, n] for n in range(60))
        await nothing_more(here)


@looped
async def test_instances_in_trouble_keep_the_attempts_elsewhere_from_nothing(world: Build):
    plays = {"a": Play(slots=2), "b": Play("silent", slots=20), "c": Play(slots=2), "d": Play()}
    async with world(**plays) as here:
        here.down("d")
        attempts = [attempt(n, instance="abcd"[n % 4]) for n in range(48)]
        for one in attempts:
            here.engine.start(one)
        found = ended(await events_until(here.engine, 36))
        for one in attempts:
            if one.instance in "ac":
                assert text(found[one.id]) == here.answer(one)
            elif one.instance == "d":
                assert failure(found[one.id]).kind is FailureKind.UNREACHABLE
            else:
                assert one.id not in found
                here.engine.cancel(one.id)
        found = ended(await events_until(here.engine, 12))
        assert sorted(found) == [one.id for one in attempts if one.instance == "b"]
        await nothing_more(here)


@looped
async def test_events_carry_times_that_never_go_back(world: Build):
    async with world(a=Play(slots=2, first_s=0.3, token_s=0.1), b=Play(token_s=0.2)) as here:
        before = here.engine.now()
        for n in range(8):
            here.engine.start(attempt(n, instance="ab"[n % 2]))
        times = [event.at for event in await events_until(here.engine, 8)]
        assert times == sorted(times)
        assert before < times[0] < times[-1] <= here.engine.now()


# Cancel.


async def at_once(here: World, one: Attempt) -> None:
    here.engine.start(one)


async def while_it_waits_for_a_slot(here: World, one: Attempt) -> None:
    for n in range(2):
        here.engine.start(attempt(100 + n))
    await here.until_there(2)
    here.engine.start(one)
    await here.until_there(3)


async def before_its_first_token(here: World, one: Attempt) -> None:
    here.engine.start(one)
    await here.until_there(1)


async def after_its_first_token(here: World, one: Attempt) -> None:
    here.engine.start(one)
    await until_begun(here.engine)


MOMENTS = [
    (at_once, "answers"),
    (while_it_waits_for_a_slot, "silent"),
    (before_its_first_token, "silent"),
    (after_its_first_token, "hangs"),
]


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize(("moment", "kind"), MOMENTS, ids=[moment.__name__ for moment, _ in MOMENTS])
@looped
async def test_a_cancelled_attempt_ends_once_as_cancelled(
    world: Build, moment: Callable[[World, Attempt], Awaitable[None]], kind: str, times: int
):
    async with world(fake=Play(kind, slots=2)) as here:
        one = attempt(1)
        await moment(here, one)
        for _ in range(times):
            here.engine.cancel(1)
        end = await the_end(here, one)
        assert (end.kind, end.began) == (FailureKind.CANCELLED, moment is after_its_first_token)
        here.engine.cancel(1)
        await nothing_more(here)


@looped
async def test_a_cancelled_attempt_frees_its_slot(world: Build):
    async with world(fake=Play("hangs", slots=1)) as here:
        here.engine.start(attempt(1))
        await until_begun(here.engine)
        here.engine.start(attempt(2))
        await here.until_there(2)
        asked_at = here.engine.now()
        here.engine.cancel(1)
        began = (await until_begun(here.engine))[-1]
        assert isinstance(began, AttemptBegan)
        assert began.attempt == 2
        assert began.at - asked_at < 1e6  # in virtual time the slot becomes free without a cancel too, after 7e9 s


@looped
async def test_cancel_touches_one_attempt_only(world: Build):
    async with world(fake=Play("hangs")) as here:
        for n in range(3):
            here.engine.start(attempt(n))
        await until_begun(here.engine, 3)
        here.engine.cancel(1)
        assert list(ended(await events_until(here.engine, 1))) == [1]
        await nothing_more(here)


@looped
async def test_cancel_of_an_attempt_that_is_unknown_or_over_changes_nothing(world: Build):
    async with world() as here:
        one, two = attempt(1), attempt(2)
        here.engine.cancel(2)
        assert text(await outcome(here.engine, one)) == here.answer(one)
        here.engine.cancel(1)
        assert text(await outcome(here.engine, two)) == here.answer(two)
        await nothing_more(here)


@looped
async def test_a_cancel_that_comes_too_late_takes_no_end_back_and_adds_none(world: Build):
    async with world() as here:
        one = attempt(1)
        here.engine.start(attempt(2, instance="gone"))
        here.engine.start(one)
        await here.until_answered(1)  # so that the other has ended, and ``wait`` has told neither
        here.engine.cancel(1)
        here.engine.cancel(2)
        found = ended(await events_until(here.engine, 2))
        assert failure(found[2]).kind is FailureKind.UNREACHABLE
        end = found[1]
        assert end.text == here.answer(one) if isinstance(end, Success) else end.kind is FailureKind.CANCELLED
        await nothing_more(here)


@looped
async def test_what_a_server_says_after_the_cancel_is_not_heard(world: Build):
    async with world(fake=Play("deaf", token_s=0.2)) as here:
        one = attempt(1)
        here.engine.start(one)
        await until_begun(here.engine)
        here.engine.cancel(1)
        assert (await the_end(here, one)).kind is FailureKind.CANCELLED
        await here.until_answered(1)
        await nothing_more(here)


@looped
async def test_no_deadline_outlives_its_attempt(world: Build):
    async with world(a=Play("hangs"), b=Play()) as here:
        for n, instance in enumerate("ab"):
            here.engine.start(attempt(n, instance=instance, timeouts=Timeouts(2.0, 2.0, 2.0)))
        here.engine.cancel(0)
        assert sorted(ended(await events_until(here.engine, 2))) == [0, 1]
        assert await here.engine.wait(here.engine.now() + 6.0) == []


# Deadlines.


@pytest.mark.parametrize(
    ("play", "timeouts", "begins", "patience_s", "fields"),
    [
        (Play("silent"), Timeouts(3.0, inf, inf), False, 3.0, {}),
        (Play("silent"), Timeouts(4.0, 1.0, inf), False, 4.0, {}),
        (Play("silent"), Timeouts(3.0, inf, inf), False, 3.0, {"stream": False}),
        (Play("silent"), Timeouts(inf, inf, 3.0), False, 3.0, {}),
        (Play("hangs"), Timeouts(inf, 3.0, inf), True, 3.0, {}),
        (Play("hangs"), Timeouts(inf, inf, 5.0), True, 5.0, {}),
        (Play(token_s=1.0), Timeouts(inf, inf, 5.0), True, 5.0, {}),
    ],
    ids=["first byte", "no idle yet", "unstreamed", "total, silent", "idle", "total, hanging", "total, talking"],
)
@looped
async def test_each_deadline_ends_its_attempt_once_as_timeout_and_not_before_its_time(
    world: Build, play: Play, timeouts: Timeouts, begins: bool, patience_s: float, fields: dict[str, bool]
):
    async with world(fake=play, tokens=64) as here:
        started = here.engine.now()
        here.engine.start(attempt(1, timeouts=timeouts, **fields))
        events = await events_until(here.engine, 1)
        end = failure(ended(events)[1])
        assert (end.kind, begun(events), end.began) == (FailureKind.TIMEOUT, [1] if begins else [], begins)
        assert end.latency_s >= patience_s
        since = events[0].at if begins and timeouts.idle_s < inf else started
        assert events[-1].at - since >= patience_s
        await nothing_more(here)


@looped
async def test_an_answer_that_keeps_coming_outlives_first_byte_and_idle_deadlines(world: Build):
    # 1.75 s of answer against 1.5 s of patience where seconds are real: a machine that stops for 1.2 s is forgiven.
    async with world(fake=Play(token_s=5.0)) as here:
        one = attempt(1, timeouts=Timeouts(first_byte_s=30.0, idle_s=30.0, total_s=inf))
        assert text(await outcome(here.engine, one)) == here.answer(one)


# Instances that fail, and instances that leave.


@looped
async def test_an_instance_that_refuses_leaves_the_engine_fit_for_the_next_attempt(world: Build):
    async with world() as here:
        here.down("fake")
        ends = await outcomes(here.engine, [attempt(n) for n in range(20)])
        assert {failure(end).kind for end in ends.values()} == {FailureKind.UNREACHABLE}
        assert not any(failure(end).began for end in ends.values())
        await nothing_more(here)


@looped
async def test_an_answer_that_breaks_off_ends_once_as_unreachable_after_it_began(world: Build):
    async with world(fake=Play("hangs")) as here:
        one = attempt(1)
        here.engine.start(one)
        await until_begun(here.engine)
        here.down("fake")
        end = await the_end(here, one)
        assert (end.kind, end.began) == (FailureKind.UNREACHABLE, True)
        await nothing_more(here)


@looped
async def test_an_instance_nobody_knows_is_unreachable_not_an_error(world: Build):
    async with world() as here:
        assert failure(await outcome(here.engine, attempt(1, instance="gone"))).kind is FailureKind.UNREACHABLE
        await nothing_more(here)


@looped
async def test_an_instance_that_leaves_takes_its_attempts_with_it_as_lost_and_no_others(world: Build):
    async with world(a=Play("hangs", slots=2), b=Play("hangs")) as here:
        for n in range(4):
            here.engine.start(attempt(n, instance="aaab"[n]))
        await until_begun(here.engine, 3)
        await here.until_there(3, "a")
        here.engine.post(InstanceLeft("a"))
        left, *events = await events_until(here.engine, 3)
        assert left == InstanceLeft("a")
        assert {n: failure(end).kind for n, end in ended(events).items()} == dict.fromkeys(range(3), FailureKind.LOST)
        await nothing_more(here)
        here.engine.cancel(3)
        assert list(ended(await events_until(here.engine, 1))) == [3]


# The clock and wait.


@looped
async def test_the_clock_never_goes_back_and_moves_on_while_the_engine_waits(world: Build):
    async with world(fake=Play(token_s=0.1)) as here:
        times = [here.engine.now()]
        here.engine.start(attempt(1))
        while len(times) < 20:
            times.append(here.engine.now())
            await here.engine.wait(times[-1] + 0.1)
        assert times == sorted(times)
        assert times[-1] - times[0] >= 1.6  # two of 18 waits may end early, with an event each


@looped
async def test_wait_comes_back_empty_at_its_time_and_not_before(world: Build):
    async with world() as here:
        for step_s in (1.0, 0.5, *[0.028] * 20):
            until = here.engine.now() + step_s
            assert await here.engine.wait(until) == []
            assert here.engine.now() >= until


@looped
async def test_wait_comes_back_early_when_something_happens(world: Build):
    async with world(fake=Play(first_s=0.5, token_s=0.5)) as here:
        until = here.engine.now() + 100_000.0
        here.engine.start(attempt(1))
        for kind in (AttemptBegan, AttemptEnded):
            (event,) = await here.engine.wait(until)
            assert isinstance(event, kind)
        assert here.engine.now() < until


@looped
async def test_wait_for_a_time_that_has_come_gives_what_there_is_and_blocks_for_nothing(world: Build):
    async with world(fake=Play("silent")) as here:
        here.engine.start(attempt(1))
        await here.until_there(1)
        assert await here.engine.wait(here.engine.now()) == []
        here.engine.post(Drained())
        assert await here.engine.wait(-inf) == [Drained()]
        assert await here.engine.wait(-inf) == []


@looped
async def test_a_loop_that_always_has_something_to_do_starves_no_attempt(world: Build):
    async with world() as here:
        one = attempt(1)
        here.engine.start(one)
        events: list[Event] = []
        while not ended(events):
            events.extend(await here.engine.wait(here.engine.now() - 1.0))
            await here.elapse()
        assert text(ended(events)[1]) == here.answer(one)


@looped
async def test_what_is_posted_comes_out_as_it_was_in_its_order(world: Build):
    posted = [Drained(), Unpaused("one"), InputReady(1), InstanceLeft("nobody"), Unpaused("one")]
    async with world() as here:
        for event in posted:
            here.engine.post(event)
        found: list[Event] = []
        while len(found) < len(posted):
            found.extend(await here.engine.wait(inf))
        assert found == posted


@looped
async def test_a_post_from_outside_wakes_wait(world: Build):
    async with world(fake=Play("silent")) as here:
        here.engine.start(attempt(1))
        await here.until_there(1)
        here.from_outside(lambda: here.engine.post(Drained()))
        assert await here.engine.wait(inf) == [Drained()]


# The end.


@looped
async def test_closing_ends_what_flies_once_as_cancelled_and_wait_still_hands_the_ends_out(world: Build):
    async with world(fake=Play("hangs", slots=2)) as here:
        for n in range(5):
            here.engine.start(attempt(n))
        await until_begun(here.engine, 2)
        here.engine.start(attempt(5))  # never got to run
        await here.engine.aclose()
        found = ended(await events_until(here.engine, 6))
        assert sorted(found) == list(range(6))
        assert {failure(end).kind for end in found.values()} == {FailureKind.CANCELLED}
        assert await here.engine.wait(here.engine.now() + 1.0) == []


@looped
async def test_closing_takes_no_end_back_that_has_come(world: Build):
    async with world() as here:
        here.engine.start(attempt(1, instance="gone"))
        here.engine.start(attempt(2))
        await here.until_answered(1)
        await here.engine.aclose()
        found = ended(await events_until(here.engine, 2))
        assert sorted(found) == [1, 2]
        assert failure(found[1]).kind is FailureKind.UNREACHABLE


@looped
async def test_an_attempt_started_after_closing_ends_once_as_cancelled(world: Build):
    async with world() as here:
        await here.engine.aclose()
        await here.engine.aclose()
        assert failure(await outcome(here.engine, attempt(1))).kind is FailureKind.CANCELLED
        assert await here.engine.wait(here.engine.now() + 1.0) == []


# All of it at once.


async def storm(here: World) -> list[Event]:
    """Starts, cancels, waits, deadlines and a leaving instance in a mix; all events."""
    events: list[Event] = []
    for n in range(80):
        patience_s = inf if n % 5 else 1.0 + n % 4
        here.engine.start(
            attempt(n, instance="abc"[n % 3], timeouts=Timeouts(patience_s, patience_s, inf), stream=n % 11 > 0)
        )
        if n % 3 == 0:
            here.engine.cancel(n // 2)
        if n % 7 == 0:
            events.extend(await here.engine.wait(here.engine.now() + 0.3))
        if n == 60:
            here.engine.post(InstanceLeft("b"))
    for n in range(80):
        if n % 3 == 1:
            here.engine.cancel(n)
    while len(ended(events)) < 80:
        events.extend(await here.engine.wait(inf))
    return events


STORMY = {"a": Play(slots=2, first_s=0.1, token_s=0.2), "b": Play("hangs", slots=40), "c": Play("deaf", slots=3)}


@looped
async def test_a_storm_of_everything_leaves_each_attempt_its_one_end_and_at_most_one_beginning(world: Build):
    async with world(**STORMY) as here:
        events = await storm(here)
        assert sorted(ended(events)) == list(range(80))
        assert len(begun(events)) == len(set(begun(events)))
        place = {
            (type(event), event.attempt): n for n, event in enumerate(events) if not isinstance(event, InstanceLeft)
        }
        assert all(place[AttemptBegan, n] < place[AttemptEnded, n] for n in begun(events))
        await nothing_more(here)


@pytest.mark.parametrize("virtual", [build for build in ENGINES.values() if build.virtual])
@looped
async def test_a_storm_in_virtual_time_comes_out_the_same_each_time(virtual: Build):
    found = []
    for _ in range(2):
        async with virtual(**STORMY) as here:
            found.append(await storm(here))
    assert found[0] == found[1]
