"""RabbitmqBroker: a RabbitMQ node with a name, ports, a cookie and a database of its own, on loopback alone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from broker import READY_S, Broker, free_ports

SETTINGS = """\
listeners.tcp.1 = 127.0.0.1:{port}
listeners.ssl.1 = 127.0.0.1:{tls_port}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
default_user = arriero
default_pass = {password}
log.file = false
log.console = true
log.console.level = warning
"""

PROGRAMS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
"""Debian's command of that name changes to another user and to its own folders; the one that it calls does neither."""


class RabbitmqBroker(Broker):
    """``rabbitmq-server`` from the distribution; runs as root too, beside any other node.

    The port mapper is ours as well: a node would start one that outlives it, on all interfaces.
    """

    kind = "rabbitmq"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = f"amqp://arriero:{self.password}@127.0.0.1:{self.port}//"
        self.tls_url = f"amqps://arriero:{self.password}@127.0.0.1:{self.tls_port}//"
        self._mapper_port, self._node_port = free_ports(2)
        self._mapper: subprocess.Popen[bytes] | None = None

    @staticmethod
    def installed() -> bool:
        """Whether the machine has one."""
        return any(shutil.which(program) for program in PROGRAMS) and shutil.which("epmd") is not None

    def start(self) -> None:
        if self._mapper is None:
            home = {"HOME": str(self.folder / "home")}
            command = ["epmd", "-address", "127.0.0.1", "-port", str(self._mapper_port)]
            self._mapper = subprocess.Popen(command, env={**os.environ, **home}, start_new_session=True)
        super().start()

    def wipe(self) -> None:
        """A node has no word for it that is quick: it is killed and starts with an empty database."""
        self.kill()
        shutil.rmtree(self.folder / "database")
        self.start()

    def control(self, *words: str) -> None:
        """``rabbitmqctl`` on this node."""
        command, environment = self._command()
        program = Path(shutil.which(command[0]) or "").with_name("rabbitmqctl")
        environment = {**os.environ, **environment, "HOME": str(self.folder / "home")}
        subprocess.run([str(program), *words], env=environment, check=True, capture_output=True, timeout=READY_S)

    def admit(self, user: str, password: str, rights: Sequence[str]) -> None:
        self.control("add_user", user, password)
        self.control("set_permissions", user, *rights)

    def refusals(self) -> list[str]:
        return [line for line in self.log.read_text(errors="replace").splitlines() if "access_refused" in line]

    def close(self) -> None:
        super().close()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()

    def _command(self) -> tuple[Sequence[str], dict[str, str]]:
        (self.folder / "rabbitmq.conf").write_text(SETTINGS.format(**vars(self)))
        (self.folder / "enabled_plugins").write_text("[].\n")
        environment = {
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "database"),
            "RABBITMQ_NODENAME": f"arriero-{self._node_port}@localhost",
            "RUNNING_UNDER_SYSTEMD": "1",  # the node takes the place of the script that starts it
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
        }
        return (next(program for program in PROGRAMS if shutil.which(program)),), environment

    def answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        return connection.recv(1) == b"\x01"
