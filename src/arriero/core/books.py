"""Books: for each batch what was accepted, what is open, what has ended."""

from __future__ import annotations

from collections.abc import Iterator

from arriero.core.batch import Batch, Counts
from arriero.core.request import BatchId, Result


class Account:
    """One batch's books.

    Attributes:
        batch: The batch.
        added: Requests handed in.
        succeeded: Requests that ended with an answer.
        failed: Requests that ended without.
        running: Requests with an attempt in flight.
        total: Rows accepted in all; None until the input has ended.
        cancelled: It was cancelled.
    """

    __slots__ = ("added", "batch", "cancelled", "failed", "running", "succeeded", "total")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.added = 0
        self.succeeded = 0
        self.failed = 0
        self.running = 0
        self.total: int | None = None
        self.cancelled = False

    @property
    def open(self) -> int:
        """Requests handed in that have not ended."""
        return self.added - self.succeeded - self.failed

    @property
    def waiting(self) -> int:
        """Requests handed in that neither run nor have ended."""
        return self.open - self.running

    @property
    def finished(self) -> bool:
        """Whether all that will ever be handed in has ended; a cancelled batch takes nothing more."""
        return (self.total is not None or self.cancelled) and self.open == 0

    def counts(self) -> Counts:
        """For a surface; those of a resumed batch leave out what ended before."""
        return Counts(
            total=self.total, succeeded=self.succeeded, failed=self.failed, running=self.running, waiting=self.waiting
        )


class Books:
    """Owner of the accounts of all batches that somebody may still ask for."""

    def __init__(self) -> None:
        self._accounts: dict[BatchId, Account] = {}

    def __getitem__(self, batch: BatchId) -> Account:
        return self._accounts[batch]

    def __contains__(self, batch: object) -> bool:
        return batch in self._accounts

    def __len__(self) -> int:
        return len(self._accounts)

    def __iter__(self) -> Iterator[Account]:
        return iter(self._accounts.values())

    def open(self, batch: Batch) -> Account:
        """A batch begins."""
        account = self._accounts[batch.id] = Account(batch)
        return account

    def drop(self, batch: BatchId) -> None:
        """Nobody asks for a batch any more."""
        del self._accounts[batch]

    def ended(self, result: Result) -> Account:
        """A request ended."""
        account = self._accounts[result.request.batch]
        if result.succeeded:
            account.succeeded += 1
        else:
            account.failed += 1
        return account

    @property
    def max_wait_s(self) -> float:
        """The longest that any open batch waits for a usable instance."""
        return max((account.batch.max_wait_s for account in self if not account.finished), default=0.0)
