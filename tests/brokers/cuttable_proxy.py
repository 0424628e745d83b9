"""CuttableProxy: a network between a client and a server that can be cut and mended."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

PIECE_BYTES = 65536


class CuttableProxy:
    """A TCP listener before a server on loopback.

    While it is cut nothing passes and nobody is told, as with a cable that was pulled; bytes on the way arrive once it is
    mended, where both ends have held out.

    Args:
        port: The server's.
        host: Where it listens.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._server_port = port
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self._whole = threading.Event()
        self._whole.set()
        self._sockets: list[socket.socket] = []

    def cut(self) -> None:
        """From now on nothing passes."""
        self._whole.clear()

    def mend(self) -> None:
        """Everything passes again."""
        self._whole.set()

    def accept(self) -> None:
        """Serve connections until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Accept no more, and end every connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.mend()
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        self._whole.wait()
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._server_port)) as server:
            self._sockets += [client, server]
            back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            back.start()
            self._pump(client, server)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                self._whole.wait()
                sink.sendall(piece)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def network_before(port: int, host: str = "127.0.0.1") -> Iterator[CuttableProxy]:
    """A network that is whole until it is cut."""
    proxy = CuttableProxy(port, host)
    thread = threading.Thread(target=proxy.accept)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
