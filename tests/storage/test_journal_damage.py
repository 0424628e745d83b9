"""Each byte of a journal may be another one: every command tells the truth, or says that the journal is damaged."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from fake_ollama import INSTANT, Speed
from running import arriero, fake_fleet, started, wait_committed, write_prompts

from arriero.cli.app import start
from arriero.errors import ArrieroError
from arriero.journal.journal import Journal
from arriero.journal.reader import JournalReader

JOURNAL = "results.json.journal"
ROWS = 24
SAMPLED = 150
"""Bytes anywhere in a file by default, beside those of the headers of its pages; ``-m slow`` takes each."""

HEADER_BYTES, PAGE_HEADER_BYTES = 100, 12
"""Of the file and of a page of a table (SQLite file format, sections 1.3 and 1.6)."""

REFUSALS = (2, 7)
"""2: the binding does not fit any more, which is what damage to it or to the hash of a row looks like."""


SLOW = Speed(decode_tokens_per_s=100.0)


class Truth(NamedTuple):
    """A sound journal and what the commands say of it."""

    folder: Path
    journal: bytes
    results: str
    counts: dict[str, int]
    done: frozenset[int]
    binding: dict[str, str]
    page_bytes: int

    @property
    def finished(self) -> bool:
        return len(self.done) == ROWS


@pytest.fixture(scope="module", params=["finished", "half"])
def truth(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp(request.param)
    write_prompts(folder, ROWS)
    half = request.param == "half"
    with fake_fleet(2, speed=SLOW if half else INSTANT) as fleet:
        words = ("run", "prompts.txt", "-m", "mistral:7b", "-c", "2", *fleet.flags)
        if half:
            with started(folder, *words) as running:
                wait_committed(folder, 6, running)
                assert running.end(signal.SIGINT).code == 130
        else:
            assert arriero(folder, *words).code == 0
    return _truth(folder)


def _truth(folder: Path) -> Truth:
    with JournalReader(folder / JOURNAL) as reader:
        done = frozenset(result.position for result in reader.results())
        binding = reader.binding()
    results, status = arriero(folder, "results", "results.json"), arriero(folder, "status", "results.json", "--json")
    data = (folder / JOURNAL).read_bytes()
    page_bytes = int.from_bytes(data[16:18], "big")
    return Truth(folder, data, results.out, status.json["counts"], done, binding, page_bytes)


def damages(truth: Truth, chance: Random, *, every: bool) -> Iterator[tuple[int, bytes]]:
    """Where a byte is another one, and the whole file then."""
    data, pages = truth.journal, range(0, len(truth.journal), truth.page_bytes)
    places: Iterable[int] = range(len(data))
    if not every:
        headers = {page + at for page in pages for at in range(PAGE_HEADER_BYTES)}
        headers |= set(range(HEADER_BYTES + PAGE_HEADER_BYTES))
        written = [at for at, byte in enumerate(data) if byte]
        places = sorted(headers | set(chance.sample(written, SAMPLED)))
    for at in places:
        other = 0 if data[at] and chance.random() < 0.5 else data[at] ^ 1 << chance.randrange(8)
        yield at, b"".join((data[:at], bytes([other]), data[at + 1 :]))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"])
def test_a_changed_byte_is_said_or_changes_nothing(
    truth: Truth, every: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(truth.folder)
    refused = 0
    for at, data in damages(truth, Random(1), every=every):
        refused += assert_true(truth, data, capfd, f"byte {at}")
    assert refused > 20, "damage was hardly ever noticed"


def test_a_journal_that_was_cut_off_says_so(
    truth: Truth, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(truth.folder)
    for size in range(truth.page_bytes, len(truth.journal), truth.page_bytes):
        assert_true(truth, truth.journal[:size], capfd, f"cut off at {size}")
        assert_true(truth, truth.journal[: size - 7], capfd, f"cut off at {size - 7}")


def assert_true(truth: Truth, data: bytes, capfd: pytest.CaptureFixture[str], where: str) -> bool:
    """No command says what is not so; whether any refused."""
    path = Path(JOURNAL)
    path.write_bytes(data)
    try:
        results, status = said(capfd, "results"), said(capfd, "status", "--json")
        sound = results == (0, truth.results)
        if results[0] == 0:
            assert results[1] == truth.results, f"{where}: results that are not so: {difference(results[1], truth)}"
        else:
            lines = set(truth.results.splitlines())
            assert lines.issuperset(results[1].splitlines()), f"{where}: results that are not so, and then an error"
        if status[0] == 0 and json.loads(status[1])["counts"] != truth.counts:
            assert said(capfd, "verify")[0] != 0, f"{where}: status tells what is not so, and verify sees nothing"
            sound = False
        return not (opened_true(truth, where) and sound)
    finally:
        for name in ("", "-wal", "-shm", "-journal"):
            Path(f"{JOURNAL}{name}").unlink(missing_ok=True)


def said(capfd: pytest.CaptureFixture[str], command: str, *flags: str) -> tuple[int, str]:
    """Exit code and standard output of a command in this process; what it refuses, it refuses in words."""
    code = start([command, "results.json", *flags])
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    if command != "verify":
        assert code == 0 or code in REFUSALS, (code, err)
        assert code != 7 or JOURNAL in err + out, err
    return code, out


def opened_true(truth: Truth, where: str) -> bool:
    """Whether a run may go on; if so, it knows which rows have ended."""
    with Refusals():
        with Journal.open(JOURNAL, binding=truth.binding, command="c", settings=b"{}") as journal:
            found = frozenset(position for position in range(10 * ROWS) if position in journal.done)
            assert found == truth.done, f"{where}: a run would go on with {sorted(found ^ truth.done)} wrong"
        return True
    return False


class Refusals(AbstractContextManager[None]):
    """Lets pass what is refused in words."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, ArrieroError) and error.exit_code in REFUSALS


def difference(out: str, truth: Truth) -> str:
    wrong = [line for line in out.splitlines() if line not in truth.results.splitlines()]
    return os.linesep.join(wrong[:2]) or "some are missing"
