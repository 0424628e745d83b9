"""What real servers hold: loaded once for a batch, changed when the work asks for it, never taken from others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import urllib3
from arriero_command import arriero, attempts, records, write_rows
from ollama_fleet import OllamaFleet
from ollama_install import MODELS

pytestmark = pytest.mark.timeout(60)

SMALL, OTHER = MODELS
FLAGS = ["-O", "num_thread=1", "-O", "num_predict=4", "-O", "num_ctx=512"]


def rows_of(*models: str) -> list[dict[str, Any]]:
    return [{"prompt": f"Name the number {n}.", "model": model} for n, model in enumerate(models)]


def resident(url: str) -> dict[str, int]:
    """Models the server holds, and their contexts."""
    listed = urllib3.request("GET", f"{url}/api/ps", timeout=10).json()["models"]
    return {model["name"]: model["context_length"] for model in listed}


def hold(url: str, model: str) -> None:
    """Load a model as the operator of the server would, with options of their own."""
    body = {"model": model, "keep_alive": "1h", "options": {"num_thread": 1, "num_ctx": 256}}
    assert urllib3.request("POST", f"{url}/api/generate", json=body, timeout=30).status == 200


def upkeep(folder: Path) -> list[tuple[str, str]]:
    """Loads and unloads of the batch, in order."""
    return [
        (one.purpose, one.unit.model)
        for one in attempts(folder)
        if one.purpose in ("preload", "unload") and one.unit is not None
    ]


@pytest.mark.parametrize(
    ("order", "room"),
    [
        pytest.param([SMALL] * 4 + [OTHER] * 4, "1", id="sorted-room-for-one"),
        pytest.param([SMALL, OTHER] * 4, "2", id="mixed-room-for-both"),
        pytest.param([SMALL, OTHER] * 4, "1", id="mixed-room-for-one", marks=pytest.mark.slow),
        pytest.param([SMALL] * 4 + [OTHER] * 4, "2", id="sorted-room-for-both", marks=pytest.mark.slow),
    ],
)
def test_two_models_on_one_server_are_served_one_after_the_other(
    own_fleet, tmp_path: Path, order: list[str], room: str
) -> None:
    fleet: OllamaFleet = own_fleet(2, OLLAMA_MAX_LOADED_MODELS=room)
    write_rows(tmp_path, rows_of(*order))

    done = arriero(tmp_path, "run", "rows.jsonl", "-o", "results.json", "-i", *fleet.urls, *FLAGS)

    assert done.returncode == 0, done.stderr
    results = records(tmp_path)
    assert [result["model"] for result in results] == order
    assert all(result["response"] and result["attempts"] == 1 for result in results)
    # One change, however the rows are mixed: each model is loaded once, and what this batch loaded makes room.
    (_, first), unload, (_, second) = upkeep(tmp_path)
    assert ({first, second}, unload) == ({SMALL, OTHER}, ("unload", first))
    assert fleet.read_logs()[0].loads() == 2
    assert set(resident(fleet.urls[0])) == {second}


def test_rows_of_two_contexts_reload_the_model_once_and_each_has_its_own(own_fleet, tmp_path: Path) -> None:
    fleet: OllamaFleet = own_fleet(2)
    contexts = [512, 256] * 4
    rows = rows_of(*[SMALL] * 8)
    write_rows(tmp_path, [{**row, "options": {"num_ctx": size}} for row, size in zip(rows, contexts, strict=True)])

    done = arriero(tmp_path, "run", "rows.jsonl", "-o", "results.json", "-i", *fleet.urls, *FLAGS)

    assert done.returncode == 0, done.stderr
    assert {result["status"] for result in records(tmp_path)} == {"success"}
    assert fleet.read_logs()[0].loads() == 2
    assert resident(fleet.urls[0])[SMALL] in contexts
    assert [purpose for purpose, _ in upkeep(tmp_path)] == ["preload", "unload", "preload"]


def test_a_model_the_operator_loaded_stays_where_there_is_room_for_both(own_fleet, tmp_path: Path) -> None:
    fleet: OllamaFleet = own_fleet(1, OLLAMA_MAX_LOADED_MODELS="3")
    (url,) = fleet.urls
    hold(url, OTHER)
    write_rows(tmp_path, rows_of(*[SMALL] * 3))

    done = arriero(tmp_path, "run", "rows.jsonl", "-o", "results.json", "-i", url, *FLAGS)

    assert done.returncode == 0, done.stderr
    assert resident(url) == {SMALL: 512, OTHER: 256}
    assert upkeep(tmp_path) == [("preload", SMALL)]


def test_a_model_that_was_resident_is_not_unloaded_for_the_batch_s_next_one(own_fleet, tmp_path: Path) -> None:
    fleet: OllamaFleet = own_fleet(1, OLLAMA_MAX_LOADED_MODELS="3")
    (url,) = fleet.urls
    body = {"model": OTHER, "keep_alive": "1h", "options": {"num_thread": 1, "num_ctx": 512}}
    assert urllib3.request("POST", f"{url}/api/generate", json=body, timeout=30).status == 200
    write_rows(tmp_path, rows_of(*[OTHER] * 3, *[SMALL] * 3))

    done = arriero(tmp_path, "run", "rows.jsonl", "-o", "results.json", "-i", url, *FLAGS)

    assert done.returncode == 0, done.stderr
    assert OTHER in resident(url), "it was there before us"
    assert ("unload", OTHER) not in upkeep(tmp_path)
    assert fleet.read_logs()[0].loads() == 2
