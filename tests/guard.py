"""Guard: a process that ends the servers below a folder when we die, however we do."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def guard(folder: Path) -> Iterator[None]:
    """While the block runs a process waits for our end, to kill everything whose home lies below the folder."""
    # A session of its own: the Ctrl-C that ends the tests must not end it before them.
    command = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield


def at_home(folder: str) -> Iterator[int]:
    """Processes of ours whose ``HOME`` lies below the folder."""
    home = f"HOME={folder}/".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # another user's, or ended meanwhile
            if any(variable.startswith(home) for variable in environ.read_bytes().split(b"\0")):
                yield int(environ.parent.name)


def main(folder: str) -> None:
    """Act when the pipe to whoever started us closes."""
    sys.stdin.read()
    for pid in at_home(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
