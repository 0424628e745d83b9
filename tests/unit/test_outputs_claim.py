import os
from pathlib import Path

import apsw
import pytest

from arriero.errors import HeldError, OutputError
from arriero.journal.connection import abandon, writing
from arriero.journal.lock import Lock
from arriero.outputs.claim import claim


def claimed(tmp_path, *, output="r.json", output_format="json", force=False, beside=()):
    return claim(str(tmp_path / output), output_format, journal=tmp_path / "r.json.journal", force=force, beside=beside)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_free_name_is_ours(tmp_path):
    assert claimed(tmp_path) == ()
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["r.json", "r.json.partial"])
def test_an_output_without_our_journal_is_refused_with_a_way_out(tmp_path, name):
    (tmp_path / name).write_text("precious")

    with pytest.raises(OutputError, match=rf"{name} exists and .*r\.json\.journal does not") as refused:
        claimed(tmp_path)
    assert refused.value.exit_code == 2
    assert "--force" in refused.value.hint
    assert (tmp_path / name).read_text() == "precious"


def test_an_output_with_its_journal_is_ours(tmp_path):
    for name in ("r.json", "r.json.partial", "r.json.journal"):
        (tmp_path / name).write_text("ours")

    assert claimed(tmp_path) == ()


def test_both_files_of_openai_are_looked_at(tmp_path):
    (tmp_path / "r.errors.jsonl").write_text("precious")

    with pytest.raises(OutputError, match=r"r\.errors\.jsonl exists"):
        claimed(tmp_path, output="r.jsonl", output_format="openai")


def test_force_renames_all_files_of_a_batch_aside_with_one_number(tmp_path):
    for name in (
        "r.json",
        "r.json.partial",
        "r.json.journal",
        "r.json.journal-wal",
        "r.json.input",
        "r.json.journal.1",
    ):
        (tmp_path / name).write_text(name)
    moved = claimed(tmp_path, force=True, beside=[tmp_path / "r.json.input"])

    assert [name for name in names(tmp_path) if not name.endswith("-shm")] == [
        "r.json.2",
        "r.json.input.2",
        "r.json.journal.1",
        "r.json.journal.2",
        "r.json.journal.2-wal",
        "r.json.partial.2",
    ]
    assert [one.new.name for one in moved if one.old.name == "r.json"] == ["r.json.2"]
    assert (tmp_path / "r.json.journal.2").read_text() == "r.json.journal"


def test_force_moves_what_a_kill_left_in_the_wal_with_the_journal(tmp_path):
    """A WAL goes by the name of its file: renamed beside it to another one, its results would be lost."""
    journal = tmp_path / "r.json.journal"
    with writing(journal) as connection:
        connection.execute("INSERT INTO meta VALUES ('only', 'in the WAL')")
        abandon(connection)
    assert (tmp_path / "r.json.journal-wal").stat().st_size
    claimed(tmp_path, force=True)

    assert names(tmp_path) == ["r.json.journal.1"]
    connection = apsw.Connection(str(tmp_path / "r.json.journal.1"))
    assert connection.execute("SELECT value FROM meta WHERE name = 'only'").get == "in the WAL"
    connection.close()


def test_force_with_nothing_there_moves_nothing(tmp_path):
    assert claimed(tmp_path, force=True) == ()


def test_force_never_takes_a_journal_from_the_process_that_owns_it(tmp_path):
    for name in ("r.json", "r.json.journal"):
        (tmp_path / name).write_text("theirs")
    lock = Lock.take(tmp_path / "r.json.journal")

    with pytest.raises(HeldError):
        claimed(tmp_path, force=True)
    lock.release()
    assert names(tmp_path) == ["r.json", "r.json.journal"]


def test_a_missing_folder_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(OutputError, match="gone does not exist") as refused:
        claimed(tmp_path, output="gone/r.json")
    assert refused.value.hint.startswith("mkdir -p ")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match="file is not a folder"):
        claimed(tmp_path, output="file/r.json")


def test_a_folder_as_output_is_refused(tmp_path):
    (tmp_path / "r.json").mkdir()

    with pytest.raises(OutputError, match=r"r\.json is a folder"):
        claimed(tmp_path)


@pytest.mark.parametrize("name", ["r.json", "r.json.partial"])
def test_a_link_is_neither_followed_nor_replaced(tmp_path, name):
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OutputError, match="is a symbolic link"):
        claimed(tmp_path, force=True)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OutputError, match="no plain file") as refused:
        claim(str(tmp_path / "pipe"), "json", journal=Path("/nonexistent"), force=False)
    assert "-o -" in refused.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)

    with pytest.raises(OutputError, match="cannot be written"):
        claimed(tmp_path)


def test_standard_output_is_never_in_the_way(tmp_path):
    assert claim("-", "json", journal=tmp_path / "j", force=False) == ()
