"""Broker: the address of a Redis or RabbitMQ as the user gives it, and as it may be shown and kept."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit, urlunsplit

from arriero.errors import ConfigError

SCHEMES = ("redis", "rediss", "amqp", "amqps")
FORMS = "redis://:PASSWORD@HOST:6379/0 or amqp://USER:PASSWORD@HOST:5672//, with TLS rediss:// or amqps://"


def broker_url(url: str) -> str:
    """An address that can be one of a broker.

    Raises:
        ConfigError: If it cannot; what stands in it is not repeated, for there may be a password in it.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ConfigError("this is no address of a broker", hint=FORMS)
    unknown = sorted({name for name, _ in parse_qsl(parts.query)} - {"ssl_ca_certs"})
    if unknown or parts.fragment:
        raise ConfigError("only ?ssl_ca_certs=FILE can follow the address of a broker", hint=FORMS)
    return url.strip()


def without_password(url: str) -> str:
    """The address as it may be shown and kept."""
    if not url:
        return ""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    place = f"{host}:{parts.port}" if parts.port else host
    return urlunsplit(parts._replace(netloc=place))
