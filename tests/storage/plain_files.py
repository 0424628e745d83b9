"""The same disk under plain files: what this process opens, writes, syncs and renames in one folder is remembered."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from power import Cut, Disk, Write


class PlainFiles:
    """Stands between ``os`` and a folder; what it does is done, but for syncs, and noted on ``disk``.

    Attributes:
        fails: Raised by the next syncs of a file of a name, if it says so.
    """

    def __init__(self, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.disk = disk
        self.synced: list[str] = []
        self.fails: Callable[[str], OSError | None] = lambda _: None
        self._names: dict[int, str] = {}
        self._real = {name: getattr(os, name) for name in ("open", "write", "fsync", "ftruncate", "close")}
        for name in self._real:
            monkeypatch.setattr(os, name, getattr(self, f"_{name}"))
        for name in ("replace", "rename", "unlink", "remove"):
            self._real[name] = getattr(os, name)
            monkeypatch.setattr(os, name, self._moves(name))

    def _here(self, path: Any) -> str | None:
        """The name of a file in the folder; the folder itself is ``.``."""
        whole = Path(os.fspath(path)) if not isinstance(path, int) else Path()
        return "." if whole == self.disk.folder else whole.name if whole.parent == self.disk.folder else None

    def _open(self, path: Any, flags: int, *rest: Any, **more: Any) -> int:
        name = self._here(path)
        new = name is not None and flags & os.O_CREAT and not os.path.lexists(path)
        file = int(self._real["open"](path, flags, *rest, **more))
        if name is not None:
            self._names[file] = name
            if new:
                self.disk.note("make", name)
            elif flags & os.O_TRUNC:
                self.disk.note("write", name, Cut(0))
        return file

    def _write(self, file: int, data: bytes) -> int:
        count = int(self._real["write"](file, data))
        if file in self._names:
            end = os.lseek(file, 0, os.SEEK_CUR)
            self.disk.note("write", self._names[file], Write(end - count, bytes(data[:count])))
        return count

    def _ftruncate(self, file: int, size: int) -> None:
        self._real["ftruncate"](file, size)
        if file in self._names:
            self.disk.note("write", self._names[file], Cut(size))

    def _fsync(self, file: int) -> None:
        name = self._names.get(file)
        if name is None:
            return
        self.synced.append(name)
        error = self.fails(name)
        if error is not None:
            self.disk.note("lose", name)
            raise error
        self.disk.note("folder" if name == "." else "sync", name)

    def _close(self, file: int) -> None:
        self._names.pop(file, None)
        self._real["close"](file)

    def _moves(self, call: str) -> Callable[..., None]:
        def move(old: Any, *new: Any, **more: Any) -> None:
            self._real[call](old, *new, **more)
            name = self._here(old)
            if name is not None:
                target = self._here(new[0]) if new else None
                self.disk.note("rename" if new else "remove", name, target)
                self._names = {file: target if new and one == name else one for file, one in self._names.items()}

        return move
