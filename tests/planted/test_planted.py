"""Tests that nobody has tried to fool prove little: each promise has bugs planted, and the test it names must notice."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bug import REPOSITORY, Bug, bugs, copied, plant, proof

BUGS = bugs()
PROMISES = [f"P{number}" for number in range(1, 16)]
QUICK = (
    "P01-delayed-rows-are-forgotten",
    "P05-renamed-before-it-is-synced",
    "P09-the-lock-is-shared",
    "P14-busy-is-a-server-error",
)
"""Those that every run of the tests plants; ``-m slow`` plants all."""


def by_name(chosen: list[Bug]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bug", chosen, ids=[bug.name for bug in chosen])


def test_every_promise_has_a_planted_bug() -> None:
    assert {bug.promise for bug in BUGS} == set(PROMISES)
    assert all(bug.name.startswith(f"P{int(bug.promise[1:]):02d}-") for bug in BUGS)


def test_every_planted_bug_names_a_test_that_is_there() -> None:
    for bug in BUGS:
        file, _, test = bug.test.partition("::")
        tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
        tests = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}

        assert test.rpartition("::")[2].partition("[")[0] in tests, f"{bug.name} names {bug.test}"


@pytest.fixture(scope="module")
def sources() -> Iterator[Path]:
    """A folder with a copy of the package's sources."""
    with copied() as folder:
        yield folder


@by_name(BUGS)
def test_a_planted_bug_fits_the_code_and_still_compiles(bug: Bug, sources: Path) -> None:
    plant(bug, sources)
    try:
        for line in bug.file.read_text(encoding="utf-8").splitlines():
            if line.startswith("+++ b/src/") and line.endswith(".py"):
                ast.parse((sources / line.removeprefix("+++ b/")).read_text(encoding="utf-8"))
    finally:
        plant(bug, sources, "-R")


@by_name([bug for bug in BUGS if bug.name in QUICK])
def test_its_test_notices(bug: Bug) -> None:
    noticed, said = proof(bug)

    assert noticed, said


@pytest.mark.slow
@pytest.mark.timeout(300)
@by_name([bug for bug in BUGS if bug.name not in QUICK])
def test_its_test_also_notices(bug: Bug) -> None:
    noticed, said = proof(bug)

    assert noticed, said
