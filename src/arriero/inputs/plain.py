"""Plain files: opened only if nothing else has their name, and made for their owner alone, through nobody else's."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path


def open_anew(path: str, flags: int) -> int:
    """Make a file (0600) in place of a plain one of the same name.

    The one that is there is unlinked, not emptied: it may have another mode, another owner or a second name, and
    whoever holds it open would read what is written. A link or a folder there is an error.

    Args:
        path: Where.
        flags: How to open it, such as ``os.O_WRONLY``.

    Returns:
        Its descriptor.

    Raises:
        OSError: If it cannot be made.
    """
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISREG(os.lstat(path).st_mode):
            Path(path).unlink()
    return os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, stat.S_IRUSR | stat.S_IWUSR)


def open_plain(path: str | os.PathLike[str], flags: int = 0) -> int:
    """Open a plain file for reading; anything else, such as a pipe that would be waited for, is an error.

    Args:
        path: Where.
        flags: Further ones, such as ``os.O_NOFOLLOW``.

    Returns:
        Its descriptor.

    Raises:
        OSError: If it cannot be opened, or is no plain file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file", os.fspath(path))
    return descriptor
