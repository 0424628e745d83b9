"""The power goes at any moment: what was told is there when it is back, whatever the disk made of the rest (P2, P3)."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from kept_rows import BINDING, NAME, Ledger, State, assert_opened, stored
from power import Disk, power, restore

from arriero.errors import StorageError
from arriero.journal.journal import Journal

UPTIMES, CUTS = 4, 5
"""Cuts a seed: so many times the power comes back and goes, looked at that many moments each."""

SEEDS, MANY_SEEDS = 5, 100


@pytest.mark.parametrize(
    "seed", [*range(SEEDS), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(SEEDS, MANY_SEEDS))]
)
def test_nothing_told_is_lost_whenever_the_power_goes(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    folder, state = tmp_path / "start", State()
    folder.mkdir()
    with power() as vfs:
        for uptime in range(UPTIMES):
            disk = vfs.disk = Disk(folder)
            ledger = Ledger(folder, disk, state, f"{seed}-{uptime}")
            ledger.write()
            for number in range(CUTS):
                moment = disk.moment(chance)
                folder = restore(disk.after_cut(moment, chance), tmp_path / f"{uptime}-{number}")
                state = survivor(folder, ledger.states, disk.marks(moment), f"moment {moment}, {replay(seed)}")


def test_each_step_of_a_short_batch_and_its_retry_can_be_the_last(tmp_path: Path) -> None:
    folder, chance = tmp_path / "start", Random(1)
    folder.mkdir()
    with power() as vfs:
        disk = vfs.disk = Disk(folder)
        ledger = Ledger(folder, disk, State(), "short")
        ledger.session(0, groups=5)
        ledger.retry()
        for moment in range(len(disk.steps) + 1):
            left = restore(disk.after_cut(moment, chance), tmp_path / str(moment))
            survivor(left, ledger.states, disk.marks(moment), f"moment {moment}")
    assert ledger.states[-1].round == 1, "nothing was retried"


def survivor(folder: Path, states: list[State], marks: list[tuple[str, int]], where: str) -> State:
    """What a cut left must be one of the states that the journal went through, none older than what was told.

    It is opened and closed as the same command would do, and must hold the same afterwards.
    """
    try:
        return _survivor(folder, states, marks)
    except (AssertionError, StorageError) as error:
        raise AssertionError(f"a power cut took what was told: {error}\n{where}\nwhat was left: {folder}") from error


def _survivor(folder: Path, states: list[State], marks: list[tuple[str, int]]) -> State:
    told = max((number for what, number in marks if what == "told"), default=0)
    begun = max((number for what, number in marks if what == "began"), default=0)
    path = folder / NAME
    possible = states[told : begun + 1]
    begins = possible[0] == State() and (not path.exists() or not path.stat().st_size or nothing(path))
    if not begins:
        found = stored(path)
        assert any(same(found, state) for state in possible), f"it holds less than state {told}, or no whole state"
        possible = [state for state in possible if same(found, state)]
    journal = Journal.open(path, binding=BINDING, command="c", settings=b"{}")
    matching = [state for state in possible if state.used == journal.attempts_used]
    try:
        assert matching, "attempts that were charged or refunded are not as told"
        assert_opened(journal, matching[0])
    finally:
        journal.close()
    assert same(stored(path), matching[0]), "opening and closing changed what is there"
    assert [one.name for one in folder.iterdir()] == [NAME]
    return matching[0]


def nothing(path: Path) -> bool:
    """Whether a reader says that nothing was ever kept."""
    try:
        stored(path)
    except StorageError as error:
        return "holds nothing" in error.message
    return False


def same(found: State, state: State) -> bool:
    return (found.round, found.ended, found.earlier) == (state.round, state.ended, state.earlier)


def replay(seed: int) -> str:
    return f"replay with: pytest -m '' 'tests/storage/test_power_cut.py::{test_nothing_told_is_lost_whenever_the_power_goes.__name__}[{seed}]'"
