"""Real servers for the live tests: a fleet of Ollama, the embedded model; skipped loudly, and never in CI."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from arriero.local import model_path
from guard import guard
from missing import missing

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from ollama_fleet import OllamaFleet  # noqa: E402 - lies beside this file, which is no package
from ollama_install import EMBEDDER, MODELS, installed  # noqa: E402 - the same
from real_ollama import fleet  # noqa: E402 - the same

SLOTS = (1, 2, 4)
REMEDY = "python .ci/real_ollama.py install"


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder below which our servers live; killed tests leave none of them behind."""
    folder = tmp_path_factory.mktemp("servers")
    with guard(folder):
        yield folder


@pytest.fixture(scope="session")
def ollama_fleet(home: Path) -> Iterator[OllamaFleet]:
    """The servers ``ARRIERO_TEST_OLLAMA`` names (comma list), else three of our own with 1, 2 and 4 slots."""
    if named := os.environ.get("ARRIERO_TEST_OLLAMA"):
        model = os.environ.get("ARRIERO_TEST_MODEL", MODELS[1])
        embedder = os.environ.get("ARRIERO_TEST_EMBEDDER", EMBEDDER)
        yield OllamaFleet(tuple(named.split(",")), model, embedder)
        return
    root = installed()
    if root is None:
        missing(f"no real Ollama: {REMEDY}, or ARRIERO_TEST_OLLAMA=URL,URL")
    with fleet(root, SLOTS, home / "session") as servers:
        yield OllamaFleet.of(servers)


@pytest.fixture
def own_fleet(home: Path) -> Iterator[Callable[..., OllamaFleet]]:
    """Starts servers that a test has to itself, to kill and to stop: ``own_fleet(1, 4, OLLAMA_MAX_LOADED_MODELS="1")``."""
    root = installed()
    if root is None:
        missing(f"no real Ollama of our own, and others are not killed: {REMEDY}")
    with contextlib.ExitStack() as stack:

        def start(*slots: int, **settings: str) -> OllamaFleet:
            folder = Path(tempfile.mkdtemp(dir=home))
            return OllamaFleet.of(stack.enter_context(fleet(root, slots, folder, settings=settings)))

        yield start


@pytest.fixture(scope="session")
def embedder(ollama_fleet: OllamaFleet) -> str:
    """A model of the fleet that only embeds."""
    listed = urllib3.request("GET", f"{ollama_fleet.urls[0]}/api/tags", timeout=10).json()["models"]
    if ollama_fleet.embedder not in [model["name"] for model in listed]:
        missing(f"the servers do not hold {ollama_fleet.embedder}; another embedding model: ARRIERO_TEST_EMBEDDER=NAME")
    return ollama_fleet.embedder


@pytest.fixture(scope="session")
def local_model() -> Path:
    """The weights of the embedded instance."""
    path = model_path()
    if path is None:
        missing("no demonstration model: arriero local install")
    return path
