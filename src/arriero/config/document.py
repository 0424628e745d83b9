"""Document: one TOML file with the line of each key, so that a mistake is shown where it stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from arriero.config.suggestion import did_you_mean
from arriero.errors import ConfigError

Key: TypeAlias = tuple[str | int, ...]
Table = TypeVar("Table")

SECRET_KEYS = ("api_key", "api_token", "token", "password", "secret")
"""Keys that would hold a secret itself; only the name of an environment variable may stand in a file."""

LATER_KEYS = ("gpu_metrics", "route")
"""Keys that are planned, and that this version does not have."""

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_ASSIGNMENT = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*="
)
_SYNTAX_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_TYPE_PLACE = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)


class Document(msgspec.Struct, frozen=True):
    """A TOML file that was read.

    Attributes:
        name: The file as messages name it.
        folder: Where it lies; what relative paths in it start from.
        root: Keys above the part that is ours (``tool.arriero`` in a pyproject.toml).
        tables: Its content below ``root``.
        lines: Full key path to line number, from 1; the index of an array table is part of the path.
    """

    name: str
    folder: Path
    root: Key
    tables: dict[str, Any]
    lines: dict[Key, int]

    def where(self, *path: str | int) -> str:
        """``FILE:LINE`` of the key, or of the nearest table around it."""
        full = (*self.root, *path)
        for length in range(len(full), 0, -1):
            if line := self.lines.get(full[:length]):
                return f"{self.name}:{line}"
        return self.name


def read_document(path: Path, name: str, root: tuple[str, ...] = ()) -> Document | None:
    """Read a TOML file; None if it has nothing below ``root``.

    Raises:
        ConfigError: If it cannot be read, or is no TOML (with file:line:column).
    """
    try:
        text = path.read_bytes().decode("utf-8")
        tables: Any = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            f"{name}: cannot be read: {error.strerror}",
            hint="name a TOML file that is there; arriero config init writes one to start from",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not valid UTF-8 (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_message(name, str(error), text)) from None
    except (ValueError, RecursionError):
        # What tomllib lets through: Python makes no int of 4,300 digits or more, and no list in 1,000 lists.
        raise ConfigError(f"{name}: no valid TOML: a number too long, or values nested too deep") from None
    for key in root:
        tables = tables.get(key) if isinstance(tables, dict) else None
    if not isinstance(tables, dict):
        return None
    return Document(name, path.parent, root, tables, _lines(text))


def check_keys(document: Document, path: Key, table: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse keys that nothing would read.

    Raises:
        ConfigError: For a secret, a key of a later version or an unknown key, with file:line.
    """
    for key in table:
        if key in known:
            continue
        where = document.where(*path, key)
        if key in SECRET_KEYS:
            raise ConfigError(
                f"{where}: {key}: a secret does not belong into a file",
                hint='put it into an environment variable and name that: api_key_env = "OPENAI_API_KEY"',
            )
        if key in LATER_KEYS:
            raise ConfigError(f"{where}: {key}: not in this version")
        raise ConfigError(
            f"{where}: unknown key `{key}`", hint=did_you_mean(key, known) or f"known here: {', '.join(sorted(known))}"
        )


def convert(document: Document, path: Key, table: Mapping[str, Any], kind: type[Table]) -> Table:
    """The table as a struct of the given kind, its types checked.

    Raises:
        ConfigError: If a value has the wrong type, with file:line.
    """
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        match = _TYPE_PLACE.fullmatch(str(error))
        message, inner = (match[1], match[2]) if match else (str(error), "")
        key = re.split(r"[.\[]", inner, maxsplit=1)[0]
        place = document.where(*path, key) if key else document.where(*path)
        raise ConfigError(f"{place}: {key + ': ' if key else ''}{message.replace('`', '')}") from None


def _syntax_message(name: str, message: str, text: str) -> str:
    match = _SYNTAX_PLACE.fullmatch(message)
    if match is None:
        return f"{name}: no valid TOML: {message}"
    line, column = (match[2], match[3]) if match[2] else (str(text.count("\n") + 1), "1")
    return f"{name}:{line}:{column}: no valid TOML: {match[1]}"


def _lines(text: str) -> dict[Key, int]:
    found: dict[Key, int] = {}
    arrays: dict[Key, int] = {}
    table: Key = ()
    quoted = False
    for number, line in enumerate(text.splitlines(), start=1):
        # A line inside a multi-line string is text, whatever it looks like.
        inside, quoted = quoted, quoted ^ ((line.count('"""') + line.count("'''")) % 2 == 1)
        if inside:
            continue
        if header := _HEADER.fullmatch(line):
            table = _parts(header[2])
            if header[1] == "[[":
                arrays[table] = arrays.get(table, -1) + 1
                found.setdefault(table, number)
            table = _indexed(table, arrays)
            found.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            found.setdefault((*table, *_parts(assignment[1])), number)
    return found


def _parts(dotted: str) -> Key:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _indexed(table: Key, arrays: Mapping[Key, int]) -> Key:
    for length in range(len(table), 0, -1):
        if table[:length] in arrays:
            return (*table[:length], arrays[table[:length]], *table[length:])
    return table
