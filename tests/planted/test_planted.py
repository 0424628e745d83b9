"""Tests that nobody has tried to fool prove little: each promise has bugs planted, and the test it names must notice."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bug import REPOSITORY, Bug, bugs, planted, proof

BUGS = bugs()
QUICK = ("P01-delayed-rows-are-forgotten",)
"""Those that every run of the tests plants; ``-m slow`` plants all."""


def by_name(chosen: list[Bug]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bug", chosen, ids=[bug.name for bug in chosen])


def test_every_planted_bug_names_a_test_that_is_there() -> None:
    for bug in BUGS:
        file, _, test = bug.test.partition("::")
        tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
        tests = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}

        assert test.rpartition("::")[2].partition("[")[0] in tests, f"{bug.name} names {bug.test}"


@by_name(BUGS)
def test_a_planted_bug_fits_the_code_and_still_compiles(bug: Bug) -> None:
    with planted(bug) as source:
        for line in bug.file.read_text(encoding="utf-8").splitlines():
            if line.startswith("+++ b/src/"):
                ast.parse((source / line.removeprefix("+++ b/src/")).read_text(encoding="utf-8"))


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
