"""Every exception of an exchange has a meaning, in words that are never the server's."""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadStatusLine, TransferEncodingError

from arriero.core.outcome import FailureKind
from arriero.engines.failures import broken_by

KEY = ConnectionKey("gpu", 1, False, True, None, None, None)  # noqa: FBT003
FOREIGN = "a text of the server"


def payload_error(cause: Exception | None) -> aiohttp.ClientPayloadError:
    error = aiohttp.ClientPayloadError(FOREIGN)
    error.__cause__ = cause
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, FOREIGN)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "kind", "detail", "sent"),
    [
        (
            aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, FOREIGN)),
            FailureKind.UNREACHABLE,
            "connection refused",
            False,
        ),
        (
            aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, FOREIGN)),
            FailureKind.UNREACHABLE,
            "the name does not resolve",
            False,
        ),
        (
            aiohttp.ClientConnectorError(KEY, OSError(errno.EMFILE, FOREIGN)),
            FailureKind.UNREACHABLE,
            "out of file descriptors (see ulimit -n)",
            False,
        ),
        (
            aiohttp.ClientConnectorError(KEY, OSError(errno.EADDRNOTAVAIL, FOREIGN)),
            FailureKind.UNREACHABLE,
            "out of local ports",
            False,
        ),
        (
            aiohttp.ClientConnectorError(KEY, OSError(errno.EHOSTUNREACH, FOREIGN)),
            FailureKind.UNREACHABLE,
            "no route to host",
            False,
        ),
        (
            aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, FOREIGN)),
            FailureKind.UNREACHABLE,
            "TLS: handshake failed",
            False,
        ),
        (
            aiohttp.ClientConnectorSSLError(KEY, tls_error("WRONG_VERSION_NUMBER")),
            FailureKind.UNREACHABLE,
            "TLS: the server does not speak it; http:// perhaps",
            False,
        ),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), FailureKind.UNREACHABLE, "TLS: tlsv1 alert protocol version", True),
        (aiohttp.ServerDisconnectedError(FOREIGN), FailureKind.UNREACHABLE, "connection closed before an answer", True),
        (aiohttp.ConnectionTimeoutError(FOREIGN), FailureKind.UNREACHABLE, "no connection within 10 s", False),
        (aiohttp.ClientOSError(errno.ECONNRESET, FOREIGN), FailureKind.UNREACHABLE, "connection reset by peer", True),
        (ConnectionResetError(errno.ECONNRESET, FOREIGN), FailureKind.UNREACHABLE, "connection reset", True),
        (payload_error(None), FailureKind.UNREACHABLE, "connection closed inside the answer", True),
        (
            payload_error(ConnectionResetError(FOREIGN)),
            FailureKind.UNREACHABLE,
            "connection closed inside the answer",
            True,
        ),
        (
            payload_error(TransferEncodingError("Not enough data to satisfy transfer length header.")),
            FailureKind.UNREACHABLE,
            "connection closed inside the answer",
            True,
        ),
        (
            payload_error(TransferEncodingError(FOREIGN)),
            FailureKind.BAD_REPLY,
            "transfer encoding broken",
            True,
        ),
        (BadStatusLine(FOREIGN), FailureKind.BAD_REPLY, "not HTTP as it should be, or a header above 8 kB", True),
        (KeyError(FOREIGN), FailureKind.BAD_REPLY, "KeyError in the exchange", True),
    ],
)
def test_an_exception_becomes_a_kind_in_our_own_words(error: Exception, kind: FailureKind, detail: str, sent: bool):
    broken = broken_by(error)
    assert (broken.kind, broken.detail, broken.sent) == (kind, detail, sent)
