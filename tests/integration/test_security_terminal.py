"""Foreign text on a real terminal: whatever rows, servers, names and variables hold, no control reaches it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path

import pytest
from fake_ollama import Fault
from running import COMMAND, environment, fake_fleet, write_rows
from terminals import terminal_bytes

pytestmark = pytest.mark.timeout(60)

EVIL = "a\x1b]52;c;ZXZpbA==\x07b\x1b[2Jc\x9b31md\u202ee\u2066f\rg\x08h\x7fi\u200bj\x1b]0;title\x1b\\k\u2028l"
"""Clipboard, screen, colour (C1), direction, carriage return, backspace, DEL, an invisible character, window title."""

ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]")
OURS = "\r\x1b[K"
"""What the live line is rewritten with; nothing else of ours moves the cursor."""


def on_terminal(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """A command whose standard output and error are a terminal: how it ended, and every character the terminal got."""
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[1] &= ~termios.OPOST  # line ends stay as they were written
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    with subprocess.Popen(
        [*COMMAND, *words], cwd=folder, env=environment(folder, env), stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        said = terminal_bytes(master, process)
    return process.returncode, said.decode()


def acting(text: str) -> list[str]:
    """Characters with what stands before them that would act on the terminal."""
    plain = text.replace(OURS, "")
    return [repr(plain[max(0, found.start() - 40) : found.end()]) for found in ACTS.finditer(plain)]


def prepare(folder: Path, url: str) -> None:
    """Rows and a fleet file whose every text is hostile."""
    rows = [{"id": f"{number}{EVIL}", "prompt": f"{number} {EVIL}", "system": EVIL} for number in range(6)]
    write_rows(folder, rows, f"rows{EVIL[:9]}.jsonl")
    name = json.dumps(f"gpu\u202e\u2066\u200b{EVIL[-3]}")
    (folder / "fleet.toml").write_text(f'[[instance]]\nname = {name}\nurl = "{url}"\n')


def test_no_command_lets_foreign_text_act_on_a_terminal(tmp_path: Path) -> None:
    faults = [
        Fault("status", contains="3 a", status=400, text=EVIL),
        Fault("status", at=(1,), status=500, text=EVIL),
    ]
    with fake_fleet(2, version=f"0.33.0{EVIL}", models=[f"m:7b{EVIL}"], faults=faults) as fleet:
        prepare(tmp_path, fleet.urls[0])
        rows, model, output = f"rows{EVIL[:9]}.jsonl", f"m:7b{EVIL}", f"out{EVIL[:9]}.jsonl"
        batch = ("run", rows, "-o", output, "-m", model, "--fleet", "fleet.toml")
        heard = {
            words: on_terminal(tmp_path, *words)
            for words in (
                (*batch, "--dry-run"),
                (*batch, "--display", "line"),
                (*batch, "--display", "json", "-s", EVIL),
                ("status", output),
                ("results", output),
                ("errors", output),
                ("verify", output),
                ("fleet", "ps", "--fleet", "fleet.toml"),
                ("doctor", "--fleet", "fleet.toml", "--json"),
                ("config", "show", "-s", EVIL, "-m", EVIL, "--fleet", "fleet.toml"),
            )
        }

    codes = [code for code, _ in heard.values()]
    assert codes == [0, 3, 2, 0, 0, 0, 0, 0, 0, 0], [text for _, text in heard.values()]
    assert {words: acting(text) for words, (_, text) in heard.items() if acting(text)} == {}
    assert r"\x1b]52;c;" in heard["errors", output][1], "the hostile text was never shown"
    assert r"\u001b]52;c;" in heard["results", output][1]


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (("run", EVIL), {}),
        (("run", "p.txt", "-c", EVIL), {}),
        (("run", "p.txt", "-i", f"http://{EVIL}"), {}),
        (("run", "p.txt", "--prompt", f"{{{EVIL}}}"), {}),
        ((EVIL,), {}),
        (("status", EVIL), {"ARRIERO_RETRIES": EVIL}),
        (("run", "p.txt"), {"OLLAMA_HOST": f"http://{EVIL}"}),
        (("run", "p.txt", "--fleet", "evil.toml"), {}),
    ],
    ids=lambda value: "-".join(value).replace(EVIL, "EVIL") if isinstance(value, tuple) else None,
)
def test_no_refusal_lets_what_it_quotes_act_on_a_terminal(
    tmp_path: Path, words: tuple[str, ...], env: dict[str, str]
) -> None:
    (tmp_path / "p.txt").write_text("a prompt\n")
    (tmp_path / "evil.toml").write_text(f"[[instance]]\n{json.dumps(EVIL)} = 1\n")
    code, text = on_terminal(tmp_path, *words, env=env)

    assert code in (2, 5, 7), text
    assert "error: " in text
    assert acting(text) == []
