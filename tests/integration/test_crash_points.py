"""A short batch dies before, and in the middle of, each change to the disk; then the same command ends it well.

By chance a kill seldom strikes between two system calls. Here each such place has its kill: ``dying.py`` counts them in
the real command line. The whole list is under ``-m slow``; the default suite takes a seeded sample and the renames.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from books import assert_no_hole
from dying import Died, Mortals, mortals
from fake_ollama import Fault, answer, prompt_hash
from running import (
    Fleet,
    assert_answered,
    environment,
    fake_fleet,
    prompts,
    read_results,
    stored_results,
    write_prompts,
)

from arriero.client import verify
from arriero.errors import StorageError
from arriero.journal.reader import JournalReader
from arriero.journal.stored import StoredResult

ASKED = prompts(4)
AT_ONCE = 2
RUN = ("run", "prompts.txt", "-c", str(AT_ONCE))
SAMPLE = 2
"""Places by chance a scenario in the default suite."""


@dataclass(frozen=True)
class Scenario:
    """A command and what lies in its folder before it.

    Attributes:
        words: The command, without the fleet.
        output: Its output.
        prepare: Makes the folder.
        files: What is there in the end.
        fresh: The command begins anew (``--force``): what it had kept before is moved aside.
    """

    words: tuple[str, ...]
    output: str = "results.json"
    prepare: Callable[[Place], object] = lambda _: None
    files: tuple[str, ...] = ("results.json", "results.json.journal")
    fresh: bool = False


class Place:
    """A folder that is put back as it was before each command, servers and a process that forks the commands."""

    def __init__(self, base: Path, fleet: Fleet, alive: Mortals, scenario: Scenario) -> None:
        self.folder = base / "work"
        self.fleet = fleet
        self.scenario = scenario
        self._alive = alive
        self._before = base / "before"
        self.folder.mkdir(parents=True)
        write_prompts(self.folder, ASKED)
        scenario.prepare(self)
        shutil.copytree(self.folder, self._before)
        self.kept_before = self.kept()

    def reset(self) -> None:
        """The folder as it was prepared."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._before, self.folder)

    def run(self, *words: str, die_at: int | str = 0, torn: bool = False) -> Died:
        """A command in the folder; the prompts are its standard input."""
        flags = self.fleet.flags if words[0] == "run" else ()
        stdin = self.folder / "prompts.txt"
        return self._alive.run(self.folder, *words, *flags, die_at=die_at, torn=torn, stdin=str(stdin))

    def kept(self, journal: str = "") -> dict[int, StoredResult]:
        """Answers in a journal, the batch's own unless named; none if nothing was ever kept in it."""
        try:
            found = stored_results(self.folder, journal or self.journal)
            return {one.position: one for one in found if one.succeeded}
        except StorageError as error:
            if "holds nothing" not in str(error) and "There is no journal" not in str(error):
                raise
            return {}

    @property
    def journal(self) -> str:
        return f"{'stdout' if self.scenario.output == '-' else self.scenario.output}.journal"

    def die(self, at: int | str, *, torn: bool) -> None:
        """The command dies at a step; then the same command again."""
        self.reset()
        died = self.run(*self.scenario.words, die_at=at, torn=torn)
        where = f"step {at} of {len(died.steps)}, {died.steps[-1]}{', torn' if torn else ''}"
        kept = self.kept()
        self.look(kept, where)
        again = self.run(*self.scenario.words)
        assert again.code == 0, f"{where}: {again.err}"
        self.check(kept, again, where)
        if self.scenario.fresh:
            assert marks(self.kept_before) <= self.moved_aside(), f"{where}: the copy moved aside has lost a result"

    def moved_aside(self) -> set[str]:
        """What is kept in journals that were moved aside."""
        copies = [path.name for path in self.folder.glob(f"{self.journal}.*") if path.suffix[1:].isdigit()]
        return {mark for name in copies for mark in marks(self.kept(name))}

    def look(self, kept: dict[int, StoredResult], where: str) -> None:
        """Nothing that was told is gone, nothing half has the output's name."""
        if not self.scenario.fresh:
            assert marks(self.kept_before) <= marks(kept), f"{where}: a kept result is gone"
        path = self.folder / self.scenario.output
        if path.exists() and self.scenario.output != "-" and self.scenario.words[0] != "retry":
            assert len(read_results(self.folder, self.scenario.output)) == len(ASKED), f"{where}: half an output"
        followed = self.folder / f"{self.scenario.output}.partial"
        if "--unordered" in self.scenario.words and followed.exists():
            for line in followed.read_text().split("\n")[:-1]:
                position = ASKED.index(json.loads(line)["prompt"])
                assert position in kept, f"{where}: row {position} was told and is not kept"

    def check(self, kept: dict[int, StoredResult], again: Died, where: str) -> None:
        """The batch is whole, nothing that was kept was asked for again, both logs agree."""
        if self.scenario.output == "-":
            assert [json.loads(line)["response"] for line in again.out.splitlines()] == [
                answer(one) for one in ASKED
            ], where
            assert not (self.folder / self.journal).exists(), where
            return
        if "openai" not in self.scenario.words:
            records = read_results(self.folder, self.scenario.output)
            records.sort(key=lambda one: ASKED.index(one["prompt"]))
            assert_answered(records, ASKED)
        checked = verify(str(self.folder / self.scenario.output), None)
        assert checked.ok, f"{where}: {checked.lines()}"
        visible = {path.name for path in self.folder.iterdir() if not path.name.startswith(".")}
        aside = {name for name in visible if name.rpartition(".")[2].isdigit()}
        assert visible - aside == {"prompts.txt", *self.scenario.files}, where
        state = self.folder / ".home" / ".local" / "state" / "arriero"
        litter = {path.name for path in state.glob("*")} - {"learned.json", "learned.json.partial"}
        assert not litter, f"{where}: one more file with every kill: {litter}"
        self.check_books(kept, where)

    def check_books(self, kept: dict[int, StoredResult], where: str) -> None:
        """P15; redone is exactly what was not kept (P3), and what was kept stands (P4)."""
        ended = {one.position: one for one in stored_results(self.folder, self.journal)}
        with JournalReader(self.folder / self.journal) as reader:
            last = list(reader.sessions())[-1].name
        completed = Counter(one.attempt for one in self.fleet.requests("completed"))
        assert all(completed[one.attempt_name] == 1 for one in ended.values()), f"{where}: a result nobody answered"
        assert max(completed.values()) == 1, f"{where}: an attempt was sent twice"
        mine = [one for one in self.fleet.requests() if one.attempt.startswith(f"{last}-")]
        if not self.scenario.fresh:
            asked = Counter(position_of(one.prompt) for one in mine)
            left = Counter(position for position in range(len(ASKED)) if position not in kept)
            assert asked in (left, Counter()) if not left else asked == left, f"{where}: asked {asked}, left {left}"
            assert marks(kept) <= marks(ended), f"{where}: a kept result was replaced"
        assert_no_hole(completed, marks(kept), AT_ONCE)


