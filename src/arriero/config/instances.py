"""Instances: the fleet, from repeated ``-i`` or from the ``[[instance]]`` tables of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from arriero.config.address import Address, address
from arriero.config.document import Document, check_keys, convert
from arriero.config.instance_table import InstanceTable, instance_config
from arriero.config.ranges import expand
from arriero.config.settings import InstanceConfig
from arriero.config.suggestion import did_you_mean
from arriero.core.instance import Instance
from arriero.errors import ConfigError


def instances_from_urls(urls: Iterable[str]) -> tuple[InstanceConfig, ...]:
    """The fleet of repeated ``-i``; ranges make many, the name is the URL without its scheme.

    Raises:
        ConfigError: If a URL or range is wrong, or one address is named twice.
    """
    return _distinct([instance_at(address(url)) for text in urls for url in expand(text)])


def instance_at(place: Address) -> InstanceConfig:
    """The instance at an address of which nothing else is known."""
    return InstanceConfig(
        instance=Instance(name=place.name, url=place.url, backend=place.backend, endpoint=place.endpoint)
    )


def instances_from_document(document: Document) -> tuple[InstanceConfig, ...]:
    """The fleet of a file; a later table with the name of an earlier one overrides its keys.

    Raises:
        ConfigError: If a table is wrong, with file:line.
    """
    tables = document.tables.get("instance", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{document.where('instance')}: instance: write [[instance]], in two brackets")
    merged: dict[str, dict[str, Any]] = {}
    last: dict[str, int] = {}
    for index, table in enumerate(tables):
        check_keys(document, ("instance", index), table, InstanceTable.__struct_fields__)
        convert(document, ("instance", index), table, InstanceTable)
        for name, keys in _expanded(document, index, table, merged):
            merged[name] = {**merged.get(name, {}), **keys}
            last[name] = index
    return _distinct([instance_config(document, last[name], name, keys) for name, keys in merged.items()])


def _expanded(
    document: Document, index: int, table: Mapping[str, Any], earlier: Mapping[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Name and further keys of every instance that one table describes or overrides."""
    names, urls = _names_and_urls(document, index, table)
    where = document.where("instance", index)
    rest = {key: value for key, value in table.items() if key not in ("name", "url")}
    if urls:
        if len(urls) != len(names):
            raise ConfigError(
                f"{where}: the name makes {len(names)} and the url {len(urls)}", hint="give both ranges one length"
            )
        return [(name, {**rest, "url": url}) for name, url in zip(names, urls, strict=True)]
    if not names:
        raise ConfigError(f"{where}: an instance needs a url", hint='url = "http://10.0.0.11:11434"')
    for name in names:
        if name not in earlier:
            hint = did_you_mean(name, earlier) or "a table without url overrides an earlier one of the same name"
            raise ConfigError(f"{where}: instance `{name}` has no url", hint=hint)
    return [(name, rest) for name in names]


def _names_and_urls(document: Document, index: int, table: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[str]]:
    key = "url"
    try:
        urls = expand(table["url"]) if "url" in table else []
        if "name" not in table:
            return [address(url).name for url in urls], urls
        key = "name"
        return expand(table["name"]), urls
    except ConfigError as error:
        raise ConfigError(f"{document.where('instance', index, key)}: {error.message}", hint=error.hint) from None


def _distinct(fleet: Sequence[InstanceConfig]) -> tuple[InstanceConfig, ...]:
    """The fleet, if no server is in it twice: a limit counts for all that is sent to a server."""
    names: dict[str, str] = {}
    for instance in (config.instance for config in fleet):
        if instance.url in names:
            both = "" if names[instance.url] == instance.name else f", as `{names[instance.url]}` and `{instance.name}`"
            raise ConfigError(f"{instance.url} is in the fleet twice{both}", hint="name each server once")
        names[instance.url] = instance.name
    return tuple(fleet)
