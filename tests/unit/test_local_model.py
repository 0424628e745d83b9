"""The demonstration model: where it is looked for, and what is said when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from arriero.errors import ConfigError
from arriero.local import LocalServer
from arriero.local.fetch import _follow
from arriero.local.model import WEIGHTS, model_path, models_folder


def test_it_is_looked_for_below_xdg_data_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert models_folder() == tmp_path / "arriero" / "models"
    assert model_path() is None


def test_a_relative_xdg_data_home_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert models_folder() == tmp_path / ".local" / "share" / "arriero" / "models"


def test_it_is_there_when_the_file_has_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    models_folder().mkdir(parents=True)
    (models_folder() / WEIGHTS).write_bytes(b"weights")

    assert model_path() == models_folder() / WEIGHTS


def test_without_it_the_server_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp", reason="the local extra is not installed")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    with pytest.raises(ConfigError) as refused, LocalServer():
        pass
    assert refused.value.hint == "arriero local install"


def test_each_tenth_of_a_download_is_told_once() -> None:
    told: list[str] = []

    said = _follow(
        ["Collecting x\n", *(f"Progress {done} of 1000000\n" for done in range(0, 1000001, 50000)), "Saved\n"],
        "x==1",
        told.append,
    )

    assert told == [f"x==1: {10 * tenth} % of 1 MB" for tenth in range(1, 11)]
    assert said == "    Collecting x\n    Saved"


def test_only_the_last_lines_of_an_installer_are_kept() -> None:
    said = _follow([f"line {number}\n" for number in range(100)], "x==1", lambda _: None)

    assert said.splitlines() == [f"    line {number}" for number in range(95, 100)]
