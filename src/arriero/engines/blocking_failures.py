"""The table from what urllib3 may raise to the failure it means."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from typing import Any, TypeAlias

from urllib3 import exceptions

from arriero.backends.wire import Broken
from arriero.core.outcome import FailureKind
from arriero.engines.strict import NotHttpError
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

LONG_CHUNK_LINES = ("chunk size line", "chunk trailer line")
"""How urllib3 words a chunk whose head or tail is no chunk's."""


def broken_by(error: Exception, *, sent: bool) -> Broken:
    """Say what an exception of the exchange means, in words of ours or of the system, never of the server.

    Args:
        error: What was raised.
        sent: The request may have reached the server.
    """
    error = _behind(error)
    if isinstance(error, exceptions.ProtocolError) and any(words in str(error.args[0]) for words in LONG_CHUNK_LINES):
        return Broken(FailureKind.BAD_REPLY, BROKEN_ENCODING, sent=sent)
    for raised, kind, detail in TABLE:
        if isinstance(error, raised):
            return Broken(kind, detail if isinstance(detail, str) else detail(error), sent=sent)
    return Broken(FailureKind.BAD_REPLY, f"{type(error).__name__} in the exchange", sent=sent)


def _behind(error: Exception) -> Exception:
    """What urllib3 has wrapped: the exception of the system, of TLS or of ``http.client``."""
    if isinstance(error, exceptions.NewConnectionError) and not isinstance(error, exceptions.NameResolutionError):
        return error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(error, exceptions.ProtocolError) and isinstance(error.__cause__, exceptions.InvalidChunkLength):
        return error.__cause__
    if isinstance(error, exceptions.SSLError) and error.args and isinstance(error.args[0], ssl.SSLError):
        return error.args[0]
    return error


Detail: TypeAlias = str | Callable[[Any], str]

TABLE: tuple[tuple[type[Exception], FailureKind, Detail], ...] = (
    (exceptions.NameResolutionError, FailureKind.UNREACHABLE, NO_NAME),
    (exceptions.NewConnectionError, FailureKind.UNREACHABLE, "connection failed"),
    (exceptions.ConnectTimeoutError, FailureKind.UNREACHABLE, NO_CONNECTION),
    (exceptions.URLSchemeUnknown, FailureKind.UNREACHABLE, "the address is no HTTP URL"),
    (exceptions.LocationValueError, FailureKind.UNREACHABLE, "the address is no URL"),
    (exceptions.InvalidChunkLength, FailureKind.BAD_REPLY, BROKEN_ENCODING),
    (exceptions.IncompleteRead, FailureKind.UNREACHABLE, CUT_INSIDE),
    (exceptions.ProtocolError, FailureKind.UNREACHABLE, CUT_INSIDE),
    (exceptions.HTTPError, FailureKind.BAD_REPLY, NO_HTTP),
    (ssl.SSLCertVerificationError, FailureKind.UNREACHABLE, certificate_words),
    (ssl.SSLError, FailureKind.UNREACHABLE, lambda error: tls_words(error, "handshake failed")),
    (TimeoutError, FailureKind.UNREACHABLE, NO_CONNECTION),
    (http.client.RemoteDisconnected, FailureKind.UNREACHABLE, CUT_BEFORE),
    (OSError, FailureKind.UNREACHABLE, system_words),
    (http.client.HTTPException, FailureKind.BAD_REPLY, NO_HTTP),
    (NotHttpError, FailureKind.BAD_REPLY, NO_HTTP),
)
"""What is raised, what it means, and in which words; the first row that fits."""
