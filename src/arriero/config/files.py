"""Files: what a batch reads and writes, each in a place of its own and under a name that a disk takes."""

from __future__ import annotations

import os
from pathlib import Path

from arriero.config.formats import output_paths
from arriero.config.settings import OutputFormat
from arriero.errors import ConfigError

JOURNAL_SIDE = ("", "-wal", "-shm", "-journal", ".lock", ".input", ".input.partial")
"""What lies beside a journal, and the journal itself."""

NAME_BYTES = 255
"""Longest file name of the file systems in use (NAME_MAX)."""


def require_apart(source: str, output: str, output_format: OutputFormat, journal: str) -> None:
    """Refuse names that would let one file of a batch destroy another.

    Args:
        source: Path of the input; ``""`` or ``-`` for none.
        output: Path of the output; ``-`` for standard output.
        output_format: Its format; ``openai`` writes two files.
        journal: Path of the journal.

    Raises:
        ConfigError: If two of them are one file, by whatever name, or a name cannot be one.
    """
    told = {"input": source, "output": output, "journal": journal}
    for what, path in told.items():
        _require_name(what, path)
    written = [journal + side for side in JOURNAL_SIDE]
    for file in () if output == "-" else output_paths(output, output_format):
        written += [str(file), f"{file}.partial"]
    places = [os.path.realpath(path) for path in written]
    if len(set(places)) < len(places) or (source not in ("", "-") and os.path.realpath(source) in places):
        words = ", ".join(f"{what} {path}" for what, path in told.items() if path)
        raise ConfigError(
            f"input, output and journal, and the files beside them, must be different files: {words}",
            hint="name another output with -o, or another journal with --journal PATH",
        )


def _require_name(what: str, path: str) -> None:
    try:
        size = len(Path(path).name.encode())
    except UnicodeEncodeError:
        raise ConfigError(f"the name of the {what} is not UTF-8", hint="rename it, or name another one") from None
    longest = max(map(len, JOURNAL_SIDE)) if what == "journal" else len(".partial")
    if what != "input" and size + longest > NAME_BYTES:
        raise ConfigError(f"the name of the {what} is too long: {size} bytes", hint="choose a shorter one")
