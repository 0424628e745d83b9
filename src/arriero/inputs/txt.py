"""Text rows: one prompt a line, stripped."""

from __future__ import annotations

from arriero.inputs.lines import AnyLine, Line
from arriero.inputs.row import BadRow, Row, row_hash


def is_blank(line: AnyLine) -> bool:
    """Whether a line holds nothing but whitespace (ASCII or Unicode): such a line is no row, in any format.

    A line that is not UTF-8 is never blank, so that it is told as a bad line.
    """
    if not isinstance(line, Line) or b" " < line.text[:1] < b"\x80":
        return False
    seen = line.text.lstrip()
    if not seen:
        return True
    return not b" " < seen[:1] < b"\x80" and seen.decode("utf-8", "replace").isspace()


def parse_text(position: int, line: Line) -> Row | BadRow:
    """Make a row of a line of text.

    Args:
        position: Place among the rows.
        line: The line.

    Returns:
        A row whose prompt is the line without surrounding whitespace (ASCII and Unicode) and otherwise unchanged;
        a bad row for bytes that are not UTF-8 or a NUL.
    """
    try:
        prompt = line.text.decode().strip()
    except UnicodeDecodeError as error:
        return bad_row(position, line, column_of(line.text, error.start), NOT_UTF8)
    if "\0" in prompt:
        return bad_row(position, line, column_of(line.text, line.text.index(0)), HAS_NUL)
    return Row(position=position, line=line.number, raw=prompt.encode(), is_text=True, prompt=prompt)


def hash_of_text(line: Line) -> bytes:
    """The hash of the row that ``parse_text`` makes of a line; a resume asks it of every finished one.

    Bytes that are ASCII and hold no NUL are stripped as they are: a third of the time of making a row.
    """
    if line.text.isascii() and b"\0" not in line.text:
        return row_hash(line.text.strip(ASCII_WHITESPACE))
    return parse_text(0, line).hash


ASCII_WHITESPACE = bytes(code for code in range(128) if chr(code).isspace())
"""What ``str.strip`` takes off; ``bytes.strip`` alone leaves the four separators from 0x1c on."""

NOT_UTF8 = "not UTF-8; save the file as UTF-8"
HAS_NUL = "a NUL byte"


def bad_row(
    position: int, line: AnyLine, column: int, reason: str, own_id: str | None = None, hint: str = ""
) -> BadRow:
    """A bad row for a line, hashed over the line's bytes."""
    if isinstance(line, Line):
        digest, size = row_hash(line.text), len(line.text)
    else:
        digest, size = line.hash, line.size_bytes
    return BadRow(
        position=position,
        line=line.number,
        column=column,
        reason=reason,
        hash=digest,
        own_id=own_id,
        size_bytes=size,
        hint=hint,
    )


def column_of(text: bytes, offset: int) -> int:
    """Column, from 1, in characters, of a byte of a line; bytes that are not UTF-8 count as one each."""
    return len(text[:offset].decode("utf-8", "replace")) + 1
