"""Rows that ask a real server for what it does not have or does not understand, among rows that are right."""

from __future__ import annotations

from pathlib import Path

import pytest
from arriero_command import arriero, records, write_rows
from ollama_fleet import OllamaFleet

pytestmark = pytest.mark.timeout(60)

RIGHT = {"prompt": "Name a river."}
ROWS = {
    "right": RIGHT,
    "unknown option": {**RIGHT, "options": {"no_such_option": 7}},
    "option of the wrong type": {**RIGHT, "options": {"temperature": "hot"}},
    "stop of the wrong type": {**RIGHT, "options": {"stop": 5}},
    "image for a model that cannot see": {**RIGHT, "images": ["iVBORw0KGgo="]},
    "missing model": {**RIGHT, "model": "no-such-model:1b"},
    "right again": RIGHT,
}
KINDS = {
    "option of the wrong type": "rejected",
    "stop of the wrong type": "rejected",
    "image for a model that cannot see": "unsupported",
    "missing model": "model_missing",
}


def test_a_wrong_row_fails_alone_with_its_kind_and_is_not_asked_again(
    ollama_fleet: OllamaFleet, tmp_path: Path
) -> None:
    write_rows(tmp_path, [{"id": name, **row} for name, row in ROWS.items()])
    flags = ollama_fleet.flags_of(ollama_fleet.model, "num_predict=4", urls=ollama_fleet.urls[-1:])

    done = arriero(tmp_path, "run", "rows.jsonl", "-o", "results.jsonl", *flags)

    assert done.returncode == 3, done.stderr
    results = records(tmp_path, "results.jsonl")
    assert {one["id"]: one["failure"]["kind"] for one in results if one["status"] == "failed"} == KINDS
    assert all(one["attempts"] <= 1 for one in results)
    assert arriero(tmp_path, "verify", "results.jsonl").returncode == 0


@pytest.mark.parametrize("option", ["num_ctx=big", "num_thread=many", "num_predict=0"])
def test_an_option_of_the_whole_batch_that_cannot_be_is_refused_before_anything_is_sent(
    ollama_fleet: OllamaFleet, tmp_path: Path, option: str
) -> None:
    write_rows(tmp_path, [RIGHT])
    answered = ollama_fleet.answered("/api/chat")

    refused = arriero(tmp_path, "run", "rows.jsonl", "-m", ollama_fleet.model, "-i", ollama_fleet.urls[0], "-O", option)

    assert refused.returncode == 2, refused.stderr
    assert option.partition("=")[0] in refused.stderr
    assert not (tmp_path / "results.json").exists()
    assert ollama_fleet.answered("/api/chat") == answered
