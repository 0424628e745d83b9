"""Every input format through the journal to every output format, and back: nothing is lost, doubled, moved or changed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.request import Request, Result
from arriero.inputs.bind import Binder
from arriero.inputs.source import FileSource
from arriero.journal.journal import Journal
from arriero.journal.reader import JournalReader
from arriero.outputs.export import export

PROMPTS = st.lists(
    st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029"), min_size=1, max_size=40)
    .map(str.strip)
    .filter(bool),
    min_size=1,
    max_size=12,
)

WRITTEN = {
    "txt": lambda prompts: "".join(f"{prompt}\n" for prompt in prompts),
    "jsonl": lambda prompts: "".join(json.dumps({"prompt": prompt, "note": len(prompt)}) + "\n" for prompt in prompts),
    "messages": lambda prompts: "".join(
        json.dumps({"messages": [{"role": "user", "content": prompt}]}, ensure_ascii=False) + "\n" for prompt in prompts
    ),
    "openai": lambda prompts: "".join(
        json.dumps(
            {
                "custom_id": f"c{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "m", "messages": [{"role": "user", "content": prompt}]},
            }
        )
        + "\n"
        for number, prompt in enumerate(prompts)
    ),
}
"""Texts of prompts in each form of input."""


def reply(prompt: str) -> str:
    """What stands in for a model's answer: any text must come out as it went in."""
    return f"<{prompt[::-1]}>\n\u2028\x00\U0001f999"


def result_of(request: Request, prompt: str) -> Result:
    """Every third row fails."""
    outcome: Success | Failure = Success(
        text=reply(prompt), finish_reason="stop", usage=Usage(3, 4), timing=Timing(latency_s=0.5), model="m"
    )
    if request.position % 3 == 2:
        outcome = Failure(kind=FailureKind.TIMEOUT, latency_s=1.0)
    return Result(
        request=request, outcome=outcome, instance="a", attempt=request.position + 1, attempts=1, ended_at=1.0
    )


def carried(folder: Path, form: str, prompts: list[str]) -> FileSource:
    """Read, bind and journal the rows, the last one first."""
    path = folder / ("in.txt" if form == "txt" else "in.jsonl")
    path.write_text(WRITTEN[form](prompts), encoding="utf-8")
    source = FileSource.open(str(path), "txt" if form == "txt" else "jsonl")
    binder = Binder(model="m")
    bound = [binder.request(row, batch=1) for row in source.rows()]
    assert all(isinstance(one, Request) for one in bound)
    with Journal.open(folder / "j", binding={}, command="", settings=b"{}") as journal:
        journal.record([result_of(request, prompts[request.position]) for request in reversed(bound)], ())
    return source


def written(folder: Path, source: FileSource, form: str, name: str) -> list[Path]:
    with JournalReader(folder / "j") as reader:
        return list(export(str(folder / name), form, source.rows(), reader.results(), complete=True).paths)


def records(path: Path) -> list[dict[str, object]]:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.split("\n") if line]


@pytest.mark.parametrize("form", WRITTEN)
@settings(max_examples=25, deadline=None)
@given(prompts=PROMPTS)
def test_what_went_in_comes_out_in_its_order_in_every_format(form: str, prompts: list[str]):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = carried(folder, form, prompts)
        for kind in ("json", "jsonl"):
            (path,) = written(folder, source, kind, f"out.{kind}")
            told = records(path)
            assert [record["prompt"] for record in told] == prompts
            for number, record in enumerate(told):
                failed = number % 3 == 2
                assert record["status"] == ("failed" if failed else "success")
                assert record.get("response") == (None if failed else reply(prompts[number]))
        good, bad = (records(path) for path in written(folder, source, "openai", "batch.jsonl"))
        answers = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in good}
        assert len(answers) + len(bad) == len(prompts)
        assert list(answers.values()) == [reply(prompt) for number, prompt in enumerate(prompts) if number % 3 != 2]
        source.close()


@pytest.mark.parametrize("form", WRITTEN)
@settings(max_examples=15, deadline=None)
@given(prompts=PROMPTS)
def test_an_output_written_twice_has_the_same_bytes_and_lines_can_be_an_input_again(form: str, prompts: list[str]):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = carried(folder, form, prompts)
        for kind in ("json", "jsonl", "openai"):
            first = [path.read_bytes() for path in written(folder, source, kind, f"one.{kind}")]
            assert [path.read_bytes() for path in written(folder, source, kind, f"two.{kind}")] == first
        if form in ("txt", "jsonl"):
            (lines,) = written(folder, source, "jsonl", "again.jsonl")
            again = FileSource.open(str(lines), "jsonl")
            assert [row.prompt for row in again.rows()] == prompts
            again.close()
        source.close()
