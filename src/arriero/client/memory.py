"""Memory: the state file, which hands what one batch learned of instances and models to the next; it may be deleted."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from math import isfinite
from pathlib import Path

import msgspec
from msgspec import structs

from arriero.config.folders import make_private, state_folder
from arriero.core.fleet import Fleet
from arriero.core.instance import Instance
from arriero.core.policies.predict import Lengths
from arriero.core.remembered import Served, Sizes
from arriero.core.request import Unit
from arriero.inputs.plain import open_plain

VERSION = 1
"""Of the file; another one is as good as no file."""

SLOTS_MOST, SECONDS_MOST, COUNT_MOST, LOG_MOST = 65_536, 3600.0, 10**12, 50.0
"""What nothing that was ever learned goes beyond; 50 is the logarithm of any length."""

SERVED_MOST, SIZES_MOST = 2000, 64
"""Units on instances and units that are kept; those not used for longest go first."""


class _File(msgspec.Struct):
    version: int = VERSION
    served: list[tuple[str, Served]] = []
    sizes: list[Sizes] = []


TRIES, TRY_AGAIN_S = 4, 0.02
"""Another batch writes its file in less than a millisecond; one that is held does not hold this one."""


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
        served: dict[str, list[Served]] = {}
        for url, known in self._read().served:
            served.setdefault(url, []).append(known)
        return [tuple(served.get(instance.url, ())) for instance in instances]

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
            file = _decode(_bytes(self.path)) if self.path is not None else _File()
        except (OSError, ValueError, RecursionError):
            return _File()
        if file.version != VERSION:
            return _File()
        sizes = [known for known in file.sizes if _sane_sizes(known)]
        return _File(served=[(url, served) for url, served in file.served if _sane(served)], sizes=sizes)


def _bytes(path: Path) -> bytes:
    with os.fdopen(open_plain(path), "rb") as file:
        return file.read()


def _sane(served: Served) -> bool:
    """Whether figures can be those of a server: whoever edits the file must not be able to break a batch."""
    return (
        1 <= served.slots <= SLOTS_MOST
        and 0.0 <= served.token_s <= SECONDS_MOST
        and 0.0 <= served.load_s <= SECONDS_MOST
    )


def _sane_sizes(sizes: Sizes) -> bool:
    tallies = [tally for _, level in sizes.levels for tally in (level.counts, level.shares)]
    tokens = sizes.tokens
    return all(
        0 <= tally.count <= COUNT_MOST and abs(tally.mean) <= LOG_MOST and 0.0 <= tally.squares <= COUNT_MOST * LOG_MOST
        for tally in tallies
    ) and (
        tokens is None
        or (
            0.1 <= tokens.chars_per_token <= 100.0  # noqa: PLR2004 - far beyond what PromptTokens ever learns
            and 0.0 <= tokens.overhead_tokens <= SECONDS_MOST
            and 0 < tokens.count <= COUNT_MOST
            and all(isfinite(value) for value in (tokens.chars, tokens.tokens, tokens.chars2, tokens.product))
            and tokens.chars > 0.0
            and tokens.tokens > 0.0
            and tokens.chars2 >= 0.0
        )
    )


def _write(path: Path, file: _File) -> bool:
    partial = path.with_name(f"{path.name}.partial")
    try:
        make_private(path.parent)
        with os.fdopen(_own(partial), "wb") as out:
            out.truncate()  # what a process wrote that was killed before it was whole
            out.write(msgspec.json.encode(file))
            out.flush()
            partial.replace(path)
    except OSError:
        return False
    return True


def _own(partial: Path) -> int:
    """The partial file under a lock that dies with its owner; one name for all, so that kills leave one file at most.

    Raises:
        OSError: If it cannot be made, or another batch writes it and does not end.
    """
    for _ in range(TRIES):
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        with ExitStack() as unless_ours:
            unless_ours.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), partial.lstat()):
                    unless_ours.pop_all()
                    return descriptor
            except (BlockingIOError, FileNotFoundError):  # another writes it, or has just given it its name
                time.sleep(TRY_AGAIN_S)
    raise BlockingIOError(errno.EAGAIN, "another batch writes it")
