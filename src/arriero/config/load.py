"""load(): flag > environment > project file > user file > default, checked, each value with its origin."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from arriero.config.broker import broker_url
from arriero.config.fields import FIELDS, parsed
from arriero.config.files import require_apart
from arriero.config.fleet_source import SOURCES, fleet_source
from arriero.config.formats import default_journal, default_output, input_format, output_format
from arriero.config.given import Given
from arriero.config.layers import Layer, environment_warnings, gather
from arriero.config.ollama_host import port_ignored
from arriero.config.options import option_warnings
from arriero.config.settings import InstanceConfig, Settings
from arriero.errors import ConfigError

LOCAL_OUTPUT_TOKENS = 64
"""``num_predict`` with ``local`` unless said: the demonstration model shows the mechanics, its answers are poor."""

_FIELDS = {field.name: field for field in FIELDS}


def load(flags: Mapping[str, object], env: Mapping[str, str], cwd: Path) -> Settings:
    """The settings of one batch.

    Args:
        flags: ``input`` and the settings of ``FIELDS`` by name; None or an empty tuple means not given.
        env: The environment: ``ARRIERO_…``, ``OLLAMA_HOST``, ``HOME``, ``XDG_CONFIG_HOME`` and the keys that
            instances name are looked up in it.
        cwd: Where the project file may lie. Relative paths of flags are left as they are.

    Returns:
        The settings; ``input`` is ``""`` if the flags name none.

    Raises:
        ConfigError: If anything in any layer is wrong, saying where.
    """
    layers = gather(flags, env, cwd)
    values, origins = _values(layers)
    source = fleet_source(layers, env)
    origins["instances"] = source.origin
    values |= {"instances": source.instances, "local": source.local, "input": str(flags.get("input") or "")}
    _complete_engine(values, origins)
    values["input_format"] = values.get("input_format") or input_format(values["input"])
    _complete_output(values)
    _complete_options(values, origins)
    return Settings(**values, origins=origins, warnings=_warnings(values, env, origins))


def override(settings: Settings, flags: Mapping[str, object], env: Mapping[str, str], cwd: Path) -> Settings:
    """Stored settings with what flags change for a resume: the fleet and how it is used.

    A file or an environment that has changed since does not change a batch unasked, and ``force``, which moves a
    journal aside, is of the first call only.

    Raises:
        ConfigError: If a flag is wrong.
    """
    layers = gather(flags, {}, cwd)
    values, origins = _values(layers[:1])
    values.pop("options")
    values["force"] = False
    if settings.engine == "celery" and "broker" not in values and env.get("ARRIERO_BROKER"):
        values["broker"] = broker_url(env["ARRIERO_BROKER"])  # the journal keeps it without its password
    if any(name in layers[0].given for name in SOURCES):
        source = fleet_source(layers, env)
        origins["instances"] = source.origin
        values |= {"instances": source.instances, "local": source.local}
    return msgspec.structs.replace(settings, **values, origins=settings.origins | origins)


def _values(layers: Sequence[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """Attribute to value and setting name to origin, of all that any layer gives."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for field in FIELDS:
        found = [layer.given[field.name] for layer in layers if field.name in layer.given]
        if field.name == "options":
            values["options"] = _options([layer for layer in layers if "options" in layer.given], origins)
        elif found and field.attribute:
            values[field.attribute] = parsed(field, found[0])
            origins[field.name] = found[0].origin
    return values, origins


def _options(layers: Sequence[Layer], origins: MutableMapping[str, str]) -> dict[str, object]:
    """Options are merged one by one: ``-O seed=1`` leaves a file's ``temperature`` as it is."""
    merged: dict[str, object] = {}
    for layer in reversed(layers):
        given = layer.given["options"]
        table: Any = parsed(_FIELDS["options"], given)
        merged |= table
        for name in table:
            origins[f"options.{name}"] = layer.document.where(*given.key, name) if layer.document else given.origin
    return merged


def _complete_output(values: MutableMapping[str, Any]) -> None:
    chosen = values.get("output_format")
    output = values.setdefault("output", default_output(chosen))
    values["output_format"] = chosen or output_format(output)
    journal = values.setdefault("journal", default_journal(output))
    if values.get("unordered") and values["output_format"] != "jsonl":
        raise ConfigError("--unordered needs lines to append", hint="-o results.jsonl")
    if values.get("unordered") and output == "-":
        raise ConfigError(
            "--unordered appends to a file that can be followed", hint="-o results.jsonl, or leave it out"
        )
    require_apart(values["input"], output, values["output_format"], journal)


def _complete_engine(values: MutableMapping[str, Any], origins: Mapping[str, str]) -> None:
    """The flag ``--broker`` means the engine that has one; that engine adds no address by itself."""
    if origins.get("broker") == "--broker":
        values.setdefault("engine", "celery")
    if values.get("engine") != "celery":
        return
    if not values.get("broker"):
        raise ConfigError("--engine celery needs a broker", hint="--broker redis://…, or ARRIERO_BROKER")
    if origins["instances"] in ("default", "OLLAMA_HOST"):
        values["instances"] = ()


def _complete_options(values: MutableMapping[str, Any], origins: MutableMapping[str, str]) -> None:
    options = values["options"]
    if "think" in options:
        # Ollama has it beside the options, and ignores it among them; people write it with -O.
        origin = origins.pop("options.think")
        given = Given(options.pop("think"), origin, f"{origin}: think", Path())
        if "think" not in values:
            values["think"] = parsed(_FIELDS["think"], given)
            origins["think"] = origin
    if values["local"] and "num_predict" not in options:
        options["num_predict"] = LOCAL_OUTPUT_TOKENS
        origins["options.num_predict"] = "default with local"


def _warnings(values: Mapping[str, Any], env: Mapping[str, str], origins: Mapping[str, str]) -> tuple[str, ...]:
    fleet: Sequence[InstanceConfig] = values["instances"]
    keys = [name for config in fleet for name in (config.api_key_env, *config.headers_env.values())]
    warnings = [*environment_warnings(env, keys), *option_warnings(values["options"])]
    port = port_ignored(env.get("OLLAMA_HOST", ""))
    if port and origins.get("instances") == "OLLAMA_HOST":
        warnings.append(
            f"OLLAMA_HOST: {port} is no port, so that {fleet[0].instance.url} is meant, as for Ollama itself"
        )
    for config in fleet:
        name = config.instance.name
        if config.insecure:
            warnings.append(f"instance {name}: TLS is not verified, anyone on the way can read and change what is sent")
        unset = [key for key in (config.api_key_env, *config.headers_env.values()) if key and not env.get(key)]
        warnings += [f"instance {name}: {variable} is not set in the environment" for variable in unset]
    return tuple(warnings)
