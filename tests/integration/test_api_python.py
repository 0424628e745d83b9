"""What a Python program calls, against fake servers: ``run``, ``map`` and ``Client.stream``."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fake_ollama import Fault, Speed, answer
from running import arriero as command
from running import assert_answered, fake_fleet, prompts, read_results, write_prompts

import arriero
from arriero.errors import BindingError, ConfigError, FleetError

pytestmark = pytest.mark.timeout(20)

ASKED = prompts(30)
MODEL = "mistral:7b"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder and a home of its own, and no server that the machine's user may have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / ".home"))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")


def test_run_blocks_gives_answers_in_order_and_sends_nothing_again(tmp_path: Path) -> None:
    write_prompts(tmp_path, ASKED)
    with fake_fleet(1, 2) as fleet:
        batch = arriero.run("prompts.txt", "results.json", model=MODEL, fleet=fleet.urls)
        again = arriero.run("prompts.txt", "results.json", model=MODEL, fleet=fleet.urls)

    assert batch.ok
    assert again.ok
    assert [one.response for one in batch] == [answer(prompt) for prompt in ASKED]
    assert [one.prompt for one in again] == ASKED
    assert_answered(read_results(tmp_path), ASKED)
    assert len(fleet.requests()) == len(ASKED)
    assert repr(batch) == "<arriero.Batch results.json: 30 succeeded, 0 failed>"


def test_run_takes_a_list_of_prompts_and_rows_that_may_grow_but_not_change(tmp_path: Path) -> None:
    rows = [*ASKED[:3], {"prompt": "Name a river.", "id": "river", "options": {"num_predict": 2}}]
    with fake_fleet(2) as fleet:
        batch = arriero.run(rows, "out.jsonl", fleet=fleet.urls, settings={"concurrency": "2"})
        longer = arriero.run([*rows, "One more."], "out.jsonl", fleet=fleet.urls)
        with pytest.raises(BindingError, match="item 2"):
            arriero.run([ASKED[0], "another", *rows[2:]], "out.jsonl", fleet=fleet.urls)
        verified = command(tmp_path, "verify", "out.jsonl")

    assert [one.prompt for one in batch] == [*ASKED[:3], "Name a river.", "One more."]
    assert len(fleet.requests()) == 5
    river = list(longer)[3]
    assert (river.id, river.finish_reason, river.usage.output_tokens) == ("river", "length", 2)
    assert verified.code == 0, verified.out


def test_a_function_chooses_the_model_of_each_row_of_a_list() -> None:
    def choose(item):
        return "smollm2:135m" if "number 1" in item else MODEL

    rows = [*ASKED[:3], {"prompt": "Own.", "model": "smollm2:135m"}]
    with fake_fleet(2, models=(MODEL, "smollm2:135m")) as fleet:
        batch = arriero.run(rows, model=choose, fleet=fleet.urls)
        again = arriero.run(rows, model=choose, fleet=fleet.urls)
        with pytest.raises(ConfigError, match="of a list only"):
            arriero.run("prompts.txt", "other.json", model=choose, fleet=fleet.urls)
        with pytest.raises(ConfigError, match=r"for arriero\.run"):
            next(arriero.map(rows, model=choose, fleet=fleet.urls))

    assert (
        [one.model for one in batch] == [one.model for one in again] == [MODEL, "smollm2:135m", MODEL, "smollm2:135m"]
    )
    assert len(fleet.requests()) == 4


def test_force_begins_anew_with_another_list(tmp_path: Path) -> None:
    with fake_fleet(2) as fleet:
        arriero.run(ASKED[:3], fleet=fleet.urls)
        anew = arriero.run(ASKED[5:9], fleet=fleet.urls, settings={"force": True})
        again = arriero.run(ASKED[5:9], fleet=fleet.urls)

    assert [one.prompt for one in anew] == [one.prompt for one in again] == ASKED[5:9]
    assert len(fleet.requests()) == 7
    assert sorted(path.name for path in tmp_path.glob("results*.1*")) == [
        "results.json.1",
        "results.json.journal.1",
        "results.json.journal.input.1",
    ]


def test_failures_are_values_and_mistakes_are_exceptions() -> None:
    with fake_fleet(1, faults=[Fault("status", contains="number 3.", status=400, text="invalid")]) as fleet:
        batch = arriero.run(ASKED[:5], fleet=fleet.urls)
        mapped = list(arriero.map(ASKED[:5], fleet=fleet.urls))
        with pytest.raises(FleetError, match="no instance has the model"):
            arriero.run(ASKED, "other.json", model="qwen3:8b", fleet=fleet.urls)
        with pytest.raises(FleetError, match="no instance has the model"):
            list(arriero.map(ASKED, model="qwen3:8b", fleet=fleet.urls))
    with pytest.raises(FleetError, match="no usable instance"):
        arriero.run(ASKED, "third.json", model=MODEL)
    with pytest.raises(ConfigError, match="there is no setting concurency") as caught:
        arriero.run(ASKED, "fourth.json", settings={"concurency": 1})
    assert caught.value.hint == "did you mean concurrency?"

    assert not batch.ok
    assert batch.summary.exit_code == 3
    for answers in (list(batch), mapped):
        assert [one.succeeded for one in answers] == [True, True, True, False, True]
        assert answers[3].error == "rejected: invalid"
        assert answers[3].failure is not None
        assert answers[3].failure.kind == "rejected"


def test_run_and_map_work_inside_a_running_event_loop() -> None:
    async def notebook(urls: list[str]) -> tuple[list[str | None], list[str | None]]:
        batch = arriero.run(ASKED, fleet=urls)
        return [one.response for one in batch], [one.response for one in arriero.map(ASKED, fleet=urls)]

    with fake_fleet(2) as fleet:
        ran, mapped = asyncio.run(notebook(fleet.urls))

    assert ran == mapped == [answer(prompt) for prompt in ASKED]


class Counted:
    """Items that know how many of them were taken, and how far the reader of their answers was behind."""

    def __init__(self, count: int) -> None:
        self.taken = 0
        self.read = 0
        self.most_ahead = 0
        self._count = count

    def __iter__(self) -> Iterator[str]:
        for number in range(self._count):
            self.taken += 1
            self.most_ahead = max(self.most_ahead, self.taken - self.read)
            yield f"Item {number}."

    def reading(self, answers: Iterable[arriero.Answer]) -> Iterator[arriero.Answer]:
        for one in answers:
            self.read += 1
            yield one


AHEAD = 1500
"""What may wait for a place, run, be held behind an earlier item, and lie unread twice, together."""


def test_map_reads_a_bounded_number_of_items_ahead() -> None:
    items = Counted(2000)
    with fake_fleet(1, 2, 4) as fleet:
        answers = items.reading(arriero.map(items, fleet=fleet.urls))
        first = list(itertools.islice(answers, 5))
        fleet.until_completed(400)  # nobody reads, and it goes on; how far is seen at the end
        rest = list(answers)

    assert 200 < items.most_ahead <= AHEAD
    assert [one.prompt for one in (*first, *rest)] == [f"Item {number}." for number in range(2000)]
    assert all(one.response == answer(one.prompt or "") for one in rest)
    assert len(fleet.requests()) == items.taken == 2000


def test_one_slow_answer_does_not_let_all_others_pile_up_behind_it() -> None:
    items = Counted(2000)
    with fake_fleet(4, faults=[Fault("stall", contains="Item 0.", pause_s=1.5)]) as fleet:
        answers = list(items.reading(arriero.map(items, fleet=fleet.urls)))

    assert answers[0].response == answer("Item 0.")
    assert 500 < items.most_ahead <= AHEAD
    assert len(answers) == 2000


def test_a_map_that_is_left_early_stops_and_drops_what_ran() -> None:
    items = Counted(10**9)
    with fake_fleet(2, speed=Speed(decode_tokens_per_s=100.0)) as fleet:
        answers = arriero.map(items, fleet=fleet.urls)
        next(answers)
        answers.close()
        fleet.until(lambda fleet: all(entry.how for entry in fleet.entries))
        sent = len(fleet.requests())

    assert sent < 30
    assert items.taken < 1000
    assert fleet.requests("disconnected")


def test_streams_share_a_client_give_answers_as_they_come_and_may_be_left() -> None:
    async def both(urls: list[str]) -> tuple[list[arriero.Answer], list[arriero.Answer], int]:
        async with arriero.Client(fleet=urls, model=MODEL, options={"temperature": 0}) as client:

            async def whole(rows: list[str]) -> list[arriero.Answer]:
                return [one async for one in client.stream(rows)]

            async def some(rows: list[str]) -> int:
                async for _ in client.stream(rows):
                    return 1
                return 0

            return await asyncio.gather(whole(ASKED), whole(ASKED[:10]), some(ASKED))

    with fake_fleet(1, 4, speed=Speed(decode_tokens_per_s=600.0)) as fleet:
        long, short, left = asyncio.run(both(fleet.urls))

    assert left == 1
    for answers, asked in ((long, ASKED), (short, ASKED[:10])):
        assert {one.prompt: one.response for one in answers} == {prompt: answer(prompt) for prompt in asked}
    assert all(body["options"]["temperature"] == 0 for body in fleet.bodies if body["messages"])


def test_a_stream_that_is_left_sends_no_more_while_the_client_goes_on() -> None:
    async def left(urls: list[str]) -> None:
        async with arriero.Client(fleet=urls, model=MODEL) as client:
            answers = client.stream(f"Left {number}." for number in range(10**6))
            await anext(answers)
            await answers.aclose()
            assert len([one async for one in client.stream(ASKED[:30])]) == 30

    with fake_fleet(2, speed=Speed(decode_tokens_per_s=600.0)) as fleet:
        asyncio.run(left(fleet.urls))
        sent = [body for body in fleet.bodies if body["messages"] and body["messages"][0]["content"].startswith("Left")]

    assert len(sent) < 20, "what waited behind the answer that was read is nobody's any more"


def test_streams_that_have_ended_or_were_left_leave_no_books_behind() -> None:
    async def many(urls: list[str]) -> int:
        async with arriero.Client(fleet=urls, model=MODEL) as client:
            for number in range(40):
                async for _ in client.stream(ASKED[:3]):
                    if number % 2:
                        break
            assert client._streams is not None
            books = client._streams._session.scheduler.books
            async for _ in client.stream(ASKED[:3]):  # by its end all that was posted before it has been told
                pass
            return len(books)

    with fake_fleet(4) as fleet:
        assert asyncio.run(many(fleet.urls)) <= 3


def test_a_stream_without_an_instance_is_refused_and_one_whose_fleet_goes_away_ends() -> None:
    async def refused() -> None:
        async with arriero.Client(model=MODEL):
            pass

    async def left_alone(fleet_urls: list[str], stop: object) -> None:
        async with arriero.Client(fleet=fleet_urls, model=MODEL, settings={"max_wait": "1s"}) as client:
            async for _ in client.stream(ASKED):
                await asyncio.to_thread(stop)  # type: ignore[arg-type]

    with pytest.raises(FleetError, match="no usable instance"):
        asyncio.run(refused())
    slow = Speed(decode_tokens_per_s=200.0)
    with fake_fleet(1, speed=slow) as fleet, pytest.raises(FleetError, match="max_wait"):
        asyncio.run(left_alone(fleet.urls, lambda: fleet.do(fleet.servers[0].stop())))


def test_a_client_outside_async_with_says_so() -> None:
    async def outside() -> None:
        async for _ in arriero.Client(fleet=["http://127.0.0.1:1"], model=MODEL).stream(ASKED):
            pass

    with pytest.raises(ConfigError, match="async with"):
        asyncio.run(outside())
