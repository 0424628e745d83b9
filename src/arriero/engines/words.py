"""Words: how engines name what the system and TLS say, and what a bug of ours did, never in words of a server."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from pathlib import Path

from arriero.core.outcome import Failure, FailureKind

CONNECT_S = 10.0
"""For name lookup, connection and TLS handshake together."""

NO_TLS = "the server does not speak it; http:// perhaps"
NO_HTTP = "not HTTP as it should be, or a header above 8 kB"
NO_NAME = "the name does not resolve"
NO_CONNECTION = f"no connection within {CONNECT_S:g} s"
CUT_INSIDE = "connection closed inside the answer"
CUT_BEFORE = "connection closed before an answer"
BROKEN_ENCODING = "transfer encoding broken"


def system_words(error: OSError) -> str:
    """The system's words for an error number; some in plainer ones."""
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return "out of file descriptors (see ulimit -n)"
    if error.errno == errno.EADDRNOTAVAIL:
        return "out of local ports"
    if isinstance(error, ssl.SSLError):
        return tls_words(error, "connection failed")
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionError):
        return "connection reset"
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else "connection failed"


def tls_words(error: OSError, otherwise: str) -> str:
    """What OpenSSL names as the reason, as words."""
    reason: str = getattr(error, "reason", None) or otherwise
    return f"TLS: {NO_TLS if reason == 'WRONG_VERSION_NUMBER' else reason.replace('_', ' ').lower()}"


def certificate_words(error: Exception) -> str:
    """Why a certificate was refused."""
    words = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
    return f"TLS: certificate not trusted{': ' if words else ''}{words}"


def crashed(error: BaseException | None, latency_s: float) -> Failure:
    """The end of an attempt whose carrying raised: a bug of ours, named by its place and never by its text (P12)."""
    if error is None or isinstance(error, asyncio.CancelledError):
        return Failure(kind=FailureKind.CANCELLED, detail="the loop was stopped", latency_s=latency_s)
    detail = f"arriero failed to read the answer: {type(error).__name__}{place(error)}"
    return Failure(kind=FailureKind.BAD_REPLY, detail=detail, own=True, latency_s=latency_s)


def place(error: BaseException) -> str:
    """Where an exception was raised, such as `` in answers.py:12``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" in {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
