"""Fixtures that every folder of tests may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from arriero.backends.dialects import backend
from arriero.backends.wire import Backend

pytest_plugins = ["budgets", "workers"]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own: what is learned elsewhere must not bear on it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(scope="session")
def dialects() -> dict[str, Backend]:
    """The real backends by name."""
    return {name: backend(name) for name in ("ollama", "openai")}
