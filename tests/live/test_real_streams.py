"""Answers of a real server streamed, in one piece, and damaged on their way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from arriero_command import arriero, attempts, records, write_rows
from cutting_proxy import first_time, proxy_before
from ollama_fleet import OllamaFleet

pytestmark = pytest.mark.timeout(60)

ROWS = [{"prompt": f"Write one sentence about the number {number}."} for number in range(8)]
ENDLESS_NO: dict[str, Any] = {"enum": [" ".join(["no"] * 60)]}
"""A form that holds the model to one token over and over: the server gives up after 30 of them, without ``done``."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path, ROWS)
    return tmp_path


def fleet_file(folder: Path, url: str, *, stream: bool) -> list[str]:
    text = f'[[instance]]\nname = "only"\nurl = "{url}"\nstream = {str(stream).lower()}\n'
    (folder / "arriero.toml").write_text(text)
    return ["--fleet", "arriero.toml", "-O", "num_thread=1", "-O", "num_ctx=512", "-O", "num_predict=8"]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "in-one-piece"])
def test_an_answer_is_whole_however_it_comes_and_a_cut_one_is_asked_again(
    ollama_fleet: OllamaFleet, folder: Path, stream: bool
) -> None:
    with proxy_before(ollama_fleet.urls[-1], first_time("number 3.", "cut")) as proxy:
        flags = fleet_file(folder, proxy.url, stream=stream)
        done = arriero(folder, "run", "rows.jsonl", "-o", "results.json", "-m", ollama_fleet.model, *flags)

    assert done.returncode == 0, done.stderr
    results = records(folder)
    assert [result["attempts"] for result in results] == [1, 1, 1, 2, 1, 1, 1, 1]
    assert all(result["response"] and 1 <= result["usage"]["output_tokens"] <= 8 for result in results)
    failed = [attempt for attempt in attempts(folder) if attempt.purpose == "request"]
    assert [(attempt.position, attempt.kind) for attempt in failed] == [(3, "unreachable")]
    asked = [body for body in proxy.bodies if body["messages"]]
    assert [body["stream"] for body in asked] == [stream] * 9
    assert all(body["truncate"] is False and "keep_alive" not in body for body in asked)
    assert arriero(folder, "verify", "results.json").returncode == 0


def test_a_stream_that_ends_cleanly_but_without_done_is_no_answer(ollama_fleet: OllamaFleet, folder: Path) -> None:
    with proxy_before(ollama_fleet.urls[-1], first_time("number 5.", "undone")) as proxy:
        flags = ollama_fleet.flags_of(ollama_fleet.model, "num_predict=8", urls=[proxy.url])
        done = arriero(folder, "run", "rows.jsonl", "-o", "results.json", *flags)

    assert (done.returncode, proxy.struck) == (0, 1), done.stderr
    assert [result["attempts"] for result in records(folder)] == [1, 1, 1, 1, 1, 2, 1, 1]
    failed = [attempt for attempt in attempts(folder) if attempt.purpose == "request"]
    assert [(attempt.position, attempt.kind) for attempt in failed] == [(5, "bad_reply")]


def test_an_answer_the_server_itself_gives_up_fails_after_one_more_attempt(
    ollama_fleet: OllamaFleet, folder: Path
) -> None:
    # The server says 200 and, in one piece, done: false.
    write_rows(folder, [*ROWS[:2], {"prompt": "Say no.", "format": ENDLESS_NO}])
    flags = ollama_fleet.flags_of(ollama_fleet.model, "num_predict=100", "temperature=0")

    done = arriero(folder, "run", "rows.jsonl", "-o", "results.json", *flags)

    assert done.returncode == 3, done.stderr
    *answered, given_up = records(folder)
    assert [result["status"] for result in answered] == ["success", "success"]
    assert (given_up["failure"]["kind"], given_up["attempts"]) == ("bad_reply", 2)
