"""The statements of ``queries.sql`` by name, and the placeholder lists of those that take many rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@cache
def statements() -> Mapping[str, str]:
    """All statements, name to SQL, read once."""
    text = files("arriero.journal").joinpath("queries.sql").read_text(encoding="utf-8")
    found = {}
    for part in text.split("-- name: ")[1:]:
        name, _, rest = part.partition("\n")
        found[name.strip()] = rest.partition("\n")[2].strip().removesuffix(";")
    return MappingProxyType(found)


def statement(name: str) -> str:
    """One statement.

    Raises:
        KeyError: If there is none of that name.
    """
    return statements()[name]


@cache
def statement_for(name: str, rows: int, columns: int) -> str:
    """A statement with room for a fixed number of rows in its ``{rows}``."""
    row = "(" + ",".join("?" * columns) + ")"
    return statement(name).replace("{rows}", ",".join([row] * rows))


def schema() -> str:
    """The script that makes an empty journal."""
    return files("arriero.journal").joinpath("schema.sql").read_text(encoding="utf-8")
