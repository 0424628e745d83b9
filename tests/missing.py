"""missing(): what a test needs and this machine has not; a skip that is said, and a failure in CI."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip with the reason; in CI that is a failure, for nothing would be proved."""
    if any(os.environ.get(name, "") not in ("", "0", "false") for name in ("CI", "ARRIERO_CI")):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
