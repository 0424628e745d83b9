"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from arriero.backends.dialects import backend
from arriero.backends.wire import Backend

pytest_plugins = ["budgets", "workers"]


def pytest_configure() -> None:
    """A shell that starts us in the background, or ``nohup``, hands on ignored signals, and so would we to what is tested."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own: what is learned elsewhere must not bear on it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(scope="session")
def dialects() -> dict[str, Backend]:
    """The real backends by name."""
    return {name: backend(name) for name in ("ollama", "openai")}
