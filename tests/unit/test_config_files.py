"""Files: no name may let one file of a batch destroy another."""

from __future__ import annotations

import pytest

from arriero.config.files import require_apart
from arriero.errors import ConfigError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "work" / "link.txt").symlink_to("p.txt")


@pytest.mark.parametrize(
    ("source", "output", "form", "journal"),
    [
        ("p.txt", "p.txt", "jsonl", "j"),
        ("p.txt", "../work/p.txt", "jsonl", "j"),
        ("link.txt", "p.txt", "json", "j"),
        ("p.txt", "o.json", "json", "o.json.partial"),
        ("p.txt", "o.json", "json", "../work/o.json"),
        ("p.txt", "o.jsonl", "openai", "o.errors.jsonl"),
        ("p.txt", "o.json", "openai", "o.jsonl.partial"),
        ("j.lock", "o.json", "json", "j"),
        ("j.input", "o.json", "json", "j"),
        ("-", "j.input", "json", "j"),
        ("-", "j-wal", "json", "j"),
    ],
)
def test_what_would_be_overwritten_is_refused(source, output, form, journal):
    with pytest.raises(ConfigError, match="must be different files"):
        require_apart(source, output, form, journal)


@pytest.mark.parametrize(
    ("source", "output", "form", "journal"),
    [
        ("p.txt", "o.json", "json", "o.json.journal"),
        ("-", "-", "jsonl", "stdout.journal"),
        ("p.txt", "-", "jsonl", "stdout.journal"),
        ("", "o.json", "json", "o.json.journal"),
        ("p.jsonl", "o.jsonl", "openai", "o.jsonl.journal"),
    ],
)
def test_files_of_their_own_are_fine(source, output, form, journal):
    require_apart(source, output, form, journal)


@pytest.mark.parametrize(
    ("source", "output", "words"),
    [
        ("p.txt", "a\udc80.json", "output is not UTF-8"),
        ("a\udc80.txt", "o.json", "input is not UTF-8"),
        ("p.txt", "x" * 250 + ".json", "output is too long"),
        ("p.txt", "x" * 235 + ".json", "journal is too long"),
    ],
)
def test_a_name_that_no_disk_takes_is_refused(source, output, words):
    with pytest.raises(ConfigError, match=words):
        require_apart(source, output, "json", f"{output}.journal")
