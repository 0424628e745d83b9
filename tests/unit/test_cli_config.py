from __future__ import annotations

import json

import pytest

from arriero.cli.app import start


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_config_show_prints_value_and_origin_of_each_setting(capsys, monkeypatch):
    monkeypatch.setenv("ARRIERO_RETRIES", "7")

    assert start(["config", "show", "--concurrent", "3x"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]

    assert ["concurrency", "3x", "-c"] in rows
    assert ["retries", "7", "ARRIERO_RETRIES"] in rows
    assert ["output", "results.json", "default"] in rows


def test_config_show_as_json_says_the_same(capsys):
    assert start(["config", "show", "--json", "-m", "m"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert {"name": "model", "value": "m", "origin": "-m"} in rows


def test_config_init_writes_a_file_that_works_and_overwrites_only_when_forced(capsys, place):
    assert start(["config", "init"]) == 0
    assert start(["config", "show"]) == 0
    (place / "arriero.toml").write_text("mine")

    assert start(["config", "init"]) == 2
    assert (place / "arriero.toml").read_text() == "mine"
    assert "--force" in capsys.readouterr().err

    assert start(["config", "init", "--force"]) == 0
    assert "[defaults]" in (place / "arriero.toml").read_text()
