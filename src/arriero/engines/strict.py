"""Strict connections: urllib3's, with answers that are HTTP to the letter, and nothing behind them."""

from __future__ import annotations

import http.client
import socket
import ssl
from contextlib import suppress
from typing import Any, BinaryIO, TypeAlias

from urllib3 import HTTPHeaderDict
from urllib3.connection import HTTPConnection, HTTPSConnection

LINES_MOST = 400
"""Lines one after another: a head has 100 at most."""

LENGTH_DIGITS_MOST = 18
"""Of a length in bytes; what is longer does not fit into 64 bits."""

FIRST_FINAL = 200


class NotHttpError(Exception):
    """The answer is not HTTP as it should be."""


class Lines:
    """What an answer is read from; it ends one that has nothing but lines, and sees where a head was cut off.

    ``http.client`` bounds the lines of one head, but not the heads before it, and urllib3 not those behind a body.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines = 0
        self.cut = False

    def readline(self, most: int = -1) -> bytes:
        """The next line."""
        self._lines += 1
        if self._lines > LINES_MOST:
            raise NotHttpError
        line = self._file.readline(most)
        self.cut |= not line.endswith(b"\n")
        return line

    def read(self, most: int = -1) -> bytes:
        """So many bytes of a body."""
        self._lines = 0
        return self._file.read(most)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Answer(http.client.HTTPResponse):
    """An answer that is HTTP to the letter, and looks, at its end, whether more lies behind it."""

    def __init__(self, sock: socket.socket, *args: Any, **settings: Any) -> None:
        super().__init__(sock, *args, **settings)
        self._socket = sock
        self.quiet = False
        self.fp: Any = Lines(self.fp)

    def begin(self) -> None:
        """Read the head.

        Raises:
            NotHttpError: If it is none.
            RemoteDisconnected: If it was cut off.
        """
        lines = self.fp
        super().begin()
        if lines.cut:
            raise http.client.RemoteDisconnected("the head was cut off")
        if self.headers.defects:
            raise NotHttpError

    def _read_status(self) -> tuple[str, int, str]:
        """The status of the real answer: of those before it ``http.client`` passes over 100 alone."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status >= FIRST_FINAL:
                return version, status, reason
            if status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                raise NotHttpError
            http.client.parse_headers(self.fp)

    def _close_conn(self) -> None:
        """The body has ended: bytes behind it, in our buffer too, would be taken for the next answer."""
        with suppress(OSError, ValueError):  # it was closed under us: nothing follows there
            timeout_s = self._socket.gettimeout()
            self._socket.settimeout(0)
            try:
                self.quiet = not self.fp.peek(1)
            except ssl.SSLWantReadError:
                self.quiet = True
            finally:
                self._socket.settimeout(timeout_s)
        super()._close_conn()  # type: ignore[misc]


class _Strict:
    """What both kinds of connection have."""

    sock: Any
    _answer: Answer | None = None

    def response_class(self, *args: Any, **settings: Any) -> Answer:
        """What ``http.client`` makes of what comes back."""
        self._answer = Answer(*args, **settings)
        return self._answer

    @property
    def quiet(self) -> bool:
        """Whether the answer has ended and the connection can carry the next one."""
        return self.sock is not None and self._answer is not None and self._answer.quiet


class Plain(_Strict, HTTPConnection):  # type: ignore[misc] # a class there, a method that makes one here
    """Without TLS."""


class Secure(_Strict, HTTPSConnection):  # type: ignore[misc] # the same
    """With TLS."""


Connection: TypeAlias = Plain | Secure


def require_one_length(headers: HTTPHeaderDict) -> None:
    """Refuse an answer whose end two readers could see at different places (RFC 9112, section 6.3).

    Raises:
        NotHttpError: If it has a length that is none, two of them, or a length beside chunks.
    """
    lengths = headers.getlist("Content-Length")
    if not lengths:
        return
    length = lengths[0]
    one = len(lengths) == 1 and length.isascii() and length.isdigit() and len(length) <= LENGTH_DIGITS_MOST
    if not one or "Transfer-Encoding" in headers:
        raise NotHttpError
