"""Real servers for the live tests: a fleet of Ollama, the embedded model; skipped loudly, and never in CI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import urllib3

from arriero.local import model_path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(HERE))

from ollama_fleet import OllamaFleet  # noqa: E402 - lies beside this file, which is no package
from ollama_install import EMBEDDER, MODELS, installed  # noqa: E402 - the same

SLOTS = ("1", "2", "4")


def missing(what: str) -> NoReturn:
    """Skip with the reason; in CI that is a failure, for nothing would be proved."""
    if any(os.environ.get(name, "") not in ("", "0", "false") for name in ("CI", "ARRIERO_CI")):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def ollama_fleet() -> Iterator[OllamaFleet]:
    """The servers ``ARRIERO_TEST_OLLAMA`` names (comma list), else three of our own with 1, 2 and 4 slots."""
    if named := os.environ.get("ARRIERO_TEST_OLLAMA"):
        model = os.environ.get("ARRIERO_TEST_MODEL", MODELS[1])
        embedder = os.environ.get("ARRIERO_TEST_EMBEDDER", EMBEDDER)
        yield OllamaFleet(tuple(named.split(",")), model, embedder)
        return
    if installed() is None:
        missing("no real Ollama: python .ci/real_ollama.py install, or ARRIERO_TEST_OLLAMA=URL,URL")
    # A process that ends its servers when the pipe closes: killed tests leave nothing behind.
    with subprocess.Popen(
        [sys.executable, str(REPOSITORY / ".ci" / "real_ollama.py"), "serve", "--slots", *SLOTS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield OllamaFleet(tuple(ready["urls"]), MODELS[1], EMBEDDER, tuple(Path(log) for log in ready["logs"]))
        process.stdin.close()
        process.wait()


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
