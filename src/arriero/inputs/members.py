"""Members of a JSON object, strictly: every value kept as its bytes, no name twice, no NaN, no half surrogate."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from arriero.inputs.row import BadLineError

_T = TypeVar("_T")

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)

NESTED_MOST = 200
"""Objects and arrays inside each other; decoders give up at about 1,000, sooner where the stack is deep already."""


def members(text: bytes | msgspec.Raw, *, field: str = "") -> dict[str, msgspec.Raw]:
    """Take a JSON object apart.

    Args:
        text: UTF-8 that was checked; the decoder does not look at the bytes of values it keeps.
        field: What to blame; ``""`` for the whole line.

    Returns:
        Member names to values as raw JSON, so that a 30-digit integer stays one.

    Raises:
        BadLineError: If it is not one well-formed JSON object, or a name stands twice in it.
    """
    try:
        found = _object.decode(text)
    except RecursionError as error:
        raise BadLineError("JSON nested too deep", field=field) from error
    except msgspec.ValidationError as error:
        raise BadLineError(_not_object(error), field=field) from error
    except msgspec.DecodeError as error:
        reason, byte = _place(str(error), bytes(text))
        raise BadLineError(reason, field=field, column=0 if field else _column(text, byte)) from error
    except UnicodeDecodeError as error:
        raise BadLineError("a name that is not UTF-8", field=field) from error
    outside = bytes(text).count(b":")
    for name, value in found.items():
        # A member kept has one colon outside its value; more of them belong to a member that was dropped.
        outside -= bytes(value).count(b":") + 1
        if ":" in name:
            outside = -1
            break
    if outside:
        _refuse_repeated(bytes(text), field)
    return found


def nested_too_deep(text: bytes) -> bool:
    """Whether a line of JSON has more than ``NESTED_MOST`` objects and arrays inside each other."""
    if text.count(b"[") + text.count(b"{") <= NESTED_MOST:
        return False
    depth = 0
    for bracket in re.findall(rb"[\[{}\]]", _TEXTS.sub(b"", text)):
        depth += 1 if bracket in b"[{" else -1
        if depth > NESTED_MOST:
            return True
    return False


def typed(members_: Mapping[str, msgspec.Raw], name: str, decoder: msgspec.json.Decoder[_T]) -> _T | None:
    """One member with its type checked; None if it is absent or null.

    Raises:
        BadLineError: If it has another type; the reason holds types, never the value.
    """
    raw = members_.get(name)
    if raw is None or is_null(raw):
        return None
    try:
        return decoder.decode(raw)
    except RecursionError as error:
        raise BadLineError(f"{name}: JSON nested too deep", field=name) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadLineError(f"{name}: {_plain(str(error))}", field=name) from error


def is_null(raw: msgspec.Raw) -> bool:
    """Whether a raw value is ``null``."""
    return bytes(raw) == b"null"


def short(name: str, most: int = 60) -> str:
    """A name from the input, made safe and short for a message."""
    return ascii(name if len(name) <= most else name[:most] + "...")


def listed(names: Iterable[str], most: int = 10) -> str:
    """Names for a message, the first ``most`` of them."""
    found = list(names)
    shown = ", ".join(short(name, 40) for name in found[:most])
    return shown + (f" and {len(found) - most} more" if len(found) > most else "") if found else "none"


def _refuse_repeated(text: bytes, field: str) -> None:
    """Look at every name of an object whose colons do not add up, or that has a colon in a name.

    The decoder keeps the last of two members of one name and says nothing; counting colons tells in 0.3 us that none
    was dropped, this takes 10 us.
    """
    outermost: list[tuple[str, object]] = []

    def remember(pairs: list[tuple[str, object]]) -> None:
        outermost[:] = pairs

    # Numbers stay text: Python refuses to make an int of 4,300 digits or more.
    json.JSONDecoder(object_pairs_hook=remember, parse_int=str, parse_float=str).decode(text.decode())
    names = [name for name, _ in outermost]
    for name in names:
        if names.count(name) > 1:
            raise BadLineError(f"the name {short(name)} stands twice", field=field or name)


def _not_object(error: msgspec.ValidationError) -> str:
    return "expected a JSON object, got " + str(error).rpartition("got ")[2].strip("`")


def _place(said: str, text: bytes) -> tuple[str, int]:
    """Reason and byte, from 0, of ``JSON is malformed: … (byte 12)``."""
    reason, _, byte = said.rpartition(" (byte ")
    if reason:
        return reason.replace("JSON is malformed", "not JSON"), int(byte.rstrip(")"))
    try:
        json.loads(text)
    except ValueError:
        return "not JSON: it ends too early", len(text)
    # Only msgspec calls half a pair before a closing quote truncated; Python's decoder lets it through.
    return "not JSON: half of a surrogate pair", text.lower().find(b"\\ud")


def _plain(text: str) -> str:
    """What msgspec says, without its quoting."""
    return text.replace("`", "").replace(" - at $", ", at ")


def _column(text: bytes | msgspec.Raw, byte: int) -> int:
    return len(bytes(text)[:byte].decode("utf-8", "replace")) + 1
