"""LocalServer: starts the child process, knows its address, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from arriero.core.instance import Instance, InstanceLimit
from arriero.errors import ConfigError, FleetError
from arriero.local.model import MODEL_NAME, model_path, require_engine
from arriero.local.protocol import ChildOptions, ChildReady

SLOTS_PER_THREAD = 4
SLOTS_MOST = 8
"""One thread answers 8 requests at a time 10 % faster than 4, and the first of them three times as late; every slot
takes 95 MB (``docs/decisions/0002-local-model.md``)."""

CONTEXT_TOKENS = 4096
READY_S = 60.0
STOP_S = 5.0
TAIL_BYTES = 2000

_SECRET = re.compile("KEY|TOKEN|SECRET|PASS|CREDENTIAL|_PROXY$")


class LocalServer:
    """The embedded instance, up inside a ``with`` block.

    Args:
        slots: Requests it serves at a time; None: 4 a thread, at most 8.
        context_tokens: Prompt and answer of one request, at most.
        threads: Of the engine; None: one less than the cores this process may use, at least 1.
        model: A GGUF file; None: the demonstration model.
        ready_s: How long it may take until it listens.
    """

    def __init__(
        self,
        *,
        slots: int | None = None,
        context_tokens: int = CONTEXT_TOKENS,
        threads: int | None = None,
        model: Path | None = None,
        ready_s: float = READY_S,
    ) -> None:
        self._slots = slots
        self.context_tokens = context_tokens
        self._threads = threads
        self.model = model
        self.ready_s = ready_s
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._url = ""

    def __enter__(self) -> Self:
        """Start, and wait until it listens.

        Raises:
            ConfigError: If the engine or the model is not installed.
            FleetError: If it ends or says nothing within ``ready_s``; with the end of what it wrote.
        """
        options = self._options()
        self._said = tempfile.TemporaryFile()
        # A session of its own: Ctrl-C in the terminal asks arriero to drain, and that needs the server alive.
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "arriero.local.child", msgspec.json.encode(options).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=without_secrets(os.environ),
            start_new_session=True,
        )
        try:
            self._url = self._wait_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    @property
    def threads(self) -> int:
        """Threads of the engine."""
        return self._threads or max(1, _cores() - 1)

    @property
    def slots(self) -> int:
        """Requests it serves at a time."""
        return self._slots or min(SLOTS_MOST, SLOTS_PER_THREAD * self.threads)

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:PORT``; the endpoints are below ``/v1``."""
        return self._url

    @property
    def pid(self) -> int:
        """Process id of the child; 0 when it is not running."""
        return self._process.pid if self._process else 0

    def instance(self, name: str = "local") -> Instance:
        """The server as a member of a fleet: its slots are known, so there is nothing to learn."""
        limit = InstanceLimit(self.slots, self.slots, self.slots)
        return Instance(name=name, url=self.base_url, backend="openai", kind="server", limit=limit)

    def crashed(self) -> str | None:
        """Why it ended by itself, with the end of what it wrote; None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        return f"the embedded server ended ({_manner(self._process.returncode)}){self._tail()}"

    def stop(self) -> None:
        """End it: it leaves when its standard input closes, and is killed if it has not within 5 s."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None  # noqa: S101 - asked for when it was started
            assert process.stdout is not None  # noqa: S101 - the same
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        if self._said is not None:
            self._said.close()
            self._said = None

    def _options(self) -> ChildOptions:
        require_engine()
        model = self.model or model_path()
        if model is None:
            raise ConfigError("the demonstration model is not installed", hint="arriero local install")
        if not model.is_file():
            raise ConfigError(f"there is no model file {model}")
        return ChildOptions(
            model=str(model),
            name=MODEL_NAME,
            slots=self.slots,
            context_tokens=self.context_tokens,
            threads=self.threads,
        )

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None  # noqa: S101 - asked for above
        line = b""
        give_up = time.monotonic() + self.ready_s
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, give_up - time.monotonic())):
                    raise FleetError(f"the embedded server did not listen within {self.ready_s:g} s{self._tail()}")
                piece = os.read(process.stdout.fileno(), 4096)
                if not piece:
                    process.wait()
                    raise FleetError(self.crashed() or "", hint="arriero doctor")
                line += piece
        return msgspec.json.decode(line, type=ChildReady).url

    def _tail(self) -> str:
        """The end of what the child wrote, printable; it is silent about requests."""
        if self._said is None:
            return ""
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - TAIL_BYTES))
        text = self._said.read().decode(errors="replace")
        safe = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text).strip()
        return f":\n{safe}" if safe else ""


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a server that needs no key: what is named like a secret is left out."""
    return {name: value for name, value in environ.items() if not _SECRET.search(name.upper())}


def _cores() -> int:
    """Cores this process may use; fewer than the machine has inside most containers."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _manner(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
