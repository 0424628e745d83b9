"""Batch: what it is, its status words and transitions."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from arriero.core.request import BatchId


class BatchStatus(StrEnum):
    """Status words of a batch."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"  # drained, aborted or out of budget; resumable
    CANCELLED = "cancelled"


TRANSITIONS: dict[BatchStatus, tuple[BatchStatus, ...]] = {
    BatchStatus.RUNNING: (BatchStatus.FINISHED, BatchStatus.STOPPED, BatchStatus.CANCELLED),
    BatchStatus.STOPPED: (BatchStatus.RUNNING, BatchStatus.CANCELLED),
    BatchStatus.FINISHED: (BatchStatus.RUNNING,),  # a new round, or rows appended to the input
    BatchStatus.CANCELLED: (),
}


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """All requests of one input, with one output.

    Attributes:
        id: Key; 1 for a batch of the command line.
        priority: Strict class: a higher one is served first.
        weight: Share inside its class.
        window_requests: Waiting requests held in memory at most.
        window_bytes: Bytes of their bodies at most.
        retries: Attempts after the first that a request may use.
        max_wait_s: How long it waits while no instance is usable, or a server says it is overloaded.
    """

    id: BatchId
    priority: int = 0
    weight: float = 1.0
    window_requests: int = 4096
    window_bytes: int = 16 * 1024 * 1024
    retries: int = 4
    max_wait_s: float = 3600.0


class Counts(msgspec.Struct, kw_only=True):
    """Requests of a batch by state; what every surface shows."""

    total: int | None = None
    succeeded: int = 0
    failed: int = 0
    running: int = 0
    waiting: int = 0

    @property
    def finished(self) -> int:
        """Requests that have ended."""
        return self.succeeded + self.failed
