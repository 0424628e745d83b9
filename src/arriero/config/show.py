"""Show: each setting as text that could be written again, with its origin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from arriero.config.bounds import budget_text, timeout_text
from arriero.config.broker import without_password
from arriero.config.concurrency import concurrency_text
from arriero.config.fields import FIELDS
from arriero.config.quantities import duration_text
from arriero.config.settings import InstanceConfig, Settings

_TEXTS: dict[str, Callable[[Any], str]] = {
    "concurrency": concurrency_text,
    "timeout": timeout_text,
    "max_errors": budget_text,
    "max_wait": duration_text,
    "model": ", ".join,
    "broker": without_password,
}


class Shown(msgspec.Struct, frozen=True):
    """One line of ``config show``.

    Attributes:
        name: The setting, as it is written in ``[defaults]``; ``instance NAME`` for an instance.
        value: Its value as text; ``-`` for none.
        origin: Where it came from.
    """

    name: str
    value: str
    origin: str


def shown(settings: Settings) -> list[Shown]:
    """Every setting and every instance, in the order of ``FIELDS``."""
    rows = []
    for field in FIELDS:
        if field.name == "options":
            rows += [_option(settings, name, value) for name, value in settings.options.items()]
        elif field.attribute:
            value = getattr(settings, field.attribute)
            rows.append(Shown(field.name, _text(field.name, value), settings.origins.get(field.name, "default")))
    origin = settings.origins.get("instances", "default")
    return rows + [Shown(f"instance {c.instance.name}", _instance(c), origin) for c in settings.instances]


def _option(settings: Settings, name: str, value: object) -> Shown:
    key = f"options.{name}"
    return Shown(key, msgspec.json.encode(value).decode(), settings.origins.get(key, "default"))


def _text(name: str, value: object) -> str:
    if name in _TEXTS and value is not None:
        return _TEXTS[name](value) or "-"
    if value is None or value == "":
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _instance(config: InstanceConfig) -> str:
    """What differs from an instance of which only the address is known; names of variables, never their values."""
    instance, limit = config.instance, config.instance.limit
    parts = [instance.url]
    if instance.backend != "auto":
        parts.append(f"backend {instance.backend}")
    if instance.kind != "auto":
        parts.append(f"kind {instance.kind}")
    if limit:
        parts.append(f"limit {limit.least if limit.fixed else f'{limit.least}-{limit.start}-{limit.most}'}")
    if instance.endpoint:
        parts.append(f"endpoint {instance.endpoint}")
    if not instance.stream:
        parts.append("stream false")
    if config.api_key_env:
        parts.append(f"key from {config.api_key_env}")
    if config.insecure:
        parts.append("TLS NOT VERIFIED")
    return "  ".join(parts)
