"""RedisBroker: a Redis that keeps nothing on disk."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from broker import Broker

SETTINGS = """\
bind 127.0.0.1
port {port}
tls-port {tls_port}
tls-cert-file {certificate}
tls-key-file {key}
tls-auth-clients no
requirepass {password}
dir {folder}
save ""
appendonly no
"""


class RedisBroker(Broker):
    """``redis-server`` from the distribution."""

    kind = "redis"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        self.tls_url = f"rediss://:{self.password}@127.0.0.1:{self.tls_port}/0"

    @staticmethod
    def installed() -> bool:
        """Whether the machine has one."""
        return shutil.which("redis-server") is not None

    def wipe(self) -> None:
        self.revive()
        with socket.create_connection(("127.0.0.1", self.port), 5.0) as connection:
            assert b"-" not in self._ask(connection, "FLUSHALL")

    def admit(self, user: str, password: str, rights: Sequence[str]) -> None:
        with socket.create_connection(("127.0.0.1", self.port), 5.0) as connection:
            command = f"ACL SETUSER {user} reset on >{password} {' '.join(rights)}"
            assert b"-" not in self._ask(connection, command)

    def refusals(self) -> list[str]:
        with socket.create_connection(("127.0.0.1", self.port), 5.0) as connection:
            log = self._ask(connection, "ACL LOG")
        return [] if b"*0\r\n" in log else [log.decode()]

    def _command(self) -> tuple[Sequence[str], dict[str, str]]:
        settings = self.folder / "redis.conf"  # a password on the command line is seen by every user
        settings.write_text(SETTINGS.format(**vars(self)))
        return ("redis-server", str(settings)), {}

    def answers(self, connection: socket.socket) -> bool:
        return b"+PONG" in self._ask(connection, "PING")

    def _ask(self, connection: socket.socket, command: str) -> bytes:
        connection.sendall(f"AUTH {self.password}\r\n{command}\r\n".encode())
        replies = b""
        while replies.count(b"\r\n") < 2 and (piece := connection.recv(4096)):
            replies += piece
        return replies
