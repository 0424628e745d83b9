"""Line: the connection one exchange holds, so that another thread can cut it at any moment, and only it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from arriero.engines.strict import Connection


class CutError(Exception):
    """The exchange was cut before anything was sent."""


class Line:
    """What one thread sends on and another may cut.

    A name lookup or a connection under way cannot be interrupted; but nothing has been sent then, nor will be once the
    line is cut, so that the attempt may be told as over at once.

    Args:
        unsent: Called by ``cut`` if nothing was sent.

    Attributes:
        sent: The request may have reached the server.
    """

    def __init__(self, unsent: Callable[[], object]) -> None:
        self.sent = False
        self._unsent = unsent
        self._cut = False
        self._over = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def cut(self) -> None:
        """Interrupt the exchange, wherever it is; after its end this touches nothing, its connection may be another's."""
        with self._lock:
            if self._cut or self._over:
                return
            self._cut = True
            if self._socket is not None:
                _shut(self._socket)
            sent = self.sent
        if not sent:
            self._unsent()

    @contextmanager
    def held(self, connection: Connection) -> Iterator[Connection]:
        """Hold a connection that stands; it is closed unless ``over`` gave it back.

        Raises:
            CutError: If the line was cut meanwhile.
        """
        try:
            with self._lock:
                if self._cut:
                    raise CutError
                self.sent = True
                self._socket = connection.sock
            connection.timeout = None
            connection.sock.settimeout(None)  # deadlines are the engine's, which cuts
            yield connection
        finally:
            if not self._over:
                self.over(whole=False)
                connection.close()

    def over(self, *, whole: bool) -> bool:
        """Let go of the connection; whether it may be used again.

        Args:
            whole: The answer was read to its end.
        """
        with self._lock:
            self._over = whole and not self._cut
            self._socket = None
            return self._over


def _shut(sock: socket.socket) -> None:
    """End reading and writing; whoever is blocked in either wakes. The plain call: TLS's own waits for its reader."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
