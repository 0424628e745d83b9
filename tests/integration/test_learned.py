"""What one batch learned is there for the next: in a state file that holds no prompt, may be deleted and may lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_ollama import Speed
from running import Fleet, arriero, assert_answered, fake_fleet, read_results, write_prompts

pytestmark = pytest.mark.timeout(20)

SLOW = Speed(decode_tokens_per_s=100.0)


def learned(folder: Path) -> Path:
    return folder / ".home" / ".local" / "state" / "arriero" / "learned.json"


def most_before_an_end(fleet: Fleet) -> int:
    """Requests that the server had at once before any of them had ended."""
    entries = fleet.requests()
    first_end = min(one.ended for one in entries if one.ended is not None)
    return sum(one.started < first_end for one in entries)


def batch(folder: Path, fleet: Fleet, name: str, rows: int) -> int:
    """Run so many prompts; how many were sent before an answer was there."""
    before = len(fleet.servers[0].log.entries)
    asked = write_prompts(folder, rows, f"{name}.txt")
    done = arriero(folder, "run", f"{name}.txt", "-o", f"{name}.json", *fleet.flags)
    assert done.code == 0, done.err
    assert_answered(read_results(folder, f"{name}.json"), asked)
    seen = Fleet([fleet.servers[0]], fleet.loop)
    seen.servers[0].log.entries[:before] = []
    return most_before_an_end(seen)


def test_the_next_batch_begins_with_the_slots_that_this_one_found(tmp_path: Path) -> None:
    with fake_fleet(4, speed=SLOW) as fleet:
        first = batch(tmp_path, fleet, "first", 60)
        second = batch(tmp_path, fleet, "second", 20)
        told = json.loads(learned(tmp_path).read_bytes())
        shown = arriero(tmp_path, "doctor", *fleet.flags).out
        learned(tmp_path).unlink()
        after = batch(tmp_path, fleet, "third", 20)

    assert second == 5, "the slots and a spare"
    assert min(first, after) > 5, "whoever knows nothing tries for more"
    assert [(url, served["slots"]) for url, served in told["served"]] == [(fleet.urls[0], 4)]
    assert f"1 entry in {learned(tmp_path)}" in shown


def test_no_word_of_a_prompt_or_an_answer_is_kept(tmp_path: Path) -> None:
    with fake_fleet(2) as fleet:
        (tmp_path / "prompts.txt").write_text("Canary one two\nCanary two three\n" * 4)
        arriero(tmp_path, "run", "prompts.txt", "-s", "Canary of a system prompt", *fleet.flags)

    kept = learned(tmp_path).read_text().lower()
    assert "mistral:7b" in kept
    assert "canary" not in kept


@pytest.mark.parametrize("text", ["", "{broken", '{"version": 99}'], ids=["empty", "broken", "newer"])
def test_a_state_file_that_says_nothing_is_no_obstacle(tmp_path: Path, text: str) -> None:
    learned(tmp_path).parent.mkdir(parents=True)
    learned(tmp_path).write_text(text)
    with fake_fleet(2) as fleet:
        batch(tmp_path, fleet, "any", 6)

    assert json.loads(learned(tmp_path).read_bytes())["version"] == 1
