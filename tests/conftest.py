"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import pytest

from arriero.backends.dialects import backend
from arriero.backends.wire import Backend

pytest_plugins = ["budgets"]


@pytest.fixture(scope="session")
def dialects() -> dict[str, Backend]:
    """The real backends by name."""
    return {name: backend(name) for name in ("ollama", "openai")}
