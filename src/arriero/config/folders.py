"""Folders: where settings and state of a user lie, by the XDG base directory specification."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

PRIVATE = 0o700
"""The mode that the specification wants for folders that are made: for their owner alone."""


def config_file(env: Mapping[str, str]) -> Path | None:
    """The user's settings: ``$XDG_CONFIG_HOME/arriero/config.toml``; None where there is no home."""
    folder = _base(env, "XDG_CONFIG_HOME", ".config")
    return folder / "config.toml" if folder else None


def state_folder(env: Mapping[str, str]) -> Path | None:
    """What is learned and reported: ``$XDG_STATE_HOME/arriero``; None where there is no home. It may not exist."""
    return _base(env, "XDG_STATE_HOME", ".local/state")


def make_private(folder: Path) -> None:
    """Make a folder and what is missing above it for their owner alone, whatever the umask says.

    ``Path.mkdir`` gives its mode to the last folder only.

    Raises:
        OSError: If one cannot be made, or something else has its name.
    """
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=PRIVATE, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def _base(env: Mapping[str, str], variable: str, below_home: str) -> Path | None:
    named, home = env.get(variable, ""), env.get("HOME", "")
    # The specification says that a relative path is to be ignored.
    if named and Path(named).is_absolute():
        return Path(named) / "arriero"
    return Path(home) / below_home / "arriero" if home else None
