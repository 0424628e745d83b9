from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest

from arriero.cli.ending import fail, form_of, tell_bug
from arriero.errors import ConfigError, FleetError, HeldError

PROMPT = "canary: a prompt"


def broken() -> ValueError:
    try:
        int(PROMPT)
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "kind", "code"), [(ConfigError, "config", 2), (FleetError, "fleet", 5), (HeldError, "held", 6)]
)
def test_an_error_keeps_its_exit_code_as_text_and_as_json(capsys, error, kind, code):
    assert fail(error("what", hint="how"), form="text") == code
    assert capsys.readouterr().err == "error: what\nhelp: how\n"

    assert fail(error("what", hint="how"), form="json") == code
    assert json.loads(capsys.readouterr().out) == {"error": {"kind": kind, "message": "what", "hint": "how"}}

    assert fail(error("what\x9b\u202e\x7f\udc80", hint="how"), form="event") == code
    err = capsys.readouterr().err
    assert json.loads(err) == {"event": "error", "kind": kind, "message": "what\x9b\u202e\x7f\udc80", "hint": "how"}
    assert err.strip().isascii()
    assert err.strip().isprintable()


@pytest.mark.parametrize(
    ("line", "environ", "form"),
    [
        ("run p.txt", "", "text"),
        ("run p.txt --display json", "", "event"),
        ("retry --display=json", "", "event"),
        ("run p.txt --display json --display log", "", "text"),
        ("run p.txt --display json --json", "", "json"),
        ("resume", "json", "event"),
        ("resume --display none", "json", "text"),
        ("status", "json", "text"),
        ("", "json", "text"),
    ],
)
def test_an_error_is_told_in_the_form_that_the_display_has(line, environ, form):
    assert form_of(line.split(), {"ARRIERO_DISPLAY": environ}) == form


def test_a_bug_is_one_line_and_a_file_that_only_its_owner_reads(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    error = broken()

    tell_bug(ValueError, error, error.__traceback__)
    err = capsys.readouterr().err
    (path,) = (tmp_path / "arriero").iterdir()

    assert "this is a bug" in err
    assert str(path) in err
    assert "canary" not in err
    assert "canary" not in path.read_text()
    assert path.read_text().endswith("builtins.ValueError\n")
    assert ", in broken\n" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_bug_without_a_place_for_its_file_is_still_told(capsys, tmp_path, monkeypatch):
    (tmp_path / "arriero").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    error = broken()

    tell_bug(ValueError, error, error.__traceback__)

    assert "could not be written" in capsys.readouterr().err


def test_a_reader_that_leaves_ends_the_program_quietly():
    program = "import sys; from arriero.cli.app import start; sys.exit(start(['config', 'show', '--json']))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()

    assert process.wait(timeout=20) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_crash_leaves_no_dump_of_the_memory_with_prompts_in_it():
    program = (
        "import resource; from arriero.cli.ending import keep_quiet; "
        "resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096)); keep_quiet(); "
        "print(resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout.strip() == "(0, 4096)"
