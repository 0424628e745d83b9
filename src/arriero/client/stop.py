"""Stop: why a batch ends before its time, and with which exit code."""

from __future__ import annotations

from arriero.client.batch import BATCH, BatchFiles
from arriero.client.control import Control
from arriero.client.summary import EXIT_BUDGET, EXIT_INTERRUPTED, EXIT_NO_INSTANCE, EXIT_OK, EXIT_SOME_FAILED
from arriero.config.settings import Settings
from arriero.core.events import Aborted, Drained
from arriero.core.scheduler import Scheduler
from arriero.errors import ArrieroError, StorageError
from arriero.inputs.feed import Feed
from arriero.monitor.words import duration_words

DISK_LEAST_BYTES = 64 * 1024 * 1024
"""Below this nothing new is sent: what is in flight must still find room."""

DISK_LOOK_S = 1.0

BUDGET_ROWS_LEAST = 100
"""A share of failures among fewer finished requests says little, unless the total is known."""


class Stop:
    """Watches everything that can end a batch early.

    Attributes:
        error: What must be raised once nothing runs any more; None if nothing.
        exit_code: The code if nothing is raised.
        reason: In words; ``""`` if it ends by itself.
    """

    def __init__(
        self, settings: Settings, scheduler: Scheduler, files: BatchFiles, feed: Feed, control: Control
    ) -> None:
        self.error: ArrieroError | None = None
        self.exit_code = EXIT_OK
        self.reason = ""
        self._settings = settings
        self._scheduler = scheduler
        self._files = files
        self._feed = feed
        self._control = control
        self._look_at = 0.0

    def wanted(self, now: float) -> Drained | Aborted | None:
        """What to tell the scheduler now; None while the batch may go on."""
        self.error = self._files.journal.failed or self._feed.error or self._disk(now)
        if self.error is not None:
            return Aborted() if self._files.journal.failed else Drained()
        if self._scheduler.stop_reason:
            self.exit_code, self.reason = EXIT_NO_INSTANCE, self._outage()
            return Drained()
        if self._over_budget():
            self.exit_code, self.reason = EXIT_BUDGET, "more requests failed than --max-errors allows"
            return Drained()
        return None

    def code(self, *, unread: bool) -> int:
        """The exit code of a batch that raised nothing.

        Args:
            unread: A signal came while nobody read standard output.
        """
        if self.exit_code != EXIT_OK:
            return self.exit_code
        if unread or (self._control.interrupted and not self._files.all_ended):
            return EXIT_INTERRUPTED
        return EXIT_SOME_FAILED if self._files.journal.done.failed else EXIT_OK

    def _outage(self) -> str:
        if self._scheduler.stop_reason == "refused":
            return "every instance refuses us"
        return f"no instance was usable for {duration_words(self._settings.max_wait_s)} (--max-wait)"

    def _over_budget(self) -> bool:
        budget = self._settings.max_errors
        account = self._scheduler.books[BATCH]
        failed = account.failed  # of this run: whoever goes on after a stop grants the budget anew
        if budget is None or not failed:
            return False
        if budget.count is not None:
            return failed > budget.count
        finished = failed + account.succeeded
        share = budget.fraction or 0.0
        total = self._files.scan.total
        return (finished >= BUDGET_ROWS_LEAST and failed > share * finished) or (
            total is not None and failed > share * total
        )

    def _disk(self, now: float) -> StorageError | None:
        if now < self._look_at:
            return None
        self._look_at = now + DISK_LOOK_S
        free = self._files.journal.free_bytes()
        if free >= DISK_LEAST_BYTES:
            return None
        return StorageError(
            f"only {free // 1024 // 1024} MB are free on the disk of {self._files.journal.path}",
            hint="free some space, then run the same command again: everything finished is kept",
        )
