"""The table from what aiohttp may raise to the failure it means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from arriero.backends.wire import Broken
from arriero.core.outcome import FailureKind
from arriero.engines.words import (
    BROKEN_ENCODING,
    CUT_BEFORE,
    CUT_INSIDE,
    NO_CONNECTION,
    NO_HTTP,
    NO_NAME,
    certificate_words,
    system_words,
    tls_words,
)

CUT_SHORT = "Not enough data to satisfy"
"""How the parser words a body that ended before its length or its last chunk; any other complaint is bad HTTP."""


def broken_by(error: Exception) -> Broken:
    """Say what an exception of the exchange means, in words of ours or of the system, never of the server."""
    if isinstance(error, aiohttp.ClientPayloadError) and not _was_cut_short(error):
        return Broken(FailureKind.BAD_REPLY, BROKEN_ENCODING)
    for raised, kind, detail, sent in TABLE:
        if isinstance(error, raised):
            return Broken(kind, detail if isinstance(detail, str) else detail(error), sent=sent)
    return Broken(FailureKind.BAD_REPLY, f"{type(error).__name__} in the exchange")


def _no_connection(error: aiohttp.ClientConnectorError) -> str:
    """Why no connection came about; certificates and TLS are told apart from the network."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return certificate_words(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return tls_words(error.os_error, "handshake failed")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return NO_NAME
    return system_words(error.os_error)


def _was_cut_short(error: aiohttp.ClientPayloadError) -> bool:
    cause = error.__cause__
    return cause is None or isinstance(cause, OSError) or CUT_SHORT in str(cause)


Detail: TypeAlias = str | Callable[[Any], str]

TABLE: tuple[tuple[type[Exception], FailureKind, Detail, bool], ...] = (
    (aiohttp.ClientConnectorError, FailureKind.UNREACHABLE, _no_connection, False),
    (aiohttp.InvalidURL, FailureKind.UNREACHABLE, "the address is no URL", False),
    (aiohttp.NonHttpUrlClientError, FailureKind.UNREACHABLE, "the address is no HTTP URL", False),
    (TimeoutError, FailureKind.UNREACHABLE, NO_CONNECTION, False),
    (aiohttp.ClientPayloadError, FailureKind.UNREACHABLE, CUT_INSIDE, True),
    (aiohttp.ServerDisconnectedError, FailureKind.UNREACHABLE, CUT_BEFORE, True),
    (OSError, FailureKind.UNREACHABLE, system_words, True),
    (aiohttp.ClientResponseError, FailureKind.BAD_REPLY, NO_HTTP, True),
    (HttpProcessingError, FailureKind.BAD_REPLY, NO_HTTP, True),
)
"""What is raised, what it means, in which words, and whether the request may have been sent; the first row that fits."""
