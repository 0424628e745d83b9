"""What is called back on a real server gives its slot back there."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import urllib3
from arriero_command import PATIENCE_S, arriero, ended, records, started, wait_until, write_rows
from ollama_fleet import OllamaFleet
from server_log import ServerLog

pytestmark = pytest.mark.timeout(60)

NUMBERS = {"type": "array", "items": {"type": "integer"}, "minItems": 2000}
"""A form that the model does not complete by itself."""
ROOM_TOKENS = 900
OPTIONS = {"num_thread": 1, "num_ctx": 1024}
FLAGS = [word for name, value in OPTIONS.items() for word in ("-O", f"{name}={value}")]


def test_an_aborted_batch_gives_its_slot_back_to_whoever_comes_next(own_fleet, tmp_path: Path) -> None:
    fleet: OllamaFleet = own_fleet(1)
    (server,) = fleet.servers
    write_rows(tmp_path, [{"prompt": "List many numbers.", "format": NUMBERS}] * 2)
    command = ["run", "rows.jsonl", "-o", "results.json", "-i", server.url, "-m", fleet.model, *FLAGS]
    with started(tmp_path, *command, "-O", f"num_predict={ROOM_TOKENS}") as process:
        wait_until(lambda: ServerLog.read(server.log).begun(), process)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "draining" in (tmp_path / "stderr.txt").read_text(), process)  # two at once would be one
        process.send_signal(signal.SIGINT)
        code, said = ended(tmp_path, process)
    body = {
        "model": fleet.model,
        "messages": [{"role": "user", "content": "Name a lake."}],
        "options": {**OPTIONS, "num_predict": 2},
        "stream": False,
    }
    next_one = urllib3.request("POST", f"{server.url}/api/chat", json=body, timeout=PATIENCE_S)

    assert code == 130, said
    assert next_one.json()["done"] is True
    # The server's own account: neither long answer was carried to its end before the next request had its slot.
    assert max(fleet.read_logs()[0].released()) < ROOM_TOKENS


def test_an_attempt_that_timed_out_gives_its_slot_to_the_next_row(own_fleet, tmp_path: Path) -> None:
    fleet: OllamaFleet = own_fleet(1)
    (server,) = fleet.servers
    rows = [
        {"prompt": "List many numbers.", "format": NUMBERS, "timeout_s": 1},
        {"prompt": "Name a lake.", "max_tokens": 4},
    ]
    write_rows(tmp_path, rows)
    flags = ["-i", server.url, "-m", fleet.model, *FLAGS, "--retries", "0", "-c", "1"]

    done = arriero(tmp_path, "run", "rows.jsonl", "-o", "results.json", *flags)

    assert done.returncode == 3, done.stderr
    timed_out, answered = records(tmp_path)
    assert (timed_out["failure"]["kind"], answered["status"]) == ("timeout", "success")
    assert max(fleet.read_logs()[0].released()) < ROOM_TOKENS
