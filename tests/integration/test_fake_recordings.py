"""The fake servers answer recorded requests in the recorded form: fields, order, status, the words of errors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fake_ollama import INSTANT, FakeOllama, Model
from flying import SESSION, attempt, failure, looped, outcome
from replay import Replay

from arriero.engines.address import Address
from arriero.engines.asyncio import AsyncioEngine

pytestmark = pytest.mark.timeout(20)

RECORDINGS = Path(__file__).parent.parent / "conformance" / "recordings"

NOT_PLAYED = re.compile(
    r"""busy|death|sig(kill|term)   # need a script of events; tested below
    |logprobs(-stream)?$|repeat-abort  # need a real model; the latter is a fault of its own
    |embeddings|completions|v1-model(-missing)?$  # endpoints that arriero never uses
    |^show$""",
    re.VERBOSE,
)


def recorded(version: str) -> list[Any]:
    lines = (RECORDINGS / f"{version}.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [json.loads(line) for line in lines]
    played = [case for case in cases if not NOT_PLAYED.search(case["case"]) and case["request"]["method"] != "HEAD"]
    return [pytest.param(version, case, id=f"{version}-{case['case']}") for case in played]


def shape(body: str) -> list[object]:
    """First and last line: the fields of an answer in their order, the words of an error without its numbers."""
    shapes: list[object] = []
    for line in body.splitlines():
        try:
            value = json.loads(line.removeprefix("data: "))
        except ValueError:
            shapes.append(line)
            continue
        is_answer = isinstance(value, dict) and "error" not in value
        shapes.append(tuple(value) if is_answer else re.sub(r"\d{3}", "N", line))
    return [shapes[:1], shapes[-1:]]


@pytest.mark.parametrize(("version", "case"), [*recorded("v0.33.0"), *recorded("v0.24.0")])
@looped
async def test_a_recorded_request_gets_an_answer_of_the_recorded_form(version: str, case: dict[str, Any]):
    models = ["smollm2:135m", Model("embedder:135m", ("embedding",))]
    async with (
        FakeOllama(4, models, version[1:], speed=INSTANT, context=512) as fake,
        AsyncioEngine({"fake": Address(fake.url)}, {"replay": Replay(case["request"])}, SESSION) as engine,
    ):
        status, content_type, body = json.loads(failure(await outcome(engine, attempt(1, backend="replay"))).detail)
    recording = "".join(chunk["text"] for chunk in case["chunks"])
    assert status == case["status"]
    assert content_type == case["headers"]["content-type"].partition(";")[0]
    assert shape(body) == shape(recording)
