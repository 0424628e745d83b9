"""Template: ``--prompt 'Sentiment of: {text}'``, filled from a row's fields and from nothing else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from difflib import get_close_matches

import msgspec

from arriero.errors import ConfigError
from arriero.inputs.members import is_null, listed, members, short
from arriero.inputs.row import BadLineError

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_string = msgspec.json.Decoder(str)


class Template(msgspec.Struct, frozen=True):
    """Literal texts and field names in turn.

    Attributes:
        text: The template as the user wrote it.
        literals: Texts around the fields, shape [fields + 1].
        names: Field names, shape [fields].

    A name is looked up as it stands among the row's fields; if it is not there, ``a.b`` means member ``b`` of the
    object ``a``. There are no attributes, indexes, conversions or format specifications, so that a row or a template
    from elsewhere reaches nothing but the row.
    """

    text: str
    literals: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read ``{field}`` places; ``{{`` and ``}}`` are braces.

        Raises:
            ConfigError: For a brace that stands alone, an empty name, or no field at all.
        """
        literals, names, literal, end = list[str](), list[str](), "", 0
        for found in _PIECE.finditer(text):
            literal += text[end : found.start()]
            end = found.end()
            if found[0] in {"{{", "}}"}:
                literal += found[0][0]
                continue
            name = found[1]
            if name is None or not name.strip() or name.strip()[0] in "\"'":
                raise ConfigError(
                    f"--prompt: column {found.start() + 1}: {short(found[0])} names no field",
                    hint="Write {field} for a field of the row, {{ and }} for braces.",
                )
            literals.append(literal)
            names.append(name)
            literal = ""
        if not names:
            raise ConfigError(
                "--prompt has no {field}: every row would be asked the same",
                hint="Write {prompt} where the row's prompt belongs; -s SYSTEM goes before every prompt.",
            )
        return cls(text, (*literals, literal + text[end:]), tuple(names))

    @property
    def digest(self) -> str:
        """16 hex characters that name the template."""
        return hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest()

    def render(self, fields: Mapping[str, msgspec.Raw]) -> str:
        """Fill in a row's fields.

        Args:
            fields: Field names to raw JSON. Strings are put in as they are, numbers, lists and objects as their JSON.

        Raises:
            BadLineError: If a field is not there or null; the reason names it and what there is.
        """
        pieces = [self.literals[0]]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            pieces.append(_value(fields, name))
            pieces.append(literal)
        return "".join(pieces)


def _value(fields: Mapping[str, msgspec.Raw], name: str) -> str:
    raw = fields.get(name)
    if raw is None:
        raw = _inside(fields, name)
    if raw is None:
        raise BadLineError(
            f"the template wants {short(name)}; the fields are: {listed(fields)}", hint=_meant(fields, name)
        )
    text = bytes(raw)
    if text.startswith(b'"'):
        return _string.decode(raw)
    if is_null(raw):
        raise BadLineError(f"the template wants {short(name)}, which is null", field=name)
    return text.decode()


def _meant(fields: Mapping[str, msgspec.Raw], name: str) -> str:
    """The field that a mistyped one most likely meant."""
    near = get_close_matches(name, fields, n=1) or (list(fields) if len(fields) == 1 else [])
    if near and near[0].isidentifier():
        return f"write {{{near[0]}}} in --prompt, in place of {{{name}}}"
    return "write a field of the rows in --prompt, or give them this one"


def _inside(fields: Mapping[str, msgspec.Raw], name: str) -> msgspec.Raw | None:
    outer, dot, inner = name.partition(".")
    raw = fields.get(outer)
    if not dot or raw is None or not bytes(raw).startswith(b"{"):
        return None
    found = members(raw, field=outer)
    return found.get(inner) or _inside(found, inner)
