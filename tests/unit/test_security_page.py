"""The page on security names tests; each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_is_there() -> None:
    files = list(TESTS.rglob("test_*.py"))
    there = {path.name for path in files}
    for path in files:
        there |= set(re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")))
    named = re.findall(r"\b(test_\w+(?:\.py)?)(…?)", PAGE.replace("test_security_….py", ""))

    assert len(named) > 25
    missing = [name for name, cut in named if not any(one.startswith(name) if cut else one == name for one in there)]
    assert missing == []


def test_every_test_of_security_is_named_on_the_page() -> None:
    for path in [*TESTS.glob("integration/test_security_*.py"), TESTS / "integration" / "test_canary.py"]:
        for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")):
            assert any(name.startswith(word) for word in re.findall(r"test_\w+", PAGE)), name
