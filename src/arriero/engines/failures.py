"""The table from what an HTTP client may raise to the failure it means."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable
from typing import Any, TypeAlias

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from arriero.backends.wire import Broken
from arriero.core.outcome import FailureKind

CONNECT_S = 10.0
"""For name lookup, connection and TLS handshake together."""

CUT_SHORT = "Not enough data to satisfy"
"""How the parser words a body that ended before its length or its last chunk; any other complaint is bad HTTP."""


NO_TLS = "the server does not speak it; http:// perhaps"

NO_HTTP = "not HTTP as it should be, or a header above 8 kB"


def broken_by(error: Exception) -> Broken:
    """Say what an exception of the exchange means, in words of ours or of the system, never of the server."""
    if isinstance(error, aiohttp.ClientPayloadError) and not _was_cut_short(error):
        return Broken(FailureKind.BAD_REPLY, "transfer encoding broken")
    for raised, kind, detail, sent in TABLE:
        if isinstance(error, raised):
            return Broken(kind, detail if isinstance(detail, str) else detail(error), sent=sent)
    return Broken(FailureKind.BAD_REPLY, f"{type(error).__name__} in the exchange")


def _no_connection(error: aiohttp.ClientConnectorError) -> str:
    """Why no connection came about; certificates and TLS are told apart from the network."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        words = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else ""
        return f"TLS: certificate not trusted{': ' if words else ''}{words}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return _tls_words(error.os_error, "handshake failed")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name does not resolve"
    return _system_words(error.os_error)


def _system_words(error: OSError) -> str:
    """The system's words for an error number; some in plainer ones."""
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return "out of file descriptors (see ulimit -n)"
    if error.errno == errno.EADDRNOTAVAIL:
        return "out of local ports"
    if isinstance(error, ssl.SSLError):
        return _tls_words(error, "connection failed")
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionError):
        return "connection reset"
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else "connection failed"


def _tls_words(error: OSError, otherwise: str) -> str:
    """What OpenSSL names as the reason, as words."""
    reason: str = getattr(error, "reason", None) or otherwise
    return f"TLS: {NO_TLS if reason == 'WRONG_VERSION_NUMBER' else reason.replace('_', ' ').lower()}"


def _was_cut_short(error: aiohttp.ClientPayloadError) -> bool:
    cause = error.__cause__
    return cause is None or isinstance(cause, OSError) or CUT_SHORT in str(cause)


Detail: TypeAlias = str | Callable[[Any], str]

TABLE: tuple[tuple[type[Exception], FailureKind, Detail, bool], ...] = (
    (aiohttp.ClientConnectorError, FailureKind.UNREACHABLE, _no_connection, False),
    (aiohttp.InvalidURL, FailureKind.UNREACHABLE, "the address is no URL", False),
    (aiohttp.NonHttpUrlClientError, FailureKind.UNREACHABLE, "the address is no HTTP URL", False),
    (TimeoutError, FailureKind.UNREACHABLE, f"no connection within {CONNECT_S:g} s", False),
    (aiohttp.ClientPayloadError, FailureKind.UNREACHABLE, "connection closed inside the answer", True),
    (aiohttp.ServerDisconnectedError, FailureKind.UNREACHABLE, "connection closed before an answer", True),
    (OSError, FailureKind.UNREACHABLE, _system_words, True),
    (aiohttp.ClientResponseError, FailureKind.BAD_REPLY, NO_HTTP, True),
    (HttpProcessingError, FailureKind.BAD_REPLY, NO_HTTP, True),
)
"""What is raised, what it means, in which words, and whether the request may have been sent; the first row that fits."""
