"""The journal's calls in any order, against a dict."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from journal_rows import Ear, answered, attempt_failed, failed, opened, row_hash
from msgspec.structs import replace

from arriero.core.outcome import FailureKind
from arriero.journal.check import check
from arriero.journal.reader import JournalReader
from arriero.journal.rounds import retry

POSITIONS = st.integers(0, 12)
KINDS = st.sampled_from([FailureKind.TIMEOUT, FailureKind.REJECTED])


class JournalMachine(RuleBasedStateMachine):
    """The model: position to (round, failure kind or None), the history, and charged attempts by (round, position)."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "j"
        self.ended, self.history, self.charged = {}, [], {}
        self.round = 0
        self.attempts = 0
        self.dropped = 0
        self._open()

    def _open(self):
        self.journal = opened(self.path, settings=b'{"retries":99}')
        self.ear = Ear(self.journal)
        self.told = 0

    def _attempt(self):
        """No attempt has the id of another."""
        self.attempts += 1
        return self.attempts

    def _end(self, position, result, kind):
        self.journal.record([replace(result, attempt=self._attempt())], [])
        if position in self.ended:
            self.dropped += 1
        else:
            self.ended[position] = (self.round, kind)
            self.told += 1
        self.ear.wait(self.told)

    @rule(position=POSITIONS)
    def succeed(self, position):
        self._end(position, answered(position, round_=self.round), None)

    @rule(position=POSITIONS, kind=KINDS)
    def fail(self, position, kind):
        self._end(position, failed(position, kind, round_=self.round), kind)

    @rule(position=POSITIONS, charged=st.booleans())
    def fail_an_attempt(self, position, charged):
        made = attempt_failed(position, charged=charged, round_=self.round)
        made = replace(made, attempt=replace(made.attempt, id=self._attempt()))
        self.journal.record([], [made])
        if charged:
            self.charged[self.round, position] = self.charged.get((self.round, position), 0) + 1

    @rule()
    def resume(self):
        self.journal.close()
        self._open()
        used = {p: n for (r, p), n in self.charged.items() if r == self.round and p not in self.ended}
        assert self.journal.attempts_used == used

    @rule(kinds=st.none() | st.sets(KINDS, min_size=1))
    def open_a_round(self, kinds):
        self.journal.close()
        moved = {p: e for p, e in self.ended.items() if e[1] is not None and (kinds is None or e[1] in kinds)}
        assert retry(self.path, kinds) == len(moved)
        if moved:
            self.history += [(r, p, kind) for p, (r, kind) in moved.items()]
            self.ended = {p: e for p, e in self.ended.items() if p not in moved}
            self.round += 1
        self._open()

    @invariant()
    def the_file_and_the_bitmap_say_what_the_model_says(self):
        assert self.journal.round == self.round
        with JournalReader(self.path) as reader:
            assert {r.position: (r.round, r.kind) for r in reader.results()} == self.ended
            assert [(r.round, r.position, r.kind) for r in reader.history()] == sorted(self.history)
            assert list(reader.hashes()) == [(p, row_hash(p), self.ended[p][1] is not None) for p in sorted(self.ended)]
            counts = reader.counts()
        assert counts.failed == sum(kind is not None for _, kind in self.ended.values())
        assert counts.finished == len(self.ended)

    def teardown(self):
        self.journal.close()
        with JournalReader(self.path) as reader:
            assert [one for one in check(reader) if not one.ok] == []
        assert {p for p in range(20) if p in self.journal.done} == set(self.ended)
        shutil.rmtree(self.folder)


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
