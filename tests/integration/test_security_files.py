"""Files of a batch: for their owner alone (P12), and never written through what somebody else has put in their place."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_ollama import Fault, Speed, prompt_hash
from running import (
    Fleet,
    assert_answered,
    fake_fleet,
    read_results,
    started,
    wait_committed,
    write_prompts,
    write_rows,
)
from running import arriero as command

import arriero
from arriero.errors import ArrieroError

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the batch is carried out."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """What this test starts has this mask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "mask", [0o000, pytest.param(0o022, marks=pytest.mark.slow), pytest.param(0o077, marks=pytest.mark.slow)]
)
def test_every_file_and_folder_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path, work: Path, mask: int) -> None:
    write_prompts(tmp_path, 30)
    env = {"XDG_STATE_HOME": str(work / "home" / "state")}
    failing = Fault("status", contains="number 3.", status=400)
    with fake_fleet(2, speed=Speed(decode_tokens_per_s=60.0)) as fleet, umask(mask):
        words = ("run", "-", "-o", "out.jsonl", "--unordered", *fleet.flags)
        with (tmp_path / "prompts.txt").open() as stdin, started(work, *words, stdin=stdin, env=env) as running:
            wait_committed(work, 3, running, "out.jsonl.journal")
            seen = modes(work)
            fleet.calm()
            ended = running.end()
        fleet.servers[0].script.faults = [failing]
        words = ("run", "../prompts.txt", "-o", "lines.jsonl", "--format", "openai")
        failed = command(work, *words, *fleet.flags, env=env)
        fleet.calm()
        arriero.run(["a prompt"], "list.json", fleet=fleet.urls)
    seen |= modes(work)

    assert (ended.code, failed.code) == (0, 3), ended.err + failed.err
    names = {"out.jsonl", "lines.jsonl", "list.json"}
    made = {name + end for name in names for end in ("", ".journal")} | {"out.jsonl.partial", "lines.errors.jsonl"}
    made |= {f"out.jsonl.journal{end}" for end in ("-wal", "-shm", ".lock", ".input")} | {"list.json.journal.input"}
    assert {Path(name).name for name in seen} >= made | {"learned.json"}
    assert {name: oct(mode) for name, mode in seen.items() if mode not in (0o600, 0o700)} == {}
    assert seen["home"] == seen["home/state"] == seen["home/state/arriero"] == 0o700


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}


@contextmanager
def dumps_allowed() -> Iterator[None]:
    """What this test starts may dump its memory as far as the machine lets it."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="limits of a process are read from /proc")
@pytest.mark.skipif(not resource.getrlimit(resource.RLIMIT_CORE)[1], reason="no process may dump its memory here")
def test_a_process_that_crashes_dumps_no_memory(tmp_path: Path) -> None:
    write_prompts(tmp_path, 30)
    with (
        dumps_allowed(),
        fake_fleet(1, speed=Speed(decode_tokens_per_s=60.0)) as fleet,
        started(tmp_path, "run", "prompts.txt", *fleet.flags) as running,
    ):
        wait_committed(tmp_path, 1, running)
        limits = Path(f"/proc/{running.process.pid}/limits").read_text()
        fleet.calm()

    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4] == "0"


PLACES = ("results.json", "results.json.partial", *(f"results.json.journal{end}" for end in
          ("", ".lock", ".input", ".input.partial", "-wal", "-shm", "-journal")))  # fmt: skip
VICTIM = "what another file holds\n"


def keep_two(fleet: Fleet) -> str:
    """A batch of two rows from a list, which is kept beside its journal; why it was refused, or nothing."""
    try:
        arriero.run(["one prompt", "another"], "results.json", fleet=fleet.urls)
    except ArrieroError as error:
        assert fleet.requests() == []
        return f"{error.message} {error.hint}"
    assert [record["status"] for record in read_results(Path.cwd())] == ["success"] * 2
    return ""


@pytest.mark.parametrize(
    "kind", ["symlink", "hardlink", *(pytest.param(one, marks=pytest.mark.slow) for one in ("dangling", "fifo"))]
)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_written_through_a_link_that_stands_in_the_place_of_a_file(
    tmp_path: Path, work: Path, place: str, kind: str
) -> None:
    victim, target = tmp_path / "victim", tmp_path / "nothing-there"
    victim.write_text(VICTIM)
    if kind == "hardlink":
        (work / place).hardlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(work / place)
    else:
        (work / place).symlink_to(victim if kind == "symlink" else target)
    with fake_fleet(2) as fleet:
        refused = keep_two(fleet)

    assert victim.read_text() == VICTIM
    assert not target.exists()
    if refused:
        assert place in refused or "not what the batch was begun with" in refused
    else:
        assert not (work / place).is_symlink()
        assert modes(work)["results.json.journal"] == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")
@pytest.mark.parametrize("place", PLACES)
def test_what_another_user_has_put_there_and_holds_open_is_never_written_to(work: Path, place: str) -> None:
    with (work / place).open("w+") as held:
        (work / place).chmod(0o666)
        os.chown(work / place, 65534, 65534)
        with fake_fleet(2) as fleet:
            refused = keep_two(fleet)
        read = held.read()

    assert not [word for word in ("one prompt", prompt_hash("one prompt"), "CREATE TABLE") if word in read]
    assert not refused or place in refused


def test_standard_input_is_not_copied_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text(VICTIM)
    (tmp_path / "results.json.journal.input.partial").symlink_to("victim")
    with fake_fleet(2) as fleet:
        done = command(tmp_path, "run", "-", *fleet.flags, stdin="one prompt\n")

    assert done.code == 7
    assert done.err == "error: results.json.journal.input.partial: standard input cannot be kept: File exists\n"
    assert (tmp_path / "victim").read_text() == VICTIM


def test_an_output_folder_that_is_a_link_is_followed_and_its_files_are_private(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    asked = write_prompts(tmp_path, 3)
    with fake_fleet(2) as fleet:
        done = command(tmp_path, "run", "prompts.txt", "-o", "link/results.json", *fleet.flags)
        again = command(tmp_path, "verify", "real/results.json")

    assert (done.code, again.code) == (0, 0), done.err + again.out
    assert_answered(read_results(tmp_path / "real"), asked)
    assert set(modes(tmp_path / "real").values()) == {0o600}


def test_an_id_or_a_model_with_a_path_in_it_names_no_file(tmp_path: Path) -> None:
    rows = [{"id": f"../../{name}", "prompt": "p", "model": "../up/x:7b"} for name in ("x", "etc/passwd", "\\..\\y")]
    work = tmp_path / "a" / "b"
    work.mkdir(parents=True)
    write_rows(work, rows)
    with fake_fleet(2, models=["../up/x:7b"]) as fleet:
        done = command(work, "run", "rows.jsonl", "-o", "out.jsonl", "--format", "openai", *fleet.flags)
        retried = command(work, "results", "out.jsonl")

    assert done.code == 0, done.err
    assert [line["id"] for line in retried.lines] == [row["id"] for row in rows]
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    beside = {
        "out.jsonl",
        "out.errors.jsonl",
        "out.jsonl.journal",
        "rows.jsonl",
        ".home/.local/state/arriero/learned.json",
    }
    assert made == {f"a/b/{name}" for name in beside}
