"""OLLAMA_HOST: the address that Ollama's own client would use."""

from __future__ import annotations

import ipaddress

from arriero.config.address import OLLAMA_PORT, PORTS, Address, assemble, port_number, split_host_port
from arriero.errors import ConfigError


def ollama_host(value: str) -> Address | None:
    """The address ``OLLAMA_HOST`` means, by Ollama's own rules; None if it is blank.

    Blanks and quotes around it are dropped; without a scheme the port is 11434, with one it is 80 or 443; a port
    that is none counts as absent; a path stays; an address to listen on (``0.0.0.0``, ``[::]``, a port alone)
    means this machine.

    Raises:
        ConfigError: If Ollama's client could not use it either: another scheme, no valid host.

    Source:
        Ollama v0.33.0, ``envconfig.Host`` and ``envconfig.ConnectableHost``.
    """
    word = value.strip().strip("\"'").strip()
    if not word:
        return None
    scheme, separator, rest = word.partition("://")
    if not separator:
        scheme, rest = ("https", "ollama.com:443") if word == "ollama.com" else ("http", word)
    default = PORTS.get(scheme, OLLAMA_PORT) if separator else OLLAMA_PORT
    host_port, slash, path = rest.partition("/")
    if "@" in (host_port if separator else rest):  # also behind a slash: http:/user:password@host
        raise ConfigError("credentials in OLLAMA_HOST are not taken; Ollama's own client cannot use them either")
    if scheme.lower() not in PORTS:
        raise ConfigError(f"`{word}` is neither http:// nor https://")
    host, port = split_host_port(host_port) or (_bare_host(host_port), str(default))
    number = port_number(port)
    return assemble(scheme.lower(), host, default if number is None else number, slash + path, written=word)


def port_ignored(value: str) -> str:
    """The port in ``OLLAMA_HOST`` that Ollama counts as absent because it is none; ``""`` if there is no such."""
    word = value.strip().strip("\"'").strip()
    split = split_host_port(word.rpartition("://")[2].partition("/")[0])
    return split[1] if split and split[1] and port_number(split[1]) is None else ""


def _bare_host(text: str) -> str:
    inner = text.strip("[]")
    try:
        return str(ipaddress.ip_address(inner))
    except ValueError:
        return text
