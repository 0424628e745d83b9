"""Layers: flags, environment, project file, user file; what each one gives."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from arriero.config.document import Document, check_keys, read_document
from arriero.config.fields import FIELDS, Field
from arriero.config.folders import config_file
from arriero.config.given import Given, file_path
from arriero.config.suggestion import did_you_mean
from arriero.errors import ConfigError

PREFIX = "ARRIERO_"
OWN = ("ARRIERO_TEST_", "ARRIERO_CI")
"""Variables of the tests, which are no settings."""

PROJECT_FILE = "arriero.toml"


class Layer(msgspec.Struct, frozen=True):
    """What one source gives.

    Attributes:
        given: Setting name to value.
        document: The file it is; None for flags and environment.
    """

    given: dict[str, Given]
    document: Document | None = None


def gather(flags: Mapping[str, object], env: Mapping[str, str], cwd: Path) -> list[Layer]:
    """Every layer, the strongest first; a file that ``fleet`` names comes right below the layer that names it.

    Raises:
        ConfigError: If a file cannot be read or a key in it is unknown.
    """
    layers = [_from_flags(flags), _from_environment(env), *_from_files(env, cwd)]
    return [part for layer in layers for part in (layer, *_named_file(layer, cwd))]


def _from_flags(flags: Mapping[str, object]) -> Layer:
    names = {field.name: field.flag for field in FIELDS}
    found = {}
    for name, value in flags.items():
        if name in names and value is not None and value != ():
            found[name] = Given(value, names[name], names[name], Path())
    return Layer(found)


def _from_environment(env: Mapping[str, str]) -> Layer:
    found = {}
    for field in FIELDS:
        variable = PREFIX + field.name.upper()
        if field.in_file and env.get(variable, "") != "":
            found[field.name] = Given(env[variable], variable, variable, Path())
    return Layer(found)


def environment_warnings(env: Mapping[str, str], keys: Collection[str] = ()) -> list[str]:
    """A sentence for each variable of ours that nothing reads; ``keys`` are those that instances name."""
    known = [PREFIX + field.name.upper() for field in FIELDS if field.in_file]
    return [
        f"{name} in the environment is no setting and is not read. {did_you_mean(name, known)}".rstrip()
        for name in sorted(env)
        if name.startswith(PREFIX) and name not in known and name not in keys and not name.startswith(OWN)
    ]


def _from_files(env: Mapping[str, str], cwd: Path) -> list[Layer]:
    documents = [_project_document(cwd)]
    user_file = config_file(env)
    if user_file and user_file.is_file():
        documents.append(read_document(user_file, _shown(user_file, env)))
    return [_from_document(document) for document in documents if document]


def _project_document(cwd: Path) -> Document | None:
    if (cwd / PROJECT_FILE).is_file():
        return read_document(cwd / PROJECT_FILE, PROJECT_FILE)
    if (cwd / "pyproject.toml").is_file():
        return read_document(cwd / "pyproject.toml", "pyproject.toml", ("tool", "arriero"))
    return None


def _named_file(layer: Layer, cwd: Path) -> list[Layer]:
    given = layer.given.get("fleet")
    if given is None:
        return []
    path = file_path(given)
    document = read_document(cwd / path, path)
    if document is None or not document.tables.get("instance"):
        raise given.wrong(f"{path} names no instance", hint="it needs [[instance]] tables, each with a url")
    below = _from_document(document)
    for name in ("fleet", "local"):
        if name in below.given:
            raise below.given[name].wrong("a fleet file names its instances itself")
    return [below]


def _from_document(document: Document) -> Layer:
    check_keys(document, (), document.tables, ("defaults", "instance"))
    defaults = document.tables.get("defaults", {})
    if not isinstance(defaults, dict):
        raise ConfigError(f"{document.where('defaults')}: defaults: write [defaults], a table")
    fields = {field.name: field for field in FIELDS}
    # `max-errors` and `c` are how the flags are written; the table takes them too.
    spelled = {key: _name(key, fields) for key in defaults}
    known = [field.name for field in FIELDS if field.in_file and field.name != "instance"]
    check_keys(document, ("defaults",), {key: None for key, name in spelled.items() if name not in known}, known)
    found = {}
    for key, name in spelled.items():
        where = document.where("defaults", key)
        found[name] = Given(defaults[key], where, f"{where}: {key}", document.folder, ("defaults", key))
    return Layer(found, document)


def _name(key: str, fields: Mapping[str, Field]) -> str:
    name = key.replace("-", "_")
    if name in fields:
        return name
    flags = {field.flag.lstrip("-"): field.name for field in FIELDS} | {"concurrent": "concurrency"}
    return flags.get(key, key)


def _shown(path: Path, env: Mapping[str, str]) -> str:
    home = env.get("HOME", "")
    return f"~/{path.relative_to(home)}" if home and path.is_relative_to(home) else str(path)
