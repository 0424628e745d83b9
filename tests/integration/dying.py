"""The real command line in a process that kills itself before, or in the middle of, its n-th change to the disk.

Run as a script, this file imports what the command needs once and forks a process for each line of JSON on its standard
input. In that process every call that changes a file is a step: those of Python, and SQLite's own by ``xSetSystemCall``.
Nothing of the product knows of it.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS = ".steps"
"""In the folder of the command: a line a step, written before it is taken."""

SIZED = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, use_errno=True)
PLACED = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, use_errno=True
)
NAMED = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, use_errno=True)
CUT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int64, use_errno=True)
SQLITE_CALLS = {"write": SIZED, "pwrite": PLACED, "pwrite64": PLACED, "unlink": NAMED, "ftruncate": CUT}


class Steps:
    """Counts the steps of this process and ends it at one of them.

    Args:
        folder: Where ``STEPS`` is written.
        die_at: The step before which it dies: its number from 1, its line in ``STEPS``, ``2 LINE`` for the second such line,
            or ``after LINE`` for the step that follows; 0: it lives.
        torn: It dies in the middle instead: half of the bytes of that write are written.
    """

    def __init__(self, folder: Path, die_at: int | str, *, torn: bool) -> None:
        self._log = os.open(folder / STEPS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._die_at = die_at
        self._torn = torn
        self._taken = 0
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._write = os.write
        self._kept: list[Any] = []  # what SQLite calls must not be collected

    def install(self) -> None:
        """From now on every change to the disk is a step."""
        for name in ("fsync", "replace", "rename", "unlink", "ftruncate", "link"):
            setattr(os, name, self._counted(name, getattr(os, name)))
        os.write = self._counted_write(os.write)
        os.pwrite = self._counted_write(os.pwrite)
        os.open = self._counted_open(os.open)
        fcntl.flock = self._counted("flock", fcntl.flock)
        self._install_sqlite()

    def _step(self, name: str, what: object, half: Callable[[], object] | None = None) -> None:
        with self._lock:
            self._taken += 1
            line = f"{name} {_shown(what)}"
            self._write(self._log, f"{line}\n".encode())
            self._seen[line] += 1
            if self._die_at == f"after {line}":
                self._die_at = self._taken + 1
            elif self._die_at in (self._taken, line, f"{self._seen[line]} {line}"):
                if self._torn and half is not None:
                    half()
                os.kill(os.getpid(), signal.SIGKILL)

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self._step(name, arguments[0])
            return call(*arguments, **named)

        return counted

    def _counted_write(self, call: Callable[..., int]) -> Callable[..., int]:
        def counted(fd: int, data: Any, *at: int) -> int:
            if fd > 2:  # talk is no change to the disk
                self._step("write", fd, lambda: call(fd, bytes(data)[: len(data) // 2], *at))
            return call(fd, data, *at)

        return counted

    def _counted_open(self, call: Callable[..., int]) -> Callable[..., int]:
        def counted(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
            if flags & os.O_CREAT:
                self._step("create", path)
            return call(path, flags, *arguments, **named)

        return counted

    def _install_sqlite(self) -> None:
        import apsw  # noqa: PLC0415 - only the forked process has it

        table = apsw.VFS("steps", "")
        for name, kind in SQLITE_CALLS.items():
            found = table.xGetSystemCall(name)
            if found:
                call = kind(self._sqlite_step(name, kind(found)))
                self._kept.append(call)
                table.xSetSystemCall(name, ctypes.cast(call, ctypes.c_void_p).value)
        self._kept.append(table)

    def _sqlite_step(self, name: str, call: Callable[..., int]) -> Callable[..., int]:
        def counted(first: Any, *more: int) -> int:
            half = (lambda: call(first, more[0], more[1] // 2, *more[2:])) if "write" in name else None
            self._step(f"sqlite-{name.removeprefix('p').removesuffix('64')}", first, half)
            return call(first, *more)

        return counted


def _shown(what: object) -> str:
    """The name of what a step is about: of a file, or of an open one."""
    if isinstance(what, int):
        try:
            what = Path(f"/proc/self/fd/{what}").readlink()
        except OSError:
            return str(what)
    return Path(os.fsdecode(what)).name


def main() -> None:
    """Fork a process for each line of standard input, and answer with how it ended."""
    for module in ("arriero.cli.run", "arriero.client", "arriero.engines.http"):
        importlib.import_module(module)  # once, for all

    for line in sys.stdin:
        child = os.fork()
        if not child:
            _live(**json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _live(folder: str, words: Sequence[str], die_at: int | str, torn: bool, stdin: str) -> None:
    from arriero.cli import main as arriero_main  # noqa: PLC0415

    os.chdir(folder)
    for fd, name, flags in ((0, stdin, os.O_RDONLY), (1, ".out", os.O_WRONLY), (2, ".err", os.O_WRONLY)):
        os.dup2(os.open(name, flags | (os.O_CREAT | os.O_TRUNC if fd else 0), 0o600), fd)
    os.environ["HOME"] = str(Path(folder) / ".home")
    sys.argv = ["arriero", *words]
    code: Any = 1
    try:
        Steps(Path(folder), die_at, torn=torn).install()
        arriero_main()
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code or 0))


@dataclass
class Died:
    """How a command ended; ``code`` is negative where it was killed."""

    code: int
    out: str
    err: str
    steps: list[str]


class Mortals:
    """Commands that die where they are told to, a fork each."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(env)
        )

    def run(
        self, folder: Path, *words: str, die_at: int | str = 0, torn: bool = False, stdin: str = os.devnull
    ) -> Died:
        """A command from its start to its end, or to its death."""
        asked = {"folder": str(folder), "words": words, "die_at": die_at, "torn": torn, "stdin": stdin}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        out, err, steps = ((folder / name).read_text() for name in (".out", ".err", STEPS))
        return Died(code, out, err, steps.splitlines())

    def end(self) -> None:
        """No more."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def mortals(env: Mapping[str, str]) -> Iterator[Mortals]:
    """Commands that die where they are told to; none is left behind."""
    found = Mortals(env)
    try:
        yield found
    finally:
        found.end()


if __name__ == "__main__":
    main()
