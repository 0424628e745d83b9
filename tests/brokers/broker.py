"""Broker: a Redis or RabbitMQ server of our own that a test may kill, stop, freeze, empty and start again."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

READY_S = 40.0
"""RabbitMQ is up after 5 s on a quiet machine."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


class Broker(ABC):
    """One server in a process group of its own, on loopback alone, with a password; a second start takes the same port.

    Attributes:
        kind: ``redis`` or ``rabbitmq``.
        port: Where it listens.
        tls_port: Where it listens with TLS.
        certificate: What vouches for its name, 127.0.0.1.
        url: As ``--broker`` takes it.
        tls_url: The same with TLS, without what vouches for it.
        log: Everything it wrote.
    """

    kind: str
    url: str
    tls_url: str

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.password = secrets.token_urlsafe(12)
        self.port, self.tls_port = free_ports(2)
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.log = folder / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> tuple[Sequence[str], dict[str, str]]:
        """What is started, and its environment beyond our own."""

    @abstractmethod
    def answers(self, connection: socket.socket) -> bool:
        """Whether it serves, asked over a connection that was just opened."""

    @abstractmethod
    def wipe(self) -> None:
        """It serves, and everything it held is gone: queues, messages, bindings."""

    @abstractmethod
    def admit(self, user: str, password: str, rights: Sequence[str]) -> None:
        """A user that may do this and no more."""

    @abstractmethod
    def refusals(self) -> list[str]:
        """What a user was not allowed to do."""

    def at(self, port: int) -> str:
        """The address of something that stands before it."""
        return self.url.replace(f":{self.port}", f":{port}")

    def certify(self) -> None:
        """Make what its TLS listener shows, once."""
        if not self.certificate.exists():
            command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            names = ["-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
            files = ["-keyout", str(self.key), "-out", str(self.certificate)]
            subprocess.run([*command, *names, *files], check=True, capture_output=True)

    @property
    def group(self) -> int:
        """Its process group."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it serves."""
        self.certify()
        command, environment = self._command()
        # The guard knows ours by their home.
        environment = {**os.environ, **environment, "HOME": str(self.folder / "home")}
        (self.folder / "home").mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self._wait()

    def kill(self) -> None:
        """SIGKILL to the whole group: connections break without a word."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and its orderly end: clients are told."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: connections stay, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def revive(self) -> None:
        """Whatever a test did to it: it runs and serves."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        else:
            self.thaw()
            self._wait()

    def close(self) -> None:
        """End it for good."""
        self.thaw()
        self.kill()

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _end(self, number: int) -> None:
        self._signal(number)
        if self._process is not None:
            self._process.wait(READY_S)

    def _wait(self) -> None:
        until = time.monotonic() + READY_S
        while not self._serves():
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < until, f"{self.kind} does not serve: {self.log}"
            time.sleep(0.05)

    def _serves(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                return self.answers(connection)
        except OSError:
            return False


@contextlib.contextmanager
def serving(broker: Broker) -> Iterator[Broker]:
    """A broker that serves while the block runs."""
    try:
        broker.start()
        yield broker
    finally:
        broker.close()
