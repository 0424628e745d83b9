"""Prompts and answers at the edge of a real server's context: whole, or refused, never cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import urllib3
from arriero_command import arriero, records, write_rows
from ollama_fleet import OllamaFleet

pytestmark = pytest.mark.timeout(60)

CONTEXT_TOKENS = 512
WORDS = (1, 167, 168)
"""Each word is three tokens, the form of a chat eight: the edge lies between the last two."""
NUMBERS = {"type": "array", "items": {"type": "integer"}, "minItems": 2000}
"""A form that no answer in these contexts completes: the model never stops by itself."""


def prompt(words: int) -> str:
    return " ".join(["llama"] * words)


def counted(url: str, model: str, text: str) -> int:
    """Tokens of a whole prompt as the server counts them where nothing can be cut."""
    options = {"num_ctx": 1024, "num_thread": 1, "num_predict": 1}
    body = {"model": model, "messages": [{"role": "user", "content": text}], "options": options, "stream": False}
    reply = urllib3.request("POST", f"{url}/api/chat", json=body, timeout=30).json()
    return reply["prompt_eval_count"]


def test_a_prompt_is_read_whole_or_refused_as_too_long(ollama_fleet: OllamaFleet, tmp_path: Path) -> None:
    write_rows(tmp_path, [{"prompt": prompt(words)} for words in WORDS])
    flags = ollama_fleet.flags_of(ollama_fleet.model, "num_predict=4", urls=ollama_fleet.urls[:1])
    done = arriero(tmp_path, "run", "rows.jsonl", "-o", "results.json", *flags)
    whole = [counted(ollama_fleet.urls[0], ollama_fleet.model, prompt(words)) for words in WORDS]

    assert done.returncode == 3, done.stderr
    results = records(tmp_path)
    answered = [result for result in results if result["status"] == "success"]
    assert [result["usage"]["prompt_tokens"] for result in answered] == whole[: len(answered)]
    assert [result["failure"]["kind"] for result in results[len(answered) :]] == ["too_long"] * (
        len(WORDS) - len(answered)
    )
    assert whole[len(answered) - 1] < CONTEXT_TOKENS <= whole[len(answered)]
    # The last token of an answer needs no place: nothing is said after it.
    used = [result["usage"]["prompt_tokens"] + result["usage"]["output_tokens"] - 1 for result in answered]
    assert max(used) <= CONTEXT_TOKENS


@pytest.mark.parametrize(
    "asked",
    [pytest.param(None, id="no-limit", marks=pytest.mark.slow), pytest.param(240, id="limit-beyond-the-context")],
)
def test_an_answer_that_would_outgrow_its_context_ends_at_it_and_keeps_its_beginning(
    ollama_fleet: OllamaFleet, tmp_path: Path, asked: int | None
) -> None:
    # Left alone this server drops the oldest tokens without a word and goes on.
    row: dict[str, Any] = {"prompt": "List many different numbers.", "format": NUMBERS}
    if asked:
        row["options"] = {"num_predict": asked}
    write_rows(tmp_path, [row])
    options = ("-O", "num_thread=1", "-O", "num_ctx=256", "-O", "temperature=0")

    done = arriero(
        tmp_path,
        "run", "rows.jsonl", "-o", "results.json", "-m", ollama_fleet.model, "-i", ollama_fleet.urls[0], *options,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    (result,) = records(tmp_path)
    used = result["usage"]
    assert result["finish_reason"] == "length"
    assert result["response"].startswith("[")
    assert used["prompt_tokens"] + used["output_tokens"] - 1 <= 256
    assert used["output_tokens"] > 100, "the room that was left is used"
