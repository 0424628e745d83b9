"""CuttingProxy: stands before a real server, keeps what was asked, and damages the answers it is told to."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

Fault = Callable[[dict[str, Any]], str]
"""Given the body of a generation: ``""``, ``"cut"`` (the connection ends inside the answer) or ``"undone"`` (the last
line, which says ``done``, is left out and the answer ends cleanly)."""

UNDONE = b"0\r\n\r\n"


class CuttingProxy:
    """A TCP listener before one server.

    Attributes:
        url: Its address.
        bodies: What was asked of ``/api/chat``, as it came.
        struck: How many answers were damaged.
    """

    def __init__(self, url: str, fault: Fault) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self._fault = fault
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.bodies: list[dict[str, Any]] = []
        self.struck = 0

    def accept(self) -> None:
        """Serve connections, a thread each, until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Accept no more; connections end with their clients."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server, contextlib.suppress(OSError, EOFError):
            asked, answered = client.makefile("rb"), server.makefile("rb")
            while True:
                head, body = _head(asked), b""
                if size := _length(head):
                    body = asked.read(size)
                server.sendall(head + body)
                if not self._answer(answered, client, self._fault_of(head, body)):
                    return

    def _fault_of(self, head: bytes, body: bytes) -> str:
        if not head.startswith(b"POST /api/chat "):
            return ""
        self.bodies.append(json.loads(body))
        return self._fault(self.bodies[-1])

    def _answer(self, answered: BinaryIO, client: socket.socket, fault: str) -> bool:
        """Pass one answer on; False if the connection must end here."""
        head = _head(answered)
        client.sendall(head)
        if b"transfer-encoding: chunked" not in head.lower():
            body = answered.read(_length(head))
            self.struck += bool(fault)
            client.sendall(body[: len(body) // 2] if fault else body)
            return not fault
        while chunk := _chunk(answered):
            if fault == "cut":
                self.struck += 1
                client.sendall(chunk[: len(chunk) // 2])
                return False
            if fault == "undone" and b'"done":true' in chunk:
                self.struck += 1
                client.sendall(UNDONE)
                return False
            client.sendall(chunk)
            if chunk == UNDONE:
                break
        return True


def _head(stream: BinaryIO) -> bytes:
    lines = b""
    while not lines.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            raise EOFError
        lines += line
    return lines


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def _chunk(stream: BinaryIO) -> bytes:
    size = stream.readline()
    if not size:
        raise EOFError
    return size + stream.read(int(size, 16) + 2)


@contextlib.contextmanager
def proxy_before(url: str, fault: Fault = lambda _: "") -> Iterator[CuttingProxy]:
    """A proxy that listens while the block runs."""
    proxy = CuttingProxy(url, fault)
    thread = threading.Thread(target=proxy.accept)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()


def first_time(words: str, fault: str) -> Fault:
    """Damage the first answer to a prompt that has these words, and no other."""
    left = [fault]

    def strikes(body: dict[str, Any]) -> str:
        hit = bool(body["messages"]) and words in body["messages"][-1]["content"]
        return left.pop() if hit and left else ""

    return strikes
