"""Memory: the state file, which hands what one batch learned of instances and models to the next; it may be deleted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from arriero.config.folders import state_folder
from arriero.core.fleet import Fleet
from arriero.core.instance import Instance
from arriero.core.policies.predict import Lengths
from arriero.core.remembered import Served, Sizes
from arriero.core.request import Unit

VERSION = 1
"""Of the file; another one is as good as no file."""

SERVED_MOST, SIZES_MOST = 2000, 64
"""Units on instances and units that are kept; those not used for longest go first."""


class _File(msgspec.Struct):
    version: int = VERSION
    served: list[tuple[str, Served]] = []
    sizes: list[Sizes] = []


_decode = msgspec.json.Decoder(_File).decode


class Memory:
    """What was learned, by base URL, model digest and runner options.

    Args:
        path: Where it lies; None: nothing is known and nothing kept.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Memory:
        """The user's own, in ``$XDG_STATE_HOME/arriero``."""
        folder = state_folder(environ)
        return cls(None if folder is None else folder / "learned.json")

    @property
    def known(self) -> int:
        """Units on instances of which something is remembered."""
        return len(self._read().served)

    def instances(self, instances: Sequence[Instance]) -> list[tuple[Served, ...]]:
        """What is remembered of each, in their order, shape [instances]."""
        served = self._read().served
        return [tuple(known for url, known in served if url == instance.url) for instance in instances]

    def recall(self, fleet: Fleet, lengths: Lengths) -> None:
        """Begin with the lengths of every model that the fleet has in the same build."""
        for sizes in self._read().sizes:
            if any(member.digest(sizes.unit) == sizes.digest and member.has(sizes.unit.model) for member in fleet):
                lengths.recall(sizes)

    def keep(self, fleet: Fleet, lengths: Lengths) -> bool:
        """Take in what a batch has learned.

        Returns:
            Whether something was written; a folder that cannot be written keeps nothing, and that is no failure of the batch.
        """
        digests: dict[Unit, str] = {}
        learned: list[tuple[str, Served]] = []
        for member in fleet:
            for served in member.learned():
                learned.append((member.instance.url, served))
                digests.setdefault(served.unit, served.digest)
        if self.path is None or not learned:
            return False
        # Read again: another batch may have kept something since.
        file = self._read()
        fresh = {(url, served.unit) for url, served in learned}
        older = [(url, served) for url, served in file.served if (url, served.unit) not in fresh]
        sizes = [
            structs.replace(known, digest=digests[known.unit]) for known in lengths.learned() if known.unit in digests
        ]
        others = [known for known in file.sizes if known.unit not in digests]
        return _write(self.path, _File(served=(older + learned)[-SERVED_MOST:], sizes=(others + sizes)[-SIZES_MOST:]))

    def _read(self) -> _File:
        """The file; what is missing, damaged or of another version is as good as none."""
        try:
            file = _decode(self.path.read_bytes()) if self.path is not None else _File()
        except (OSError, msgspec.DecodeError):
            return _File()
        return file if file.version == VERSION else _File()


def _write(path: Path, file: _File) -> bool:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as out:
            out.write(msgspec.json.encode(file))
        partial.replace(path)
    except OSError:
        return False
    return True
