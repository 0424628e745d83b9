"""Carry: one batch carried out from its input to its output; everything is wired here."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from math import inf
from typing import TextIO

import msgspec

from arriero.client.batch import (
    BATCH,
    BatchFiles,
    claim_output,
    with_stored_models,
)
from arriero.client.control import Control
from arriero.client.instances import default_model, describe, require_model, require_usable, with_only_model
from arriero.client.loop import run
from arriero.client.memory import Memory
from arriero.client.output import write_output
from arriero.client.session import Session
from arriero.client.stop import Stop
from arriero.client.summary import Summary, summarize
from arriero.client.talk import Talk
from arriero.client.voice import Voice
from arriero.config.settings import InstanceConfig, Settings
from arriero.core.batch import Batch, BatchStatus
from arriero.core.events import AttemptEnded, BatchOpened, Event, InputReady, Notice
from arriero.core.outcome import Failure
from arriero.core.request import Result
from arriero.engines.function import Function
from arriero.errors import ConfigError
from arriero.local.server import LocalServer
from arriero.monitor.monitor import Monitor
from arriero.outputs.follow import Follow
from arriero.outputs.patient import UnreadError

DEMONSTRATION = "local      a 135M-parameter demonstration model: real mechanics, poor answers"

PUBLISH_S = 2.0
"""How often the numbers of the moment are kept for ``arriero status`` in another process."""


KEEP_S = 60.0
"""How often what was learned is kept for later batches, should this one be killed."""


def run_batch(
    settings: Settings,
    *,
    control: Control | None = None,
    stderr: TextIO | None = None,
    again: bool = False,
    function: Function | None = None,
) -> Summary:
    """Carry out a batch, or go on with it; blocks until it has ended or was stopped.

    Args:
        settings: Checked settings.
        control: How it can be asked to drain or abort.
        stderr: Where progress and notices go; None: nowhere.
        again: The rows of standard input (or of a list) are kept already: it is not read anew.
        function: Answers in the place of a server.

    Raises:
        ArrieroError: A mistake of the caller's, or the machine's storage failed; the exit code is in it.
    """
    control = control or Control()
    if settings.function and function is None:
        raise ConfigError(
            f"the batch is answered by the Python function {settings.function}, which only its program has",
            hint="call arriero.run with the same input, output and backend again",
        )
    with ExitStack() as stack:
        said = [f"{'aside':<11}{moved.old} is now {moved.new}" for moved in claim_output(settings)]
        settings = with_stored_models(settings)
        instances = settings.instances
        if settings.local:
            server = stack.enter_context(LocalServer())
            instances = (InstanceConfig(instance=server.instance()),)
        if not settings.models:
            settings = run(with_only_model(settings, instances), settings.engine)
        carry = Carry(settings, instances, control, stderr, again=again, function=function)
        stack.callback(carry.close)
        for line in said:
            carry.say(line)
        return carry.out()


class Carry:
    """One batch under way."""

    def __init__(
        self,
        settings: Settings,
        instances: tuple[InstanceConfig, ...],
        control: Control,
        stderr: TextIO | None,
        *,
        again: bool,
        function: Function | None = None,
    ) -> None:
        self.settings = settings
        self._control = control
        self._voice = Voice(stderr, settings.display)
        self._files = BatchFiles(settings, again=again, command=shlex.join(sys.argv), on_progress=self._progress)
        # The embedded server has another port each time, and nothing to learn of it is worth keeping.
        memory = None if settings.local else Memory.of(os.environ)
        with ExitStack() as unless_wired:
            unless_wired.callback(self.close)
            self._session = Session(settings, self._files.journal.session, instances, memory=memory, function=function)
            unless_wired.pop_all()
        self._feed = self._files.feed()
        self._stop = Stop(settings, self._session.scheduler, self._files, self._feed, control)
        self._publish_at = 0.0
        self._keep_at = inf
        self._follow: Follow | None = None
        self._full = False
        self._opened = False

    def say(self, line: str) -> None:
        """Say a line of talk."""
        self._voice.say(line)

    def out(self) -> Summary:
        """Carry the batch out.

        Raises:
            ArrieroError: See ``run_batch``.
        """
        files = self._files
        files.begin()
        counts, kinds = files.restored()
        monitor = self._monitor = Monitor(self._session.view, restored=counts, failures=kinds)
        self._voice.begin(files)
        if not files.all_ended:
            if self.settings.local:
                self.say(DEMONSTRATION)
            run(self._main(monitor), self.settings.engine)
        else:
            files.journal.note_total(files.scan.total or 0)
        return self._end(monitor)

    def close(self) -> None:
        """Leave nothing open, whatever happened."""
        self._voice.stop()
        try:
            self._files.withdraw()
        finally:
            self._files.release()

    async def _main(self, monitor: Monitor) -> None:
        files, session, settings = self._files, self._session, self.settings
        async with session:
            self._control.connect(session.engine.post)
            session.hear(monitor.observe)
            await session.discover(self)
            fleet = session.scheduler.fleet
            if not session.scheduler.draining:
                require_usable(fleet)
                if not settings.models and files.scan.models.get(""):
                    default_model(fleet)  # some rows name no model, and there is no single one
                for model in settings.models:
                    require_model(fleet, model)
            for line in describe(fleet, settings.options):
                self.say(line)
            session.hear(Talk(self.say, settings.max_wait_s).hear)
            self._follow = files.follow()
            files.journal.on_commit = self._committed
            self._voice.show(lambda: monitor.snapshot(session.engine.now()))
            batch = Batch(id=BATCH, retries=settings.retries, max_wait_s=settings.max_wait_s)
            session.tell(BatchOpened(batch))
            self._opened = True
            self._keep_at = session.engine.now() + KEEP_S
            session.hear(self._ended)
            await session.drive({BATCH: self._feed}, self, after_turn=self._after_turn)

    # A sink for ``drive``: the journal, which says when it is full and when it has room again.

    def record(self, results: Sequence[Result], notices: Sequence[Notice]) -> None:
        """Hand over to the journal."""
        self._files.journal.record(results, notices)

    def room(self) -> bool:
        """Whether the journal keeps up."""
        self._full = not self._files.journal.room()
        return not self._full

    def _committed(self, kept: Sequence[Result], dropped: int) -> None:
        """In the journal's thread: count, show and append only what is durable."""
        self._monitor.committed(kept, dropped)
        if self._follow is not None:
            self._follow.committed(kept)
        if self._full:
            self._progress()

    def _progress(self) -> None:
        """There may be more to do: wake the loop."""
        self._session.engine.post(InputReady(BATCH))

    def _after_turn(self) -> bool:
        """What is due between two turns; whether that was the last one."""
        scheduler = self._session.scheduler
        now = self._session.engine.now()
        if now >= self._publish_at:
            self._publish_at = now + PUBLISH_S
            self._publish(now)
        if now >= self._keep_at:
            self._keep_at = now + KEEP_S
            self._session.keep()
        self._stop_if_wanted(now)
        return scheduler.in_flight == 0 and (scheduler.draining or scheduler.finished(BATCH))

    def _ended(self, event: Event | Notice, now: float) -> None:
        """A failure may be one too many: that is to be known before the next plan, so that nothing starts after it."""
        if isinstance(event, AttemptEnded) and isinstance(event.outcome, Failure):
            self._stop_if_wanted(now)

    def _stop_if_wanted(self, now: float) -> None:
        stop = None if self._session.scheduler.draining else self._stop.wanted(now)
        if stop is not None:
            self._session.tell(stop)

    def _publish(self, now: float) -> None:
        """Tell other processes how it stands, and keep the total as soon as the scan knows it."""
        journal, total = self._files.journal, self._files.scan.total
        if total is not None and journal.total != total:
            journal.note_total(total)
            self._monitor.counted(total)
        journal.publish(msgspec.json.encode(self._monitor.snapshot(now)))

    def _end(self, monitor: Monitor) -> Summary:
        """Close the journal, write the output, and say how it went.

        Raises:
            ArrieroError: What stopped the batch; the output holds what has ended all the same.
        """
        files = self._files
        status = BatchStatus.FINISHED if self._all_decided() else BatchStatus.STOPPED
        self._voice.stop()
        monitor.ended(status)
        if files.journal.failed is None:
            self._publish(self._session.engine.now())
            files.journal.finish(status)
        # Only now are all results committed, so that ``status`` tells later what the summary tells here.
        files.close(lambda: msgspec.json.encode(monitor.snapshot(self._session.engine.now())))
        written, unread = self._written_or_unread()
        if self._stop.error is not None:
            raise self._stop.error
        return summarize(
            self.settings,
            monitor.snapshot(self._session.engine.now()),
            exit_code=self._stop.code(unread=unread),
            reason=self._stop.reason,
            written=written,
            unread=unread,
        )

    def _all_decided(self) -> bool:
        """Whether every row has ended; the last ones may still be on their way to the disk."""
        if self._files.all_ended:
            return True
        scheduler = self._session.scheduler
        return self._opened and scheduler.finished(BATCH) and scheduler.in_flight == 0

    def _written_or_unread(self) -> tuple[list[str], bool]:
        try:
            return self._write(complete=self._files.all_ended), False
        except UnreadError:  # the journal stays, and whoever goes on gets all of it
            return [], True

    def _write(self, *, complete: bool) -> list[str]:
        if self._follow is not None:
            return [str(self._follow.finish(complete=complete))]
        exported = write_output(
            self.settings, self._files.source, complete=complete, stopped=lambda: self._control.interrupted
        )
        if complete and self.settings.output == "-":
            self._files.remove()
        return [str(path) for path in exported.paths]
