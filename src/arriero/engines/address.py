"""Address: how one instance is reached, its secrets kept out of sight; and whether a proxy stands between."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from urllib.request import getproxies, proxy_bypass

import msgspec
from yarl import URL


class Address(msgspec.Struct, frozen=True):
    """Where an instance answers and what to show it.

    Attributes:
        url: Base URL; a path in it goes before every endpoint; user and password in it become basic authentication.
        headers: Sent with every attempt there; values may be secret.
        ca_file: PEM file with the authority to trust instead of the system's; ``""`` for the system's.
        insecure: The server's certificate is not verified.
    """

    url: str
    headers: Mapping[str, str] = {}
    ca_file: str = ""
    insecure: bool = False

    def __repr__(self) -> str:
        """Name the headers, never their values (P12)."""
        url = URL(self.url).with_user(None)
        return (
            f"Address({str(url)!r}, headers={sorted(self.headers)}, ca_file={self.ca_file!r}, insecure={self.insecure})"
        )


def is_private(host: str) -> bool | None:
    """Whether packets to this host stay inside; None for a name that only a lookup can tell.

    Loopback, private, link-local and shared (RFC 6598, used by overlay networks) addresses do.
    """
    if host == "localhost":
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return None


def proxy_for(url: URL) -> URL | None:
    """The proxy that the environment names for this URL; None for none.

    A machine on the own network is spoken to directly whatever ``http_proxy`` says: a fleet is not reachable
    through a company's proxy, and prompts are not its business. ``no_proxy`` is honoured beyond that. It may look a
    name up, and blocks meanwhile.
    """
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    host = url.host or ""
    if not proxy or proxy_bypass(host):
        return None
    private = is_private(host)
    if private is None:
        private = _resolves_inside(host)
    return None if private else URL(proxy)


def _resolves_inside(host: str) -> bool:
    """Whether every address of this name is private; False if it has none, the proxy may know it."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return bool(found) and all(is_private(str(sockaddr[0])) for *_, sockaddr in found)
