"""A fleet of real Ollama servers on free ports, each in a process group of its own.

::

    python .ci/real_ollama.py install
    python .ci/real_ollama.py serve --slots 1 2 4                    a JSON line; ends when stdin closes
    python .ci/real_ollama.py serve --slots 1 2 4 -- COMMAND …       runs it with the URLs in ARRIERO_TEST_OLLAMA
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ollama_install import InstallError, install, installed

READY_S = 30.0
LISTENING = re.compile(rb"Listening on (127\.0\.0\.1:\d+)")


class OllamaServer:
    """One ``ollama serve`` with its model process.

    Attributes:
        slots: ``OLLAMA_NUM_PARALLEL``.
        log: File with everything it wrote, one access line a request among it.
        address: ``127.0.0.1:PORT`` once started; a second start takes the same.
        settings: Environment beyond the slots, such as ``OLLAMA_MAX_LOADED_MODELS``; for the next start.
    """

    def __init__(
        self, root: Path, slots: int, folder: Path, *, port: int = 0, settings: Mapping[str, str] | None = None
    ) -> None:
        self.root = root
        self.slots = slots
        self.settings = dict(settings or {})
        self.folder = folder
        self.log = folder / "server.log"
        self.address = f"127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._drain: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def group(self) -> int:
        """The process group of the server and its model processes; its number is the server's own."""
        assert self._process is not None
        return self._process.pid

    def models(self) -> list[int]:
        """The model processes that live now: ``llama-server`` with 0.30 and newer, a runner before."""
        return [pid for pid in _group(self.group) if pid != self.group]

    def signal(self, number: int) -> None:
        """Send a signal to the server and its model processes at once."""
        os.killpg(self.group, number)

    def signal_models(self, number: int) -> None:
        """Send a signal to the model processes alone."""
        found = self.models()
        assert found, "no model is loaded"
        for pid in found:
            os.kill(pid, number)

    def start(self) -> None:
        """Start and wait for the line that names the port; a new session, so that one signal ends all of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")},
            "HOME": str(self.folder),
            "OLLAMA_HOST": self.address,
            "OLLAMA_MODELS": str(self.root / "models"),
            "OLLAMA_NUM_PARALLEL": str(self.slots),
            "OLLAMA_NOPRUNE": "1",
            "OLLAMA_NO_CLOUD": "1",
            **self.settings,
            "ARRIERO_PYTHON": str(Path(sys.executable).resolve()),
        }
        self._process = subprocess.Popen(
            [str(self.root / "bin" / "ollama"), "serve"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        listening = threading.Event()
        self._drain = threading.Thread(target=self._copy_log, args=(listening,), daemon=True)
        self._drain.start()
        if not listening.wait(READY_S) or self.address.endswith(":0"):
            self.kill()
            raise InstallError(f"ollama serve did not listen:\n{self.log.read_text()[-2000:]}")

    def _copy_log(self, listening: threading.Event) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as pipe, self.log.open("ab", buffering=0) as log:
            for line in pipe:
                log.write(line)
                if found := LISTENING.search(line):
                    self.address = found.group(1).decode()
                    listening.set()
        listening.set()

    def kill(self) -> None:
        """SIGKILL the whole group: of the server alone, it would leave the model process behind."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._drain is not None:
            self._drain.join()
        self._process = None


def _group(number: int) -> list[int]:
    """Processes of a group, without those that have ended and wait to be reaped."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(group) == number and state != "Z":
                found.append(int(stat.parent.name))
    return found


@contextlib.contextmanager
def fleet(
    root: Path, slots: Sequence[int], folder: Path, *, port: int = 0, settings: Mapping[str, str] | None = None
) -> Iterator[list[OllamaServer]]:
    """Servers with these slots, up while the block runs; they share one model store.

    Args:
        root: What ``install`` made.
        slots: ``OLLAMA_NUM_PARALLEL``, one a server.
        folder: For logs and homes.
        port: Of the first one, the others follow; 0 for free ports.
        settings: Further environment of each.
    """
    servers = [
        OllamaServer(root, count, folder / f"ollama-{n}", port=port and port + n, settings=settings)
        for n, count in enumerate(slots)
    ]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()


def _serve(chosen: argparse.Namespace, command: list[str]) -> int:
    root = installed()
    if root is None:
        raise InstallError("not installed yet: python .ci/real_ollama.py install")
    folder = Path(tempfile.mkdtemp(prefix="arriero-fleet-"))
    try:
        settings = {"OLLAMA_CONTEXT_LENGTH": str(chosen.context)}
        with fleet(root, chosen.slots, folder, port=chosen.port, settings=settings) as servers:
            urls = [server.url for server in servers]
            if command:
                return subprocess.run(
                    command, env={**os.environ, "ARRIERO_TEST_OLLAMA": ",".join(urls)}, check=False
                ).returncode
            line = {"urls": urls, "slots": chosen.slots, "logs": [str(server.log) for server in servers]}
            print(json.dumps(line), flush=True)  # noqa: T201
            sys.stdin.read()
            return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """The command line of ``.ci/real_ollama.py``."""
    parser = argparse.ArgumentParser(prog="real_ollama.py", description="A real Ollama fleet for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="build and cache; needs Go, gcc and the package registries")
    serve = commands.add_parser("serve", help="start servers, print their URLs, end when stdin closes")
    serve.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4], help="OLLAMA_NUM_PARALLEL, one a server")
    serve.add_argument("--port", type=int, default=0, help="of the first one, the others follow; default: free ones")
    serve.add_argument("--context", type=int, default=0, help="OLLAMA_CONTEXT_LENGTH, for requests that name none")
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    chosen = parser.parse_args(arguments[:cut])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if chosen.command == "install":
            install(lambda text: print(text, file=sys.stderr, flush=True))  # noqa: T201
            return 0
        return _serve(chosen, arguments[cut + 1 :])
    except InstallError as error:
        print(f"real_ollama: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 130
