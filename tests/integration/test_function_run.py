"""A Python function in the place of servers: answers, failures, limits, a stop, a resume, what it is given."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from running import arriero as command
from running import assert_verified, prompts, stored_results

import arriero

pytestmark = pytest.mark.timeout(30)

ASKED = prompts(40)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "results.json"


class Answers:
    """Answers, and what was called, when, and how often at once."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.asked: list[arriero.Prompt] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, prompt: arriero.Prompt) -> str:
        with self._lock:
            self.asked.append(prompt)
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            time.sleep(self.delay_s)
            return self.answer(prompt)
        finally:
            with self._lock:
                self._now -= 1

    def answer(self, prompt: arriero.Prompt) -> str:
        return prompt.upper()


def test_every_prompt_is_answered_once_and_the_same_call_has_nothing_to_do(output: Path) -> None:
    function = Answers()
    batch = arriero.run(ASKED, output, backend=function)
    again = arriero.run(ASKED, output, backend=function)

    assert batch.ok
    assert [one.response for one in batch] == [prompt.upper() for prompt in ASKED]
    assert sorted(function.asked) == sorted(ASKED)
    assert [one.response for one in again] == [one.response for one in batch]
    assert_verified(output.parent)


def test_a_concurrency_is_reached_and_never_exceeded(output: Path) -> None:
    function = Answers(delay_s=0.02)
    batch = arriero.run(ASKED, output, backend=function, settings={"concurrency": 6})

    assert batch.ok
    assert function.most == 6


def test_more_than_one_call_runs_at_a_time_though_nothing_was_said(output: Path) -> None:
    function = Answers(delay_s=0.02)
    arriero.run(prompts(200), output, backend=function)

    assert function.most > 2


def test_what_it_raises_is_a_failure_that_is_tried_again_and_no_word_of_it_is_kept(output: Path) -> None:
    class Flaky(Answers):
        def answer(self, prompt: arriero.Prompt) -> str:
            if prompt == ASKED[3]:
                raise KeyError(f"canary {prompt}")
            if prompt in ASKED[::10] and self.asked.count(prompt) == 1:
                raise ConnectionError("canary")
            return prompt.upper()

    function = Flaky()
    batch = arriero.run(ASKED, output, backend=function, settings={"retries": 2})
    failed = [one for one in batch if not one.succeeded]

    assert [one.prompt for one in failed] == [ASKED[3]]
    assert "KeyError in test_function_run.py:" in str(failed[0].error)
    assert all(b"canary" not in path.read_bytes() for path in output.parent.glob("results*"))


def test_an_answer_that_is_no_text_is_a_failure(output: Path) -> None:
    batch = arriero.run(ASKED[:2], output, backend=lambda _: 7, settings={"retries": 0})

    assert [one.error for one in batch] == ["bad_reply: returned int, where a str is wanted"] * 2


def test_a_call_that_does_not_return_is_given_up_and_tried_again(output: Path) -> None:
    gate = threading.Event()

    class Stuck(Answers):
        def answer(self, prompt: arriero.Prompt) -> str:
            if prompt == ASKED[0] and self.asked.count(prompt) == 1:
                gate.wait(20)
                return "too late"
            return prompt.upper()

    function = Stuck()
    batch = arriero.run(ASKED[:5], output, backend=function, settings={"timeout": "500ms", "concurrency": 2})
    gate.set()

    assert [one.response for one in batch] == [prompt.upper() for prompt in ASKED[:5]]
    assert {one.attempts for one in stored_results(output.parent)} == {1, 2}


def test_it_is_given_a_text_that_has_the_rest_of_the_request(output: Path) -> None:
    chat = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."}]
    rows = [
        {"id": "a", "prompt": "Name a river.", "options": {"temperature": 0}, "max_tokens": 9},
        {"id": "b", "messages": [*chat, {"role": "user", "content": "Three?"}], "model": "mine"},
    ]
    function = Answers()
    batch = arriero.run(rows, output, backend=function, system="Be brief.")
    first, second = sorted(function.asked, key=lambda prompt: prompt.id)

    assert batch.ok
    assert (first, first.id, first.options, first.max_tokens) == ("Name a river.", "a", {"temperature": 0}, 9)
    assert [turn["content"] for turn in first.messages] == ["Be brief.", "Name a river."]
    assert (second, second.model) == ("Three?", "mine")
    assert [turn["role"] for turn in second.messages] == ["system", "user", "assistant", "user"]


def test_a_batch_of_a_function_goes_on_with_that_function_alone(output: Path) -> None:
    def other(prompt: str) -> str:
        return prompt

    arriero.run(ASKED[:3], output, backend=str.upper)
    with pytest.raises(arriero.BindingError, match=r"backend: was str\.upper, is"):
        arriero.run(ASKED[:3], output, backend=other)
    with pytest.raises(arriero.ConfigError, match="in the place of a fleet"):
        arriero.run(ASKED[:3], output, backend=other, fleet=["http://localhost:1"])
    told = command(output.parent, "resume", "results.json")

    assert told.code == 2
    assert "str.upper, which only its program has" in told.err
    assert "Traceback" not in told.err
