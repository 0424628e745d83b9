"""Given: one value of one layer, with where it came from, and the readers of its plain forms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from arriero.config.options import checked_option, parse_option
from arriero.config.quantities import count, duration_s
from arriero.errors import ConfigError

NOT_BUILT = "not in this version"

_YES = ("1", "true", "yes", "on")
_NO = ("0", "false", "no", "off")


class Given(msgspec.Struct, frozen=True):
    """A value as a layer gave it.

    Attributes:
        value: Text from a flag or the environment; any TOML value from a file; any value from Python.
        origin: Where it came from, as ``config show`` says it: ``-c``, ``ARRIERO_RETRIES``, ``arriero.toml:3``.
        label: What messages about it begin with.
        folder: What a relative path in it starts from; ``Path()`` for the working directory.
        key: Where it stands in its file, below the part that is ours; empty outside of files.
    """

    value: object
    origin: str
    label: str
    folder: Path
    key: tuple[str, ...] = ()

    def wrong(self, message: str, hint: str = "") -> ConfigError:
        """The error that says what is wrong with it."""
        return ConfigError(f"{self.label}: {message}", hint=hint)


def text(given: Given) -> str:
    """A text; a number of a TOML file counts as its digits."""
    if isinstance(given.value, str):
        return given.value
    if isinstance(given.value, int | float) and not isinstance(given.value, bool):
        return str(given.value)
    raise ConfigError(f"a text is wanted, not {_kind(given.value)}")


def boolean(given: Given) -> bool:
    """True or false; ``yes``, ``on`` and ``1`` count as true, their opposites as false."""
    if isinstance(given.value, bool):
        return given.value
    word = text(given).strip().lower()
    if word not in _YES + _NO:
        raise ConfigError(f"`{text(given)}` is neither true nor false")
    return word in _YES


def number(given: Given) -> int:
    """A count, 0 included."""
    return count(text(given))


def seconds(given: Given) -> float:
    """A duration in seconds."""
    return duration_s(text(given))


def file_path(given: Given) -> str:
    """A path, relative ones from the folder of the file that names it; ``-`` stays."""
    path = text(given)
    if not path or "\0" in path:
        raise ConfigError("a path is wanted")
    return path if path == "-" else str(given.folder / Path(path).expanduser())


def text_or_file(given: Given) -> str:
    """A text, or the content of FILE for ``@FILE`` less one line end; ``@@`` stands for an ``@`` at the beginning.

    Raises:
        ConfigError: If the file cannot be read, or is not UTF-8.
    """
    words = text(given)
    if not words.startswith("@"):
        return words
    if words.startswith("@@"):
        return words[1:]
    path = given.folder / Path(words[1:]).expanduser()
    try:
        content = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="write @@ for a text that begins with @") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid UTF-8 (byte {error.start})") from None
    return content.removesuffix("\n").removesuffix("\r")


def option_table(given: Given) -> dict[str, object]:
    """Options from repeated ``key=value``, a table, or a JSON object in a text."""
    value = given.value
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            value = [value]
    if isinstance(value, list | tuple):
        value = dict(parse_option(str(item)) for item in value)
    if not isinstance(value, Mapping):
        raise ConfigError(f"a table of options is wanted, not {_kind(value)}")
    return {str(name): checked_option(str(name), item) for name, item in value.items()}


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a table"}
    return names.get(type(value), type(value).__name__)
