"""claim(): whether an output may be written where the user wants it, before anything is sent."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from arriero.config.formats import output_paths
from arriero.config.settings import OutputFormat
from arriero.errors import OutputError
from arriero.journal.connection import rejoin
from arriero.journal.lock import Lock
from arriero.journal.place import SIDE_FILES, exists, side_file
from arriero.outputs.partial import partial_path


class Aside(NamedTuple):
    """A file that was renamed out of the way."""

    old: Path
    new: Path


def claim(
    output: str, output_format: OutputFormat, *, journal: Path, force: bool, beside: Sequence[Path] = ()
) -> tuple[Aside, ...]:
    """Make sure that the output is ours to write.

    Args:
        output: Path of the output; ``-`` for standard output, which is never in the way.
        output_format: Its format.
        journal: The batch's journal; where it exists, the output is ours.
        force: Rename output, partial file and journal aside, all with the first number that is free for all.
        beside: Further files of the batch that move with the journal, such as a spooled standard input.

    Returns:
        What was renamed.

    Raises:
        OutputError: If a file that is not ours has the name, or the folder is missing or cannot be written.
        HeldError: With ``force``, if a process owns the journal.
        StorageError: If something that is no plain file is in the journal's place.
    """
    outputs: list[Path] = []
    if output != "-":
        outputs = list(output_paths(output, output_format))
        _check_folder(outputs[0].parent)
        outputs += [partial_path(path) for path in outputs]
        for path in outputs:
            _check_plain(path)
    ours = exists(journal)
    if force:
        lock = Lock.take(journal) if ours else None
        try:
            if ours:
                rejoin(journal)
            return _move_aside([*outputs, journal, *beside], journal)
        finally:
            if lock is not None:
                lock.release()
    if not ours:
        for path in outputs:
            if os.path.lexists(path):
                raise OutputError(
                    f"{path} exists and {journal} does not: it is not an output of this batch",
                    hint="choose another -o, or --force to rename it aside",
                )
    return ()


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise OutputError(f"the folder {folder} does not exist", hint=f"mkdir -p {folder}")
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder", hint="choose another -o")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} cannot be written", hint="choose another -o")


def _check_plain(path: Path) -> None:
    """A file that is replaced by a rename must be a plain one; a link would be lost, a device would be hidden."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path} is a folder", hint=f"name a file in it: -o {path / 'results.json'}")
    if not stat.S_ISREG(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "no plain file"
        raise OutputError(f"{path} is {what}", hint="name the file itself, or -o - for standard output")


def _move_aside(paths: Sequence[Path], journal: Path) -> tuple[Aside, ...]:
    """Rename what is there, all with one number; what is left beside a journal goes first, under its new name."""
    present = [path for path in paths if os.path.lexists(path)]
    left = [suffix for suffix in SIDE_FILES if os.path.lexists(side_file(journal, suffix))]
    for number in itertools.count(1):
        moves = [Aside(path, path.with_name(f"{path.name}.{number}")) for path in present]
        new = journal.with_name(f"{journal.name}.{number}")
        moves = [*(Aside(side_file(journal, suffix), side_file(new, suffix)) for suffix in left), *moves]
        if not any(os.path.lexists(move.new) for move in moves):
            break
    try:
        for move in moves:
            move.old.rename(move.new)
    except OSError as error:
        raise OutputError(f"cannot rename {move.old} aside: {error.strerror}") from error
    return tuple(moves)
