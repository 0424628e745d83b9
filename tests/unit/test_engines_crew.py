"""Threads by need: as many as there is work at one time, used again, and gone when there is none."""

from __future__ import annotations

import threading

import pytest

from arriero.engines import crew
from arriero.engines.crew import Crew

LIMIT_S = 10.0


def ours(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_work_that_waits_keeps_no_other_work_from_being_done():
    done = threading.Semaphore(0)
    gate = threading.Event()
    hands = Crew("crew-waits")
    for _ in range(20):
        hands.do(lambda: (gate.wait(LIMIT_S), done.release()))
    hands.do(done.release)

    assert done.acquire(timeout=LIMIT_S)
    assert len(ours("crew-waits")) == 21
    assert all(thread.daemon for thread in ours("crew-waits")), "none holds the process up"
    gate.set()
    assert all(done.acquire(timeout=LIMIT_S) for _ in range(20))


def test_one_piece_of_work_after_another_is_done_by_one_thread():
    hands = Crew("crew-in-turn")
    for _ in range(50):
        done = threading.Event()
        hands.do(done.set)
        assert done.wait(LIMIT_S)
        while not hands._idle._value:  # it has said that it is free
            pass

    assert len(ours("crew-in-turn")) == 1


def test_threads_without_work_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crew, "IDLE_S", 0.01)
    hands = Crew("crew-idle")
    for _ in range(8):
        hands.do(lambda: None)
    for thread in ours("crew-idle"):
        thread.join(LIMIT_S)

    assert not ours("crew-idle")
    done = threading.Event()
    hands.do(done.set)
    assert done.wait(LIMIT_S), "more work has a thread again"
