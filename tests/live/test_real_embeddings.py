"""A batch of embeddings on real Ollama servers, by a model that refuses everything else."""

from __future__ import annotations

import json
from math import dist, hypot
from pathlib import Path

import pytest
from arriero_command import arriero
from ollama_fleet import OllamaFleet

pytestmark = pytest.mark.timeout(60)

TEXTS = [f"A sentence about the number {number}." for number in range(12)]
SAME = 1e-3
"""Distance of two vectors of length 1 for one text; servers differ in the order of their sums."""


@pytest.fixture
def folder(tmp_path: Path, embedder: str) -> Path:
    lines = [
        {"custom_id": str(n), "method": "POST", "url": "/v1/embeddings", "body": {"model": embedder, "input": text}}
        for n, text in enumerate([*TEXTS, *TEXTS])
    ]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return tmp_path


def test_embeddings_of_a_model_that_only_embeds_are_a_function_of_their_texts(
    ollama_fleet: OllamaFleet, folder: Path
) -> None:
    command = ["run", "rows.jsonl", "-o", "out.jsonl", "--format", "openai", "-c", "6"]
    done = arriero(folder, *command, *ollama_fleet.flags_of(ollama_fleet.embedder))

    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    vectors = [record["response"]["body"]["data"][0]["embedding"] for record in records]
    assert len(vectors) == 2 * len(TEXTS)
    assert len({len(vector) for vector in vectors}) == 1
    assert all(abs(hypot(*vector) - 1) < SAME for vector in vectors)
    if ollama_fleet.logs:  # ours are of one version; 0.24 pools this model in another way
        assert all(dist(*pair) < SAME for pair in zip(vectors[: len(TEXTS)], vectors[len(TEXTS) :], strict=True))
    assert all(dist(one, vectors[0]) > SAME for one in vectors[1 : len(TEXTS)])
    assert arriero(folder, "verify", "out.jsonl").returncode == 0


def test_what_such_a_model_cannot_do_ends_as_unsupported_and_is_said_with_its_name(
    ollama_fleet: OllamaFleet, folder: Path
) -> None:
    (folder / "rows.jsonl").write_text('{"prompt": "Hi"}\n{"prompt": "Ho"}\n')

    done = arriero(folder, "run", "rows.jsonl", "-o", "out.json", *ollama_fleet.flags_of(ollama_fleet.embedder))

    assert done.returncode == 3, done.stderr
    failures = [record["failure"]["kind"] for record in json.loads((folder / "out.json").read_text())]
    assert failures == ["unsupported", "unsupported"]
    assert f"does not serve {ollama_fleet.embedder}: unsupported" in done.stderr
