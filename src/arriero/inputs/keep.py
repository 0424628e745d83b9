"""Keep: a Python list written beside the journal as jsonl, so that it can be resumed and verified like a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from arriero.errors import BindingError, InputError, StorageError
from arriero.inputs.plain import open_anew, open_plain
from arriero.inputs.sequence import Item, line_of_item


def keep_items(items: Sequence[Item], path: str) -> None:
    """Write the items a line each, or accept the file that is there if they only go on where it ends.

    Args:
        items: Prompts and rows, shape [rows].
        path: Where; only its owner can read it.

    Raises:
        InputError: If an item has no JSON form.
        BindingError: If other items are kept there.
        StorageError: If the file cannot be written.
    """
    lines = [_line(index, item) for index, item in enumerate(items)]
    try:
        _compare(lines, path)
        with os.fdopen(open_anew(f"{path}.partial", os.O_WRONLY), "wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        Path(f"{path}.partial").replace(path)
    except OSError as error:
        raise StorageError(f"{error.filename or path}: the rows cannot be kept: {error.strerror}") from error


def _line(index: int, item: Item) -> bytes:
    text = line_of_item(index, item).text
    if not text:
        raise InputError(f"item {index + 1} has no JSON form", hint="a row is a text, or a dict of JSON values")
    return text + b"\n"


def _compare(lines: Sequence[bytes], path: str) -> None:
    try:
        file = open_plain(path, os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with os.fdopen(file, "rb") as kept:
        for number, (old, new) in enumerate(zip_longest(kept, lines), 1):
            if old is not None and old != new:
                raise BindingError(
                    f"item {number} is not what the batch was begun with",
                    hint="give the same list (longer is fine), or another output",
                )
