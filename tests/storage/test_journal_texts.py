"""A damaged text or object in any column of a journal: a command says so or tells the truth, and none ends by a bug."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest
from dying import Mortals
from half_batch import JOURNAL, OUTPUT, run_words
from running import Fleet

from arriero.cli.app import start
from arriero.journal.statements import schema

READ = (("status",), ("status", "--json"), ("results",), ("results", "--salvage"), ("errors",), ("verify",))
VALUES = {"no text": "CAST(x'be' AS TEXT)", "no object": "'{'"}
DECIDE = ("batch", "binding", "session")
"""Tables that decide how a batch goes on."""

WORDS = ("batch.status", "batch.snapshot", "binding.value", "session.settings")
"""Columns of theirs where not every text will do."""

BUGS = ("Traceback", "this is a bug")


def columns() -> list[str]:
    """Every column that holds a text, or bytes of an object, as ``table.column``."""
    connection = apsw.Connection("")
    connection.execute(schema())
    found = connection.execute(
        "SELECT t.name || '.' || c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c "
        "WHERE t.type = 'table' AND c.type IN ('TEXT', 'BLOB') ORDER BY 1"
    ).fetchall()
    connection.close()
    return [name for (name,) in found]


def damage(journal: Path, place: str, value: str) -> None:
    """Another value in all rows of a column, where the key allows it."""
    table, column = place.split(".")
    connection = apsw.Connection(str(journal))
    kind = dict(connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,)))[column]
    connection.execute(f"UPDATE OR IGNORE {table} SET {column} = CAST({value} AS {kind})")  # noqa: S608 - names of ours
    connection.close()


@pytest.mark.parametrize("value", VALUES)
def test_a_damaged_text_ends_no_command_by_a_bug(
    half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], value: str
) -> None:
    folder = Path(shutil.copytree(half, tmp_path / "batch"))
    monkeypatch.chdir(folder)
    told = set()
    whole = read(capfd, "results", OUTPUT)[1]
    before = open_files()
    for place in columns():
        shutil.copy(half / JOURNAL, folder / JOURNAL)
        damage(folder / JOURNAL, place, VALUES[value])
        for command, *flags in READ:
            where = f"{place} is {value}: {command} {' '.join(flags)}"
            code, out, err = read(capfd, command, OUTPUT, *flags)
            assert code in (0, 2, 7), f"{where}: {err}"  # 2: a damaged row hash looks like a changed input
            assert not any(bug in err for bug in BUGS), f"{where}: {err}"
            if (command, *flags) == ("results",):
                assert set(out.splitlines()) <= set(whole.splitlines()), f"{where}: what is not so"
                assert code or out == whole, f"{where}: not all, and nothing is said"
            told.add(place if code else "")
    assert len(told) > 5, "damage was hardly ever noticed"
    assert open_files() <= before, "a command that met damage leaves files open"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def read(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = start(list(words))
    out, err = capfd.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (place, value)
        for place in columns()
        for value in VALUES
        if place.split(".")[0] in DECIDE and (value == "no text" or place in WORDS)
    ],
)
def test_a_batch_whose_journal_has_a_damaged_text_says_so_or_goes_on(
    folder: Path, commands: Mortals, fleet: Fleet, place: str, value: str
) -> None:
    damage(folder / JOURNAL, place, VALUES[value])
    words = [word for word in run_words(fleet) if word not in ("-m", "mistral:7b")]
    for sending in (["retry", OUTPUT, *fleet.flags], words):
        ended = commands.run(folder, *sending)
        assert not any(bug in ended.err for bug in BUGS), (sending[0], ended.err)
        assert ended.code in (0, 2, 3, 7), (sending[0], ended.err)
