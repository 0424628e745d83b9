"""SequenceSource: rows from a Python list of prompts (``str``) and jsonl-like rows (``dict``)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from arriero.inputs.jsonl import own_id_of, parse_json
from arriero.inputs.lines import AnyLine, Line, Mark
from arriero.inputs.row import BadRow, Row, row_hash
from arriero.inputs.txt import bad_row

Item: TypeAlias = str | Mapping[str, object]


class SequenceSource:
    """Rows of a sequence that is not changed while the batch runs; every item is a row, a blank one a bad row.

    Attributes:
        name: What messages call it.
        anonymous: False: an item may have an id.
        items: Prompts and rows, shape [rows].
        templated: A template makes the prompts.
    """

    def __init__(self, items: Sequence[Item], *, name: str = "prompts", templated: bool = False) -> None:
        self.name = name
        self.anonymous = False
        self.items = items
        self.templated = templated

    def lines(self, start: Mark | None = None) -> Iterator[AnyLine]:
        """The JSON of each item as a line, from ``start`` on; its number is the index from 1."""
        for index in range(start.offset if start else 0, len(self.items)):
            yield line_of_item(index, self.items[index])

    def parse(self, position: int, line: AnyLine) -> Row | BadRow:
        """Make a row of a line that ``lines`` made."""
        return parse_item(position, line, templated=self.templated)

    def known(self, line: AnyLine) -> tuple[bytes, str | None]:
        """Hash and own id of a line that was a row before."""
        return self.hash(line), own_id_of(line.text if isinstance(line, Line) else b"")

    def hash(self, line: AnyLine) -> bytes:
        """Hash of a line that was a row before."""
        return row_hash(line.text if isinstance(line, Line) else b"")

    def rows(self, start: Mark | None = None) -> Iterator[Row | BadRow]:
        """Rows in order, bad ones too."""
        for position, line in enumerate(self.lines(start), start.position if start else 0):
            yield self.parse(position, line)

    def release(self) -> None:
        """Nobody ever waits: the items are here."""


def row_of_item(position: int, item: Item, *, templated: bool = False) -> Row | BadRow:
    """Make a row of one item of an iterable that is read once."""
    return parse_item(position, line_of_item(position, item), templated=templated)


def line_of_item(index: int, item: Item) -> Line:
    """An item as JSON: what is hashed, and what a resume compares.

    An item that has no JSON form (NaN, half a surrogate pair, an object of a program) becomes an empty line, which
    ``parse_item`` calls a bad row.
    """
    try:
        text = json.dumps({"prompt": item} if isinstance(item, str) else item, ensure_ascii=False, allow_nan=False)
        return Line(index + 1, index, text.encode())
    except (TypeError, ValueError, RecursionError):
        return Line(index + 1, index, b"")


def parse_item(position: int, line: AnyLine, *, templated: bool) -> Row | BadRow:
    """Make a row of the JSON of an item."""
    if not isinstance(line, Line) or not line.text:
        return bad_row(position, line, 1, "the item has no JSON form")
    return parse_json(position, line, templated=templated)
