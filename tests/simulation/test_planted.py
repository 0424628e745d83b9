"""A simulation that nobody has tried to fool proves little: bugs planted in the core must be found."""

from __future__ import annotations

import pytest

from planted import BUGS, hunt

DEFAULT = ("one too many on an instance", "a second end counts", "a re-opened place is forgotten")


@pytest.mark.parametrize("bug", DEFAULT)
def test_the_worlds_find(bug: str):
    found, said = hunt(bug)

    assert found, said


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", [name for name in BUGS if name not in DEFAULT])
def test_the_worlds_also_find(bug: str):
    found, said = hunt(bug)

    assert found, said
