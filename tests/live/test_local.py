"""The README's first line: a batch on the embedded instance, on a machine that has no server."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from arriero_command import arriero, started, wait_finished

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("local_model")]

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "prompts.txt"
ROWS = "5"
FIRST_S = 15.0
"""Until the first result is counted; the start of the model is inside."""


def test_the_example_prompts_are_answered_by_the_embedded_model(tmp_path: Path) -> None:
    began = time.monotonic()
    command = ["run", str(EXAMPLES), "-o", "results.json", "--local", "--first", ROWS]
    with started(tmp_path, *command) as process:
        wait_finished(tmp_path, "results.json", 1, process)
        first_s = time.monotonic() - began
        code = process.wait()

    said = (tmp_path / "stderr.txt").read_text()
    results = json.loads((tmp_path / "results.json").read_text())
    assert code == 0, said
    assert first_s < FIRST_S
    assert [result["prompt"] for result in results] == EXAMPLES.read_text().splitlines()[: int(ROWS)]
    assert {result["status"] for result in results} == {"success"}
    assert all(1 <= result["usage"]["output_tokens"] <= 64 for result in results)
    assert "demonstration" in said


def test_its_batch_verifies(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text(
        '{"id": "a", "prompt": "One colour?"}\n{"id": "b", "prompt": "One tree?"}\n'
    )
    done = arriero(tmp_path, "run", "prompts.jsonl", "-o", "results.jsonl", "--local", "-O", "num_predict=8")

    assert done.returncode == 0, done.stderr
    assert arriero(tmp_path, "verify", "results.jsonl").returncode == 0
    assert [json.loads(line)["id"] for line in (tmp_path / "results.jsonl").read_text().splitlines()] == ["a", "b"]
