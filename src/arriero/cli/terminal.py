"""Terminal: data to stdout, talk to stderr, and no control character of foreign origin to either."""

from __future__ import annotations

import io
import json
import re
import select
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

PATIENCE_S = 1.0
"""How long a reader of talk may take nothing; one that reads takes everything within microseconds."""

_NOT_ASCII = re.compile(r"[^\x00-\x7e]")


class HasLines(Protocol):
    """What ``client`` answers to a reading command: a struct that is also text."""

    def lines(self) -> list[str]:
        """The answer for a person."""
        ...


def printable(text: str) -> str:
    r"""The text with every control, bidi and invisible character written as ``\x1b``; line ends stay."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


def say(text: str) -> None:
    """A line of talk on stderr; if nobody listens any more, the work goes on."""
    if sys.stderr is None:  # it was closed before we began, and print would take standard output
        return
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except (OSError, ValueError):  # a closed terminal answers EIO
        return


def say_event(name: str, fields: Mapping[str, object]) -> None:
    """An object of ``--display json`` on stderr, in ASCII, so that nothing in it acts on a terminal."""
    line = json.dumps({"event": name, **msgspec.to_builtins(fields)})
    say(line.replace("\x7f", "\\u007f"))


def answer(value: HasLines, *, as_json: bool) -> None:
    """The answer of a reading command on stdout: its lines, or one line of JSON."""
    if as_json:
        answer_json(value)
    else:
        answer_lines(value.lines())


def answer_lines(lines: Iterable[str]) -> None:
    """Lines of data on stdout, made safe."""
    for line in lines:
        print(printable(line))


def answer_json(value: object) -> None:
    """One line of JSON on stdout."""
    write_json_line(msgspec.json.encode(value))


def write_json_line(line: bytes) -> None:
    """A line of JSON on stdout: its own bytes, or on a terminal the same JSON with escapes for what would act there."""
    if sys.stdout.isatty():
        print(_NOT_ASCII.sub(_json_escaped, line.decode("utf-8", "replace")))
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.flush()
        sys.stdout.buffer.write(line + b"\n")
    else:
        print(line.decode("utf-8", "replace"))


class PatientFile(io.FileIO):
    """Standard error that leaves unsaid what nobody takes: a full pipe, or a held terminal, stops no batch.

    A reader that took nothing for ``PATIENCE_S`` is not waited for again until there is room.
    """

    _patience_s = PATIENCE_S

    def write(self, data: Any) -> int:
        """Write as much as is taken; the rest counts as written.

        Raises:
            OSError: As the file does; whoever listened has left.
        """
        left = memoryview(data).cast("B")
        while left:
            room = has_room(self.fileno(), self._patience_s)
            self._patience_s = PATIENCE_S if room else 0.0
            if not room:
                break
            left = left[super().write(left[: select.PIPE_BUF]) or 0 :]
        return len(data)


def has_room(descriptor: int, wait_s: float) -> bool:
    """Whether a descriptor takes ``select.PIPE_BUF`` bytes without blocking, or says at once that nobody reads any more."""
    look = select.poll()
    look.register(descriptor, select.POLLOUT)
    return bool(look.poll(wait_s * 1000))


def wait_for_no_reader() -> None:
    """Let standard error be a ``PatientFile``, where it is a file of the process and nothing that a caller put there."""
    before = sys.stderr
    if type(before) is io.TextIOWrapper and hasattr(select, "poll"):
        raw: Any = PatientFile(before.fileno(), "w", closefd=False)
        sys.stderr = io.TextIOWrapper(raw, encoding=before.encoding, errors="backslashreplace", write_through=True)


def tolerate_any_encoding() -> None:
    """Let streams of a narrow locale write escapes for what they cannot encode, in place of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _json_escaped(match: re.Match[str]) -> str:
    char = match.group()
    if char.isprintable():
        return char
    units = char.encode("utf-16-be", "surrogatepass")  # what JSON escapes are made of
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))
