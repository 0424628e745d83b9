"""A surface may ask a batch to stop before it runs, and after it has ended."""

from __future__ import annotations

from pathlib import Path

from arriero.client.carry import run_batch
from arriero.client.control import Control
from arriero.config.load import load
from arriero.core.events import Aborted, Drained, Event


def test_what_is_asked_before_the_loop_runs_reaches_it_in_order():
    control, heard = Control(), list[Event]()
    control.drain()
    control.abort()
    control.connect(heard.append)
    assert heard == [Drained(), Aborted()]

    control.drain()
    assert heard == [Drained(), Aborted(), Drained()]


def test_a_batch_that_has_ended_was_not_interrupted_though_it_was_asked_to_stop(tmp_path: Path):
    (tmp_path / "prompts.txt").write_bytes(b"")
    flags = {"input": str(tmp_path / "prompts.txt"), "output": str(tmp_path / "r.json"), "model": ("m",)}
    control = Control()
    control.drain()

    assert run_batch(load(flags, {}, tmp_path), control=control).exit_code == 0
