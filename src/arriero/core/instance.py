"""Instance: one inference server as its operator describes it, and how much it may be given."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

BackendName: TypeAlias = Literal["auto", "ollama", "openai"]
Kind: TypeAlias = Literal["auto", "server", "gateway"]


class InstanceLimit(msgspec.Struct, frozen=True, gc=False):
    """Bounds for the attempts in flight on one instance.

    Attributes:
        least: Never below.
        start: Where learning starts.
        most: Never above.

    ``limit = 4`` is ``InstanceLimit(4, 4, 4)``: nothing is learned; ``"2-8-64"`` is ``InstanceLimit(2, 8, 64)``.
    """

    least: int
    start: int
    most: int

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to learn."""
        return self.least == self.most


class Concurrency(msgspec.Struct, frozen=True, gc=False):
    """``-c``: how many attempts are in flight over the whole fleet.

    Attributes:
        total: Exactly this many in flight (``N``), or at most (``auto:N``); None for no bound.
        per_instance: ``Nx``: total is this times the instances in use; None otherwise.
        learned: Limits are learned an instance (``auto``, ``auto:N``); False: work is shared by speed.
    """

    total: int | None = None
    per_instance: int | None = None
    learned: bool = True


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One inference server at one base URL.

    Attributes:
        name: Unique in the fleet; what every surface shows.
        url: Base URL without credentials, for display and the state file.
        backend: The dialect; ``auto`` is settled by discovery.
        kind: ``gateway`` hides several servers; ``auto`` is settled by discovery.
        limit: The operator's bounds; None: the policy's own.
        stream: Whether answers are streamed there (Ollama only may say no).
        endpoint: The only path it serves for generations; ``""``: as the content says.
        via: Name of the worker that holds it; ``""``: reached from here.
    """

    name: str
    url: str
    backend: BackendName = "auto"
    kind: Kind = "auto"
    limit: InstanceLimit | None = None
    stream: bool = True
    endpoint: str = ""
    via: str = ""
