"""Where the journal lies: a private, local, regular file that is still the one that was opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from arriero.errors import StorageError

MOUNTS = Path("/proc/self/mountinfo")

NETWORK = frozenset(
    {
        "afs", "beegfs", "ceph", "cifs", "coda", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs",
        "fuse.sshfs", "glusterfs", "ncpfs", "nfs", "nfs3", "nfs4", "smb2", "smb3", "smbfs",
    }
)  # fmt: skip
"""File systems over which SQLite's shared memory (``-shm``) is not one memory for all that have the file open.

Source: SQLite, "Write-Ahead Logging", section 1: WAL does not work over a network file system.
"""


SIDE_FILES = ("-wal", "-shm", "-journal")
"""Endings of the files that belong to an SQLite database beside it; only ``-shm`` holds nothing that could be lost.

Source: SQLite, "Temporary Files Used By SQLite".
"""


class Identity(NamedTuple):
    """Which file a path names: device and inode."""

    device: int
    inode: int


def identity(path: Path) -> Identity | None:
    """The file at a path, links not followed; None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino)


def resolve(path: Path) -> Path:
    """The path with links in its folder followed, but not one in its place.

    Raises:
        StorageError: If the folder does not exist.
    """
    folder = path.parent.resolve()
    if not folder.is_dir():
        raise StorageError(f"The folder of the journal does not exist: {folder}.", hint=f"mkdir -p {folder}")
    return folder / path.name


def exists(path: Path) -> bool:
    """Whether a journal may be read here.

    Raises:
        StorageError: If something else than a regular file is in its place; a link could name any file.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"The journal cannot be read: {path}: {error.strerror}.") from error
    if not stat.S_ISREG(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "not a regular file"
        raise StorageError(f"The journal {path} is {what}.", hint="name another place with --journal PATH")
    return True


def create(path: Path) -> None:
    """Make an empty file that only its owner may read; SQLite gives its side files the same mode.

    Side files without a journal are no use to anybody: they are left over, or were put there for SQLite to write to.

    Raises:
        StorageError: If that is not possible.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        for suffix in SIDE_FILES:
            side_file(path, suffix).unlink(missing_ok=True)
        os.close(os.open(path, flags, 0o600))
    except OSError as error:
        raise StorageError(
            f"The journal cannot be made: {path}: {error.strerror}.", hint="name another place with --journal PATH"
        ) from error


def refuse_planted(path: Path) -> None:
    """Accept an empty file only if it is our own and no other name leads to it, and close it to all others.

    A process that is killed between the two steps of making a journal leaves an empty one. Whoever else puts one there
    may hold it open, and would read every answer.

    Raises:
        StorageError: If it is not ours.
    """
    found = path.lstat()
    if found.st_size:
        return
    if found.st_uid != os.geteuid() or found.st_nlink > 1:
        what = "belongs to another user" if found.st_uid != os.geteuid() else "has a second name"
        raise StorageError(
            f"The journal {path} is an empty file that {what}.",
            hint="remove it, or name another place with --journal PATH",
        )
    path.chmod(0o600)


def file_system(path: Path, mounts: str) -> str:
    """Type of the file system that holds a path.

    Args:
        path: Absolute, links resolved.
        mounts: Lines of Linux ``/proc/self/mountinfo`` (proc(5): the mount point is field 5, the type follows ``-``).

    Returns:
        The type, such as ``ext4``; ``""`` if it cannot be told.
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        head, _, tail = line.partition(" - ")
        fields = head.split(" ")
        if len(fields) < 5 or not tail:  # noqa: PLR2004 - field 5 is the mount point
            continue
        point = fields[4].encode("latin-1", "replace").decode("unicode_escape")
        if len(point) >= len(best) and path.is_relative_to(point):
            best, kind = point, tail.split(" ")[0]
    return kind


def refuse_network(path: Path, mounts: str | None = None) -> None:
    """Accept only a local file system, where locks and shared memory work.

    Raises:
        StorageError: If the file system is one of ``NETWORK``.
    """
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
    kind = file_system(path, mounts)
    if kind in NETWORK:
        raise StorageError(
            f"The journal cannot lie on a network file system ({kind}): {path}.",
            hint="keep it on a local disk: --journal /local/path",
        )


def free_bytes(path: Path) -> int:
    """Bytes an ordinary user can still write on the disk that holds a path, or its folder if it is not there."""
    try:
        disk = os.statvfs(path)
    except FileNotFoundError:
        disk = os.statvfs(path.parent)
    return disk.f_bavail * disk.f_frsize


def side_file(path: Path, suffix: str) -> Path:
    """A file that SQLite or the lock keeps beside the journal: ``-wal``, ``-shm`` or ``.lock``."""
    return path.with_name(path.name + suffix)
