"""Target: an instance's address made ready for HTTP exchanges, by whichever client."""

from __future__ import annotations

import base64
import ssl
from importlib.metadata import version

from multidict import CIMultiDict
from yarl import URL

from arriero.engines.address import Address

KEEP_ALIVE_S = 4.0
"""Idle connections are dropped before common servers do so (uvicorn: 5 s): a POST that meets a closing
connection is lost and is never sent again in silence."""

ATTEMPT_HEADER = "X-Arriero-Attempt"


def agent() -> str:
    """How arriero names itself to servers."""
    return f"arriero/{version('arriero')}"


class Target:
    """An address made ready for use: URLs, headers, TLS and proxy settled once.

    Attributes:
        address: What it was made of; another object in the book means it must be made again.
        proxy: Where it is reached through, if not directly.
        tls: How to verify the server.
        secure: It speaks TLS.
    """

    __slots__ = ("_base", "_headers", "_urls", "address", "proxy", "secure", "tls")

    def __init__(self, address: Address, proxy: URL | None, agent: str) -> None:
        self.address = address
        self.proxy = proxy
        self.tls = tls_of(address)
        url = URL(address.url)
        self._base = str(url if url.user is None else url.with_user(None)).rstrip("/")
        self.secure = url.scheme == "https"
        self._urls: dict[str, URL] = {}
        self._headers = CIMultiDict(
            {
                "User-Agent": agent,
                "Accept-Encoding": "identity",  # nothing to unpack, so nothing that can explode
                "Content-Type": "application/json",
                **authorization(url, "Authorization"),
                **address.headers,
            }
        )

    def url(self, path: str) -> URL:
        """The full URL of an endpoint; parsed once a path."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._base + path)
        return url

    def headers(self, mark: str, *, once: bool) -> CIMultiDict[str]:
        """Headers of one attempt, its mark among them (P15); ``once``: the server is told that nothing follows it."""
        headers = self._headers.copy()
        headers[ATTEMPT_HEADER] = mark
        if once:
            headers["Connection"] = "close"
        return headers


def authorization(url: URL, header: str) -> dict[str, str]:
    """User and password of a URL as a header of basic authentication; nothing if it has none."""
    if url.user is None:
        return {}
    secret = base64.b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
    return {header: f"Basic {secret}"}


def tls_of(address: Address) -> ssl.SSLContext | bool:
    """How to verify the server: True for the system's authorities, False for not at all.

    Raises:
        OSError: If ``ca_file`` cannot be read or holds no certificate.
    """
    if address.insecure:
        return False
    return ssl.create_default_context(cafile=address.ca_file) if address.ca_file else True
