"""A line that another thread cuts: before anything was sent, while something is awaited, and too late."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from arriero.engines.line import CutError, Line


class Wire:
    """A pair of connected sockets, one of them held as a connection."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.connection: Any = SimpleNamespace(sock=self.near, timeout=1.0, close=self.near.close)

    def close(self) -> None:
        self.near.close()
        self.far.close()


@pytest.fixture
def wire():
    one = Wire()
    yield one
    one.close()


def test_a_line_that_is_cut_before_anything_was_sent_says_so_once_and_is_never_held(wire):
    told = []
    line = Line(lambda: told.append("unsent"))
    line.cut()
    line.cut()

    assert told == ["unsent"]
    with pytest.raises(CutError), line.held(wire.connection):
        raise AssertionError("it was held")
    assert not line.sent
    assert wire.near.fileno() < 0, "a connection that nobody uses is closed"


def test_a_cut_wakes_whoever_waits_for_an_answer(wire):
    told = []
    line = Line(lambda: told.append("unsent"))
    with line.held(wire.connection) as connection:
        line.cut()

        assert connection.sock.recv(1) == b""
        assert not line.over(whole=True), "what was cut is not used again"
    assert told == []
    assert wire.near.fileno() < 0


def test_a_cut_after_the_end_leaves_the_connection_to_whoever_has_it_now(wire):
    line = Line(lambda: None)
    with line.held(wire.connection):
        assert line.over(whole=True)
    line.cut()
    wire.far.send(b"x")

    assert wire.near.recv(1) == b"x"


def test_a_connection_on_which_the_answer_did_not_end_is_closed(wire):
    with Line(lambda: None).held(wire.connection):
        pass

    assert wire.near.fileno() < 0
