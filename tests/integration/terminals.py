"""A pseudoterminal as a command sees one, and all that it was sent."""

from __future__ import annotations

import os
import subprocess
import threading

from running import PATIENCE_S


def terminal_bytes(master: int, process: subprocess.Popen[bytes]) -> bytes:
    """All that a terminal gets until the last process has left it; the command is killed after ``PATIENCE_S``.

    Args:
        master: Our end of the terminal; the other one is closed here already. It is closed at the end.
        process: The command.
    """
    over = threading.Timer(PATIENCE_S, process.kill)
    over.start()
    said = b""
    try:
        while piece := _read(master):
            said += piece
    finally:
        over.cancel()
        os.close(master)
    return said


def _read(master: int) -> bytes:
    """What comes next; nothing once the terminal is closed, which Linux answers with EIO."""
    try:
        return os.read(master, 65536)
    except OSError:
        return b""