def marks(results: dict[int, StoredResult]) -> set[str]:
    """Names of the attempts that decided."""
    return {one.attempt_name for one in results.values()}


def position_of(prompt: str) -> int:
    """Which row a server was asked for."""
    return [prompt_hash(asked) for asked in ASKED].index(prompt)


def half_way(place: Place) -> None:
    """A batch of which two rows are kept, killed with SQLite's side files and its lock beside it."""
    died = place.run(*RUN, "--first", "2", die_at="2 sqlite-write results.json.journal")  # the first made it
    assert died.code < 0
    assert len(place.kept()) == 2


def gone_on(place: Place) -> None:
    """The same, and a second session of the whole batch killed once it is in the journal, before all is kept."""
    half_way(place)
    assert place.run(*RUN, die_at="14 sqlite-write results.json.journal-wal").code < 0
    assert 2 <= len(place.kept()) < len(ASKED)


def ended(place: Place) -> None:
    """A batch that has ended."""
    assert place.run(*RUN).code == 0


def one_failed(place: Place) -> None:
    """A batch that has ended, with a row that was refused."""
    place.fleet.servers[0].script.faults = [Fault("status", status=400, contains=ASKED[1])]
    assert place.run(*RUN).code == 3
    place.fleet.calm()


OPENAI = ("results.jsonl", "results.errors.jsonl", "results.jsonl.journal")
SCENARIOS = {
    "run": Scenario(RUN),
    "resume": Scenario(RUN, prepare=half_way),
    "resume-output": Scenario(("resume", "results.json"), prepare=gone_on),
    "ended": Scenario(RUN, prepare=ended),
    "retry": Scenario(("retry", "results.json"), prepare=one_failed),
    "force": Scenario((*RUN, "--force"), prepare=ended, fresh=True),
    "force-killed": Scenario((*RUN, "--force"), prepare=half_way, fresh=True),
    "unordered": Scenario(
        (*RUN, "--unordered", "-o", "results.jsonl"),
        output="results.jsonl",
        files=("results.jsonl", "results.jsonl.journal"),
    ),
    "openai": Scenario((*RUN, "--format", "openai", "-o", "results.jsonl"), output="results.jsonl", files=OPENAI),
    "stdin": Scenario(
        ("run", "-", "-c", str(AT_ONCE), "-o", "results.json"),
        files=("results.json", "results.json.journal", "results.json.journal.input"),
    ),
    "stdout": Scenario((*RUN, "-o", "-"), output="-", files=()),
}


@contextmanager
def place_of(base: Path, scenario: Scenario) -> Iterator[Place]:
    """A folder, servers and a process of its own for one scenario."""
    base.mkdir()
    with fake_fleet(2) as fleet, mortals(environment(base)) as alive:
        yield Place(base, fleet, alive, scenario)


def steps_of(place: Place) -> list[str]:
    """The steps of the command when it lives."""
    place.reset()
    return place.run(*place.scenario.words).steps


def sampled(steps: list[str], seed: str) -> list[int | str]:
    """Before each rename, just after something was written to be read, and places by chance."""
    chance = random.Random(seed)
    renames = {step for step in steps if step.startswith(("replace results", "rename results"))}
    learned = {f"after {step}" for step in steps if step.startswith("create learned")}
    told = {f"after {step}" for step in steps if step.startswith("write results") and step.endswith(".partial")}
    return [*sorted(renames | told | learned), *sorted(chance.sample(range(1, len(steps) + 1), SAMPLE))]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_batch_that_dies_at_a_change_to_the_disk_is_ended_by_the_same_command(tmp_path: Path, name: str) -> None:
    with place_of(tmp_path / "a", SCENARIOS[name]) as place:
        for at in sampled(steps_of(place), name):
            place.die(at, torn=isinstance(at, int) and at % 2 == 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_batch_that_dies_at_any_change_to_the_disk_is_ended_by_the_same_command(tmp_path: Path, name: str) -> None:
    def half(number: int) -> int:
        with place_of(tmp_path / str(number), SCENARIOS[name]) as place:
            steps = steps_of(place)
            for at in range(1 + number, len(steps) + 1, 2):
                place.die(at, torn=False)
                if "write" in steps[at - 1]:
                    place.die(at, torn=True)
            return len(steps)

    with ThreadPoolExecutor(2) as pool:
        assert min(pool.map(half, range(2))) > 20, "the list of steps is not the command's"
