"""P13: durations come from the monotonic clock; a wall clock that jumps by days changes no figure and no deadline."""

from __future__ import annotations

import ast
import json
import os
import time
from pathlib import Path

import pytest
from fake_ollama import Fault, Speed
from running import (
    arriero,
    assert_answered,
    assert_verified,
    fake_fleet,
    read_results,
    started,
    stored_results,
    wait_committed,
    write_prompts,
)

import arriero as package
from arriero.journal.reader import JournalReader

HERE = Path(__file__).resolve().parent
PACKAGE = Path(package.__file__).parent
JUMPING = {"PYTHONPATH": os.pathsep.join((str(HERE / "jumping"), os.environ.get("PYTHONPATH", "")))}
"""``sitecustomize.py`` there makes the wall clock of the command jump."""

WALL_CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "localtime"),
    ("time", "gmtime"),
    ("time", "ctime"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}

SHOWN_ONLY = {
    "journal/opening.py": 1,  # when a session began, shown beside its monotonic time
    "journal/journal.py": 1,  # when it ended
    "engines/celery/engine.py": 1,  # a number that orders the starts of a coordinator
    "backends/refusals.py": 1,  # the moment that a Retry-After date names, where its server tells no Date of its own
}
"""Where the wall clock is read, and how often: never for a duration."""


@pytest.mark.timeout(40)
def test_a_wall_clock_that_jumps_by_days_changes_no_figure_and_no_deadline(tmp_path: Path) -> None:
    asked = write_prompts(tmp_path, 60)
    speed = Speed(decode_tokens_per_s=60.0)
    words = ("run", "prompts.txt", "--timeout", "3s", "-c", "4", "-m", "mistral:7b")
    with fake_fleet(2, 2, speed=speed) as fleet:
        fleet.servers[0].script.faults = [
            Fault("hang", times=1),
            Fault("status", status=429, retry_after="1", times=2),
        ]
        began = time.monotonic()
        with started(tmp_path, *words, *fleet.flags, env=JUMPING) as running:
            wait_committed(tmp_path, 30, running)
            midway = arriero(tmp_path, "status", "results.json", "--json", env=JUMPING).json
            done = running.end()
        elapsed_s = time.monotonic() - began

    assert done.code == 0, done.err
    assert_answered(read_results(tmp_path), asked)
    assert_verified(tmp_path)
    with JournalReader(tmp_path / "results.json.journal") as reader:
        assert reader.attempt_kinds() == {"timeout": 1, "overloaded": 2}, "a deadline came that was not due"
    for told in (midway, arriero(tmp_path, "status", "results.json", "--json", env=JUMPING).json):
        assert_durations(told, elapsed_s)
    for stored in stored_results(tmp_path):
        timing = stored.outcome.timing
        for name in ("latency_s", "ttft_s"):
            assert 0.0 < getattr(timing, name) <= elapsed_s, f"{name} is {getattr(timing, name)} in {elapsed_s:.1f} s"
    for _, served in json.loads((tmp_path / ".home/.local/state/arriero/learned.json").read_text())["served"]:
        assert 0.0 < served["token_s"] <= 1.0, f"a token was learned to take {served['token_s']} s"


def assert_durations(told: dict[str, object], elapsed_s: float) -> None:
    """Durations and rates of a status are those of a batch that has taken so long."""
    assert 0.0 <= told["makespan_s"] <= elapsed_s, f"makespan_s is {told['makespan_s']} in {elapsed_s:.1f} s"
    for name in ("p50_s", "p95_s"):
        assert told[name] is None or 0.0 < told[name] <= elapsed_s * 1.05, f"{name} is {told[name]}"
    rate_per_s = told["rate_per_s"]
    assert 0.0 <= rate_per_s <= 60.0, f"rate_per_s is {rate_per_s}"
    assert told["eta_s"] is None or 0.0 <= told["eta_s"] <= 60.0 * max(1.0, elapsed_s), f"eta_s is {told['eta_s']}"


def test_the_wall_clock_is_read_only_where_it_is_shown() -> None:
    found: dict[str, int] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                assert not {name.name for name in node.names} & {"time", "time_ns"}, f"{path}: name it time.time"
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and (node.value.id, node.attr) in WALL_CLOCKS
            ):
                name = path.relative_to(PACKAGE).as_posix()
                found[name] = found.get(name, 0) + 1
    assert found == SHOWN_ONLY, "a duration must come from the engine's clock or time.monotonic"
