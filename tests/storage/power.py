"""A disk that loses power: what was written since the last sync is dropped, reordered and torn.

``Power`` is a VFS of SQLite that lies between the real journal code and the real files. Everything goes through to the
files, but for syncs, and is remembered in order; ``Disk.after_cut`` makes from it what the disk may hold if the power
goes at one moment. SQLite's own shared memory (WAL) is the real one: it is no part of what survives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import apsw

SECTOR_BYTES = 512
"""What a disk writes whole or not at all."""

WAYS = ("nothing", "everything", "torn", "dropped", "sectors", "sectors")
"""What may become of the writes to one file that were not synced."""

NEAR_STEPS = 12

SYNCED_WITH_FOLDER = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
"""Files whose first sync also syncs their folder (SQLite, ``os_unix.c``, ``unixSync``)."""


class Write(NamedTuple):
    offset: int
    data: bytes


class Cut(NamedTuple):
    """A truncation."""

    size: int


class Step(NamedTuple):
    """One thing that happened, in the order it did.

    ``what`` is write (``more`` a Write or Cut), sync, lose (a sync that failed), make, rename (``more`` the new name),
    remove, folder (a sync of it) or mark (``more`` is the test's).
    """

    what: str
    name: str = ""
    more: Any = None


@dataclass
class File:
    """A file by what is certain of it, and what was written since."""

    stable: bytes = b""
    since: list[Write | Cut] = field(default_factory=list)

    def sync(self) -> None:
        self.stable, self.since = _applied(self.stable, self.since), []

    def after_cut(self, chance: Random) -> bytes:
        way = chance.choice(WAYS)
        if way == "nothing":
            return self.stable
        if way == "everything":
            return _applied(self.stable, self.since)
        if way == "torn":
            kept = self.since[: chance.randint(0, len(self.since))]
            return _applied(self.stable, [*kept[:-1], *_torn(kept[-1:], chance)])
        if way == "dropped":
            return _applied(self.stable, [one for one in self.since if chance.random() < 0.5])
        return self._sectors(chance)

    def _sectors(self, chance: Random) -> bytes:
        """Each sector as any of the writes left it: later ones may be there without earlier ones."""
        now, sizes = bytearray(self.stable), [len(self.stable)]
        versions: dict[int, list[bytes]] = {}
        for one in self.since:
            touched = range(*_touched(one, len(now)))
            _apply(now, one)
            sizes.append(len(now))
            for sector in touched:
                kept = versions.setdefault(sector, [_sector(self.stable, sector)])
                kept.append(_sector(now, sector))
        size = chance.choice(sizes)
        whole = bytearray(_sized(self.stable, -(-max(sizes) // SECTOR_BYTES) * SECTOR_BYTES))
        for sector, kept in versions.items():
            whole[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES] = chance.choice(kept)
        return bytes(whole[:size])


class Disk:
    """The history of one folder while the power is on.

    Args:
        folder: The real folder; what is in it now is certain.

    Attributes:
        steps: What happened so far.
        fails: Whether a sync of a file of that name fails now.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[Step] = []
        self.fails: Callable[[str], bool] = lambda _: False
        self._before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        self._lock = threading.Lock()

    def note(self, what: str, name: str = "", more: Any = None) -> None:
        with self._lock:
            self.steps.append(Step(what, name, more))

    def mark(self, more: Any) -> None:
        """Remember that the test was told something, or asked for something, at this point."""
        self.note("mark", more=more)

    def marks(self, moment: int) -> list[Any]:
        return [step.more for step in self.steps[:moment] if step.what == "mark"]

    def moment(self, chance: Random) -> int:
        """A moment for a cut: any, or one close to a mark, where promises are made."""
        at = chance.randint(0, len(self.steps))
        marks = [number for number, step in enumerate(self.steps) if step.what == "mark"]
        if marks and chance.random() < 0.6:
            at = chance.choice(marks) + chance.randint(-NEAR_STEPS, NEAR_STEPS)
        return min(max(at, 0), len(self.steps))

    def after_cut(self, moment: int, chance: Random) -> dict[str, bytes]:
        """What the folder may hold if the power goes after so many steps: a name and the bytes of each file."""
        names = {name: File(data) for name, data in self._before.items()}
        now, unsynced = dict(names), list[Step]()
        for step in self.steps[:moment]:
            match step.what:
                case "write":
                    now[step.name].since.append(step.more)
                case "sync":
                    now[step.name].sync()
                case "lose":  # the system forgets what it could not write and calls it clean
                    now[step.name].since = []
                case "folder":
                    names, unsynced = dict(now), []
                case "make" | "rename" | "remove":
                    moved = step if step.what != "make" else step._replace(more=File())
                    unsynced.append(moved)
                    _rearrange(now, moved)
        for step in unsynced[: chance.randint(0, len(unsynced))]:
            _rearrange(names, step)
        return {name: file.after_cut(chance) for name, file in sorted(names.items())}


def restore(image: dict[str, bytes], folder: Path) -> Path:
    """A new folder with what was left by a cut."""
    folder.mkdir()
    for name, data in image.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
    return folder


class Power(apsw.VFS):
    """Takes the place of SQLite's VFS; files in the folder of ``disk`` are recorded, others are only never synced."""

    def __init__(self) -> None:
        super().__init__("power", "unix", makedefault=True)
        self.disk: Disk | None = None

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        path = _path(name)
        disk = self.disk
        if disk is None or path is None or path.parent != disk.folder:
            return Unsynced("unix", name, flags)
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            new = not any(step.name == path.name for step in disk.steps) and path.name not in disk._before
        else:
            new = not path.exists() and bool(flags[0] & apsw.SQLITE_OPEN_CREATE)
        if new:
            disk.note("make", path.name)
        return Recorded(disk, path.name, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's
        super().xDelete(name, syncdir)
        if self.disk is not None and Path(name).parent == self.disk.folder:
            self.disk.note("remove", Path(name).name)
            if syncdir:
                self.disk.note("folder")


class Unsynced(apsw.VFSFile):
    """A file as the system has it; nothing waits for the real disk, since a real cut is not what it is to survive."""

    def xSync(self, flags: int) -> None:  # noqa: N802
        pass

    def xLock(self, level: int) -> None:  # noqa: N802
        """A reader that ends asks in vain for a lock that only a writer may have; SQLite alone hushes that up."""
        try:
            super().xLock(level)
        except apsw.IOError as error:
            raise apsw.BusyError from error


class Recorded(Unsynced):
    """One open file of a recorded folder."""

    def __init__(self, disk: Disk, label: str, name: Any, flags: list[int]) -> None:
        self.disk, self.label = disk, label
        self.syncs_folder = bool(flags[0] & SYNCED_WITH_FOLDER and flags[0] & apsw.SQLITE_OPEN_CREATE)
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.disk.note("write", self.label, Write(offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self.disk.note("write", self.label, Cut(size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self.disk.fails(self.label):
            self.disk.note("lose", self.label)
            error = apsw.IOError("a sync failed")
            error.extendedresult = apsw.SQLITE_IOERR_FSYNC  # type: ignore[attr-defined]
            raise error
        self.disk.note("sync", self.label)
        if self.syncs_folder:
            self.disk.note("folder")
            self.syncs_folder = False


@contextmanager
def power() -> Iterator[Power]:
    """Every connection that this process opens goes over a disk that can lose power; set ``disk`` to record."""
    vfs = Power()
    try:
        yield vfs
    finally:
        vfs.unregister()


def _path(name: Any) -> Path | None:
    if name is None:
        return None
    return Path(name if isinstance(name, str) else name.filename())


def _rearrange(names: dict[str, File], step: Step) -> None:
    if step.what == "make":
        names[step.name] = step.more
    elif step.name in names:
        file = names.pop(step.name)
        if step.what == "rename":
            names[step.more] = file


def _applied(data: bytes, changes: Sequence[Write | Cut]) -> bytes:
    whole = bytearray(data)
    for one in changes:
        _apply(whole, one)
    return bytes(whole)


def _apply(whole: bytearray, one: Write | Cut) -> None:
    if isinstance(one, Cut):
        del whole[one.size :]
        whole.extend(bytes(one.size - len(whole)))
    else:
        whole.extend(bytes(max(0, one.offset - len(whole))))
        whole[one.offset : one.offset + len(one.data)] = one.data


def _torn(last: Sequence[Write | Cut], chance: Random) -> list[Write | Cut]:
    """The last write up to a sector's end."""
    torn: list[Write | Cut] = []
    for one in last:
        if isinstance(one, Write):
            end = chance.randint(0, len(one.data) // SECTOR_BYTES) * SECTOR_BYTES
            torn.append(Write(one.offset, one.data[:end]))
        else:
            torn.append(one)
    return torn


def _touched(one: Write | Cut, size: int) -> tuple[int, int]:
    if isinstance(one, Cut):
        low, high = sorted((one.size, size))
    else:
        low, high = min(one.offset, size), one.offset + len(one.data)
    return low // SECTOR_BYTES, -(-high // SECTOR_BYTES)


def _sector(data: bytes | bytearray, sector: int) -> bytes:
    return _sized(bytes(data[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]), SECTOR_BYTES)


def _sized(data: bytes, size: int) -> bytes:
    return data[:size] + bytes(max(0, size - len(data)))
