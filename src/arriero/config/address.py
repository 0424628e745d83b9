"""Address: an instance's base URL from what people write for ``-i`` and ``url``."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TypeAlias

import msgspec

from arriero.core.instance import BackendName
from arriero.core.request import CHAT, EMBED, GENERATE
from arriero.errors import ConfigError

OLLAMA_PORT = 11434
PORTS = {"http": 80, "https": 443}
OLLAMA_ENDPOINTS = (CHAT, GENERATE, EMBED)
"""The Ollama paths that carry requests."""

_OPENAI_PATH = re.compile(r"/v1(?:/(?:chat/completions|completions|embeddings|models))?")
_OLLAMA_PATH = re.compile(r"/api(?:/(?:chat|generate|embed|tags|ps|version))?")
_HOST = re.compile(r"[^\s\x00-\x20\x7f-\x9f\"<>\\^`{|}%/?#@\[\]:]{1,253}")
_PATH = re.compile(r"(?:/[^\s\x00-\x20\x7f-\x9f\"<>\\^`{|}?#]*)?")
_IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_METADATA = ipaddress.ip_address("fd00:ec2::254")


class Address(msgspec.Struct, frozen=True):
    """Where an instance is.

    Attributes:
        url: Base URL: scheme, host, port and any path before the API's own; no slash at the end.
        endpoint: The Ollama path that stood behind it, the only one to be used there; ``""`` for none.
        backend: The dialect the path gave away; ``auto`` if none.
    """

    url: str
    endpoint: str = ""
    backend: BackendName = "auto"

    @property
    def name(self) -> str:
        """The URL without its scheme: the instance's name where its operator gave none."""
        return self.url.partition("://")[2]


def address(text: str) -> Address:
    """The address a user named; a host alone means port 11434 and ``http``, as for Ollama's own client.

    Raises:
        ConfigError: If it is no usable address; credentials in it are never repeated in the message.
    """
    word = text.strip()
    scheme, separator, rest = word.partition("://")
    if not separator:
        scheme, rest = "http", word
    host_port, slash, path = rest.partition("/")
    if "@" in (host_port if separator else rest):  # also behind a slash: http:/user:password@host
        raise ConfigError(
            "credentials in a URL are not taken: they end in logs and process lists",
            hint='put the key into an environment variable and name it in the fleet file: api_key_env = "…"',
        )
    scheme = scheme.lower()
    if scheme not in PORTS:
        raise ConfigError(f"`{text}` is neither http:// nor https://")
    default = PORTS[scheme] if separator else OLLAMA_PORT
    host, port_text = split_host_port(host_port) or (host_port.strip("[]"), "")
    port = port_number(port_text) if port_text else default
    if port is None or not host_port:
        raise ConfigError(f"`{text}` has no valid {'port' if host_port else 'host'}")
    return assemble(scheme, host, port, slash + path, written=text)


def assemble(scheme: str, host: str, port: int, path: str, *, written: str) -> Address:
    """An address from its checked parts.

    Args:
        scheme: ``http`` or ``https``.
        host: Name, IPv4 or IPv6 without brackets; empty or unspecified means this machine.
        port: 0 to 65535.
        path: ``""``, or from the first slash on.
        written: What the user wrote, for messages.

    Raises:
        ConfigError: If the host or the path cannot be, or is an address that must never get a prompt.
    """
    if port == 0:
        raise ConfigError(f"`{written}`: nothing can be reached at port 0")
    if not _PATH.fullmatch(path):
        raise ConfigError(f"`{written}` is no base URL: its path has a query, a fragment or a blank")
    base, endpoint, backend = _api_path(path.rstrip("/"))
    return Address(f"{scheme}://{_host(host, written)}:{port}{base}", endpoint, backend)


def split_host_port(text: str) -> tuple[str, str] | None:
    """Host and port as Go's ``net.SplitHostPort`` sees them; None where it fails (no port, stray brackets).

    Source:
        The documentation of Go's package ``net``, which Ollama uses to read addresses.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        return None
    if host.startswith("["):
        if not host.endswith("]"):
            return None
        host = host[1:-1]
    elif ":" in host:
        return None
    return None if "[" in host + port or "]" in host + port else (host, port)


def port_number(text: str) -> int | None:
    """A TCP port, 0 included; None if the text is none."""
    return int(text) if re.fullmatch(r"[+-]?0*\d{1,9}", text, re.ASCII) and 0 <= int(text) <= 65535 else None  # noqa: PLR2004


def _api_path(path: str) -> tuple[str, str, BackendName]:
    for pattern in (_OPENAI_PATH, _OLLAMA_PATH):
        for start in (index for index, letter in enumerate(path) if letter == "/"):
            tail = path[start:]
            if not pattern.fullmatch(tail):
                continue
            if pattern is _OPENAI_PATH:
                return path[:start], "", "openai"
            endpoint = tail if tail in OLLAMA_ENDPOINTS else ""
            return path[:start], endpoint, "ollama"
    return path, "", "auto"


def _host(host: str, written: str) -> str:
    try:
        number = _unmapped(ipaddress.ip_address(host))
    except ValueError:
        if host and not _HOST.fullmatch(host):
            raise ConfigError(f"`{written}` has no valid host") from None
        _refuse_metadata(_resolved(host), written)
        return host.lower() or "127.0.0.1"
    _refuse_metadata(number, written)
    if number.is_unspecified:
        number = ipaddress.ip_address("127.0.0.1" if number.version == 4 else "::1")  # noqa: PLR2004
    return str(number) if number.version == 4 else f"[{number}]"  # noqa: PLR2004


def _refuse_metadata(number: _IPAddress | None, written: str) -> None:
    if number and (number.is_link_local or number == _METADATA):
        raise ConfigError(
            f"`{written}` is a link-local address: cloud metadata services live there, no model server does"
        )


def _unmapped(number: _IPAddress) -> _IPAddress:
    mapped = number.ipv4_mapped if isinstance(number, ipaddress.IPv6Address) else None
    return mapped or number


def _resolved(host: str) -> _IPAddress | None:
    """What a resolver makes of the short and numeric forms, such as ``2852039166``, without asking anyone."""
    if not re.fullmatch(r"[0-9a-fA-FxX.]+", host):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
