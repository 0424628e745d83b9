from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import arriero
from arriero import __version__
from arriero.cli.app import COMMANDS, LATER, start


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def said(capsys, *argv: str) -> tuple[int, str, str]:
    code = start(argv)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_version_needs_no_heavy_module():
    heavy = "('aiohttp', 'rich', 'apsw', 'uvloop', 'asyncio', 'msgspec', 'click', 'ssl')"
    program = f"import sys; from arriero.cli import main; main(); print([n for n in {heavy} if n in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", program, "--version"], capture_output=True, text=True, check=True, timeout=20
    )

    assert process.stdout.splitlines() == [f"arriero {__version__}", "[]"]


def test_help_needs_no_module_of_any_command():
    program = (
        "import sys; from arriero.cli.app import start; start(['-h']); "
        "print([n for n in ('aiohttp', 'rich', 'apsw', 'uvloop', 'arriero.cli.run') if n in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)

    assert process.stdout.splitlines()[-1] == "[]"


def test_the_program_is_a_module_too():
    process = subprocess.run(
        [sys.executable, "-m", "arriero", "run", "x.txt", "-c", "0"],
        capture_output=True, text=True, check=False, timeout=20, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip

    assert process.returncode == 2
    assert process.stderr.startswith("error: -c: ")


@pytest.mark.parametrize("command", ["", *COMMANDS, "fleet ps", "local install", "config show", "config init"])
def test_every_help_starts_with_examples(capsys, command):
    code, out, err = said(capsys, *command.split(), "-h")

    assert (code, err) == (0, "")
    assert out.startswith("Examples:\n  ")


def test_what_is_not_built_is_absent_from_the_help(capsys):
    out = said(capsys, "-h")[1]

    listed = [line.split()[0] for line in out[out.index("Commands:") :].splitlines()[1:] if line.startswith("  ")]
    assert set(LATER).isdisjoint(listed)
    assert set(COMMANDS) <= set(listed)


@pytest.mark.parametrize(
    "line",
    [
        *LATER,
        "watch -h",
        "fleet check",
        "fleet pull mistral",
        "run p.txt --length-groups 100:50",
        "run p.txt --engine simulated",
        "run p.txt --display full",
        "run p.txt -m a -m b",
        "run p.parquet",
    ],
)
def test_what_is_not_built_is_answered_as_such(capsys, line):
    code, out, err = said(capsys, *line.split())

    assert (code, out) == (2, "")
    assert "not in this version" in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run", "one input is wanted"),
        ("run a.txt b.txt", "one input is wanted, not 2"),
        ("run a.txt --frist 3", "--first"),
        ("rnu a.txt", "did you mean run?"),
        ("run a.txt -c lots", "auto:30"),
        ("run a.txt --concurrent 0", "-c: "),
        ("run a.txt -o - --json", "both want standard output"),
        ("run a.txt --timeout soon", "forms: auto"),
        ("run a.csv", "rows.jsonl makes jsonl of a .csv"),
        ("run a.txt -i gpu:1 --local", "leave out -i or --local"),
        ("run a.txt --fleet no.toml", "arriero config init writes one"),
        ("run a.txt -O num_predict=x", "-O num_predict=256"),
        ("run a.txt -o a.txt --format json", "input a.txt, output a.txt"),
        ("errors --show x", "--show"),
        ("config init x", "x"),
    ],
)
def test_a_wrong_command_line_exits_2_with_what_helps(capsys, line, words):
    code, _, err = said(capsys, *line.split())

    assert code == 2
    if "--json" not in line:
        assert err.startswith("error: ")
        assert "\nhelp: " in err
        assert words in err


@pytest.mark.parametrize(
    "line", ["errors --json --bogus", "run p.txt --json -c x", "watch --json", "status --json a b"]
)
def test_with_json_an_error_is_json_too(capsys, line):
    code, out, err = said(capsys, *line.split())
    error = json.loads(out)["error"]

    assert (code, err) == (2, "")
    assert set(error) == {"kind", "message", "hint"}
    assert error["kind"] in ("usage", "config")


def test_no_command_shows_the_help_and_exits_2(capsys):
    code, _, err = said(capsys)

    assert code == 2
    assert "Commands:" in err


def test_an_error_shows_control_characters_and_does_not_send_them(capsys):
    err = said(capsys, "run", "a\x1b[2J\u202e.dat")[2]

    assert "\x1b" not in err
    assert "\\x1b[2J\\u202e" in err


def test_an_interrupt_outside_a_batch_exits_130(capsys, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("arriero.cli.config.load", interrupted)

    assert said(capsys, "config", "show")[0] == 130


def test_an_error_has_no_form_and_no_help_twice(capsys):
    err = said(capsys, "run", "a.txt", "--timeout", "soon")[2]

    assert err.count("forms:") == 1
    assert err.count("help:") == 1
    assert len(err.splitlines()) == 2


def test_a_variable_that_nothing_reads_is_told_with_the_one_that_was_meant(capsys, monkeypatch):
    monkeypatch.setenv("ARRIERO_MODLE", "mistral:7b")

    assert "ARRIERO_MODLE in the environment is no setting" in (err := said(capsys, "config", "show")[2])
    assert "did you mean `ARRIERO_MODEL`?" in err


def test_python_sees_every_name_and_the_help_of_an_error():
    assert {"run", "map", "Client"} <= {*dir(arriero)}
    assert str(arriero.ConfigError("wrong", hint="mend it")) == "wrong\nmend it"
    assert str(arriero.ConfigError("wrong")) == "wrong"
