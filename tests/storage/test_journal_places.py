"""What may lie in a journal's place: each command uses it, or says what it is and what to do, and takes nothing away."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest
from dying import Mortals
from half_batch import JOURNAL, NO_PLACE, OUTPUT, ROWS, assert_ended, assert_says, content, run_words
from running import Fleet

READ = (("status", OUTPUT), ("results", OUTPUT), ("verify", OUTPUT))


def sql(path: Path, text: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(text)
    connection.close()


def deleted(journal: Path) -> None:
    journal.unlink()


def of_another_batch(journal: Path) -> None:
    sql(journal, "UPDATE binding SET value = '[\"llama3\"]' WHERE name = 'model'")


def of_another_program(journal: Path) -> None:
    journal.unlink()
    sql(journal, "CREATE TABLE theirs (a)")


def a_text(journal: Path) -> None:
    journal.write_text("to do: buy salt\n" * 300)


def newer(journal: Path) -> None:
    sql(journal, "PRAGMA user_version = 9; UPDATE meta SET value = '7.8.9' WHERE name = 'version'")


def empty(journal: Path) -> None:
    journal.write_bytes(b"")


def a_link(journal: Path) -> None:
    journal.rename(journal.with_name("elsewhere"))
    journal.symlink_to("elsewhere")


def a_folder(journal: Path) -> None:
    journal.unlink()
    journal.mkdir()


def a_pipe(journal: Path) -> None:
    journal.unlink()
    os.mkfifo(journal)


def cut_off(journal: Path) -> None:
    os.truncate(journal, journal.stat().st_size // 2)


class Case(NamedTuple):
    """What lies there, and what is said to it.

    Attributes:
        put: Puts it there.
        run: Exit code of ``run``; words of its message.
        read: Exit code of the commands that read; words of theirs, of all or of each.
    """

    put: Callable[[Path], None]
    run: tuple[int, str, str]
    read: tuple[int, str, str]


CASES = [
    Case(deleted, (2, "is not an output of this batch", "--force"), (2, "there is no journal", "--journal PATH")),
    Case(of_another_batch, (2, "belongs to another batch", "--force"), (0, "", "")),
    Case(of_another_program, (7, "is not a journal of arriero", NO_PLACE), (7, "not a journal of arriero", NO_PLACE)),
    Case(a_text, (7, "is damaged", "--force"), (7, "is damaged", "--salvage")),
    Case(cut_off, (7, "is damaged", "--salvage"), (7, "is damaged", "--salvage")),
    Case(newer, (7, "needs arriero 7.8.9", "pip install"), (7, "needs arriero 7.8.9", "pip install")),
    Case(empty, (3, f"{ROWS} rows", ""), (7, "holds nothing", "run the same command again")),
    Case(a_link, (7, "is a symbolic link", NO_PLACE), (7, "is a symbolic link", NO_PLACE)),
    Case(a_folder, (7, "is not a regular file", NO_PLACE), (7, "is not a regular file", NO_PLACE)),
    Case(a_pipe, (7, "is not a regular file", NO_PLACE), (7, "is not a regular file", NO_PLACE)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.put.__name__)
def test_whatever_lies_in_the_journals_place_is_used_or_named_and_left_as_it_is(
    folder: Path, commands: Mortals, fleet: Fleet, case: Case
) -> None:
    case.put(folder / JOURNAL)
    before, sent = content(folder), len(fleet.entries)

    for words in READ:
        assert_says(commands.run(folder, *words), *case.read, str(words))
        assert content(folder) == before, f"{words} changed something"
    ran = commands.run(folder, *run_words(fleet))

    assert_says(ran, *case.run, "run")
    if ran.code in (2, 7):
        assert content(folder) == before, "a run that was refused changed something"
        assert len(fleet.entries) == sent, "a run that was refused asked the fleet"
    else:
        assert_ended(folder, commands)


def test_a_journal_of_schema_1_is_read_goes_on_and_is_one_of_schema_2_then(
    folder: Path, commands: Mortals, fleet: Fleet
) -> None:
    whole = commands.run(folder, "results", OUTPUT).out
    status = commands.run(folder, "status", OUTPUT, "--json").out
    step_down(folder / JOURNAL)
    kept, sent = len(whole.splitlines()), len(fleet.requests())
    before = content(folder)

    read = [commands.run(folder, *words) for words in (*READ, ("status", OUTPUT, "--json"))]
    assert [one.code for one in read] == [0, 0, 0, 0], f"schema 1 is not read: {read[1].err}"
    assert read[1].out == whole
    assert read[3].out == status
    assert content(folder) == before, "reading changed something"

    ran = commands.run(folder, *run_words(fleet))
    assert_says(ran, 3, f"{kept} ended before", "", "run")
    assert len(fleet.requests()) == sent + ROWS - kept, "what had ended was sent again"
    assert_ended(folder, commands)
    assert commands.run(folder, "results", OUTPUT).out.startswith(whole.splitlines()[0])
    assert schema_of(folder / JOURNAL) == 2, "an arriero that knows no seals would take them for answers"


def step_down(journal: Path) -> None:
    """Make it what an arriero of schema 1 would have written: its tables, and no seals."""
    newest = journal.rename(journal.with_name("newest"))
    connection = apsw.Connection(str(journal))
    connection.execute(Path(__file__).with_name("schema_1.sql").read_text())
    connection.execute(f"PRAGMA application_id = {0x41525249}; PRAGMA user_version = 1; ATTACH '{newest}' AS newest")
    for (table,) in connection.execute("SELECT name FROM newest.sqlite_schema WHERE type = 'table'").fetchall():
        connection.execute(f"INSERT INTO main.{table} SELECT * FROM newest.{table}")  # noqa: S608 - our own names
    connection.execute("UPDATE main.answer SET outcome = substr(outcome, 1, length(outcome) - 9)")
    assert connection.execute("SELECT count(*) FROM answer WHERE CAST(outcome AS TEXT) NOT LIKE '%}'").get == 0, (
        "not only seals"
    )
    connection.close()
    newest.unlink()


def schema_of(journal: Path) -> object:
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute("PRAGMA user_version").get
    finally:
        connection.close()
