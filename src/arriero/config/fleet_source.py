"""Fleet source: which layer says what servers serve a batch, and the instances it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from arriero.config.address import address
from arriero.config.fields import FIELDS, parsed
from arriero.config.instances import instance_at, instances_from_document, instances_from_urls
from arriero.config.layers import Layer
from arriero.config.ollama_host import ollama_host
from arriero.config.settings import InstanceConfig
from arriero.errors import ConfigError

DEFAULT_URL = "http://127.0.0.1:11434"
"""Where Ollama listens when nobody told it otherwise."""

SOURCES = ("instance", "fleet", "local")
"""The settings that answer the one question; the strongest layer with any of them decides."""

_FIELDS = {field.name: field for field in FIELDS if field.name in SOURCES}


class FleetSource(msgspec.Struct, frozen=True):
    """The servers of a batch.

    Attributes:
        instances: The fleet; empty only with ``local``.
        local: Serve with the bundled demonstration model.
        origin: Who said so.
    """

    instances: tuple[InstanceConfig, ...] = ()
    local: bool = False
    origin: str = "default"


def fleet_source(layers: Sequence[Layer], env: Mapping[str, str]) -> FleetSource:
    """The strongest layer's fleet, else ``OLLAMA_HOST``, else the address where Ollama listens by itself.

    Raises:
        ConfigError: If one layer names two sources, or what it names is wrong.
    """
    local_denied = False
    for layer in layers:
        named = _named(layer, local_denied=local_denied)
        local_denied = local_denied or ("local" in layer.given and "local" not in named)
        if len(named) > 1:
            labels = [layer.given[name].label if name in layer.given else f"[[{name}]]" for name in named]
            raise ConfigError(
                f"{' and '.join(labels)}: only one of them can say which servers serve",
                hint=f"leave out {' or '.join(labels)}",
            )
        # The file that `fleet` names is the next layer, and has instances, or gather() would have refused it.
        if named and named[0] != "fleet":
            return _source(layer, named[0])
    try:
        place = ollama_host(env.get("OLLAMA_HOST", ""))
    except ConfigError as error:
        raise ConfigError(f"OLLAMA_HOST: {error.message}", hint=error.hint) from None
    origin = "OLLAMA_HOST" if place else "default"
    return FleetSource(instances=(instance_at(place or address(DEFAULT_URL)),), origin=origin)


def _named(layer: Layer, *, local_denied: bool) -> list[str]:
    """The sources a layer names; ``instance`` stands for its flag and for the tables of a file."""
    named: list[str] = [name for name in ("instance", "fleet") if name in layer.given]
    if "local" in layer.given and not local_denied and parsed(_FIELDS["local"], layer.given["local"]):
        named.append("local")
    if layer.document and layer.document.tables.get("instance"):
        named.append("instance")
    return named


def _source(layer: Layer, name: str) -> FleetSource:
    if name == "local":
        return FleetSource(local=True, origin=layer.given["local"].origin)
    if layer.document:
        return FleetSource(instances=instances_from_document(layer.document), origin=layer.document.name)
    given = layer.given["instance"]
    urls: Any = parsed(_FIELDS["instance"], given)
    try:
        return FleetSource(instances=instances_from_urls(urls), origin=given.origin)
    except ConfigError as error:
        raise given.wrong(error.message, error.hint) from None
