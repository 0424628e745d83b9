"""InstanceTable: one ``[[instance]]`` of a fleet file, and the checked instance it describes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from arriero.config.address import OLLAMA_ENDPOINTS, address
from arriero.config.concurrency import instance_limit
from arriero.config.document import Document, convert
from arriero.config.settings import InstanceConfig
from arriero.core.instance import BackendName, Instance, Kind
from arriero.errors import ConfigError

Value = TypeVar("Value")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_NAME = re.compile(r"[^\s\x00-\x20\x7f-\x9f]{1,128}")


class InstanceTable(msgspec.Struct, kw_only=True):
    """One ``[[instance]]`` as it is written; the keys mean what ``Instance`` and ``InstanceConfig`` say.

    ``name`` and ``url`` may hold ranges, ``limit`` has the forms of ``instance_limit``.
    """

    name: str = ""
    url: str = ""
    backend: BackendName = "auto"
    kind: Kind = "auto"
    limit: int | str | None = None
    stream: bool = True
    endpoint: str = ""
    api_key_env: str = ""
    headers_env: dict[str, str] = {}
    ca_file: str = ""
    insecure: bool = False


def instance_config(document: Document, index: int, name: str, keys: Mapping[str, Any]) -> InstanceConfig:
    """The instance that the keys of its tables describe together.

    Args:
        document: The file, for messages.
        index: The last table that names it.
        name: Its name, ranges expanded.
        keys: What the tables say, ``url`` expanded.

    Raises:
        ConfigError: If a value is wrong, with file:line.
    """
    table = convert(document, ("instance", index), keys, InstanceTable)
    read = partial(_read, document, index, name)
    read("name", _name, name)
    place = read("url", address, table.url)
    endpoint = read("endpoint", _endpoint, table.endpoint)
    return InstanceConfig(
        instance=Instance(
            name=name,
            url=place.url,
            backend=place.backend if table.backend == "auto" else table.backend,
            kind=table.kind,
            limit=None if table.limit is None else read("limit", instance_limit, str(table.limit)),
            stream=table.stream,
            endpoint=endpoint or place.endpoint,
        ),
        api_key_env=read("api_key_env", _variable, table.api_key_env),
        headers_env=read("headers_env", _headers, table.headers_env),
        ca_file=read("ca_file", partial(_existing, document.folder), table.ca_file),
        insecure=table.insecure,
    )


def _read(document: Document, index: int, name: str, key: str, parse: Callable[[Any], Value], value: object) -> Value:
    try:
        return parse(value)
    except ConfigError as error:
        where = document.where("instance", index, key)
        raise ConfigError(f"{where}: instance `{name}`: {key}: {error.message}", hint=error.hint) from None


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ConfigError("a name has 1 to 128 characters and no blanks")
    return text


def _endpoint(text: str) -> str:
    if text and text not in OLLAMA_ENDPOINTS:
        raise ConfigError(f"`{text}` is no endpoint", hint=f"known: {', '.join(OLLAMA_ENDPOINTS)}")
    return text


def _variable(name: str) -> str:
    # The text is not repeated: where a variable's name is wanted, people paste the key itself.
    if name and not _VARIABLE.fullmatch(name):
        raise ConfigError("this is not the name of an environment variable", hint='api_key_env = "OPENAI_API_KEY"')
    return name


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for header, variable in headers.items():
        if not _HEADER_NAME.fullmatch(header):
            raise ConfigError("a header's name has letters, digits and hyphens only")
        _variable(variable)
    return headers


def _existing(folder: Path, text: str) -> str:
    if not text:
        return ""
    path = folder / Path(text).expanduser()
    if not path.is_file():
        raise ConfigError(f"{path} does not exist")
    return str(path)
