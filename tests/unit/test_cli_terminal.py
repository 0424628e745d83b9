from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.cli.terminal import printable, say, write_json_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode 漢字", "plain ünïcode 漢字"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\x9bb", "a\\x9bb"),
        ("a\u202eb", "a\\u202eb"),
        ("a\ud800b", "a\\ud800b"),
        ("a\nb", "a\nb"),
        ("a\rb", "a\\rb"),
    ],
)
def test_nothing_that_acts_on_a_terminal_is_printed(text, shown):
    assert printable(text) == shown


def test_talk_that_nobody_hears_stops_nothing(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)

    say("hello")


@given(st.text())
def test_a_json_line_on_a_terminal_is_the_same_json_and_acts_on_nothing(text):
    line = json.dumps({"response": text}, ensure_ascii=False).encode("utf-8", "replace")
    terminal = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        write_json_line(line)
    printed = terminal.getvalue()

    assert json.loads(printed) == json.loads(line)
    assert printed.removesuffix("\n").isprintable()


def test_a_json_line_to_a_file_keeps_its_bytes(monkeypatch):
    target = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(target, encoding="latin-1"))
    write_json_line('{"a": "漢"}'.encode())

    sys.stdout.flush()
    assert target.getvalue() == '{"a": "漢"}\n'.encode()
