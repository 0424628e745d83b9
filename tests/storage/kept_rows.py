"""A batch written by the real journal, and beside it what the journal must hold after each of its transactions."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from power import Disk

from arriero.core.batch import BatchStatus
from arriero.core.events import AttemptFailed, AttemptRefunded, Notice
from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.request import Attempt, Content, Request, Result, Timeouts, Unit
from arriero.journal.check import check
from arriero.journal.journal import Journal
from arriero.journal.reader import JournalReader
from arriero.journal.rounds import retry

NAME = "results.json.journal"
UNIT = Unit("m")
BINDING = {"model": "m", "input": "prompts.txt"}
LARGE_CHARS = 40_000
"""A few groups of such answers make SQLite check the WAL into the file in the middle of a session."""

PATIENCE_S = 30.0


@dataclass(frozen=True)
class State:
    """What a journal holds after one transaction.

    Attributes:
        round: The round.
        ended: Position to the round and a short hash of the answer; ``-`` for a failure.
        earlier: Failed ends of earlier rounds, position and round.
        used: Charged attempts of the round by position, of rows that have not ended.
    """

    round: int = 0
    ended: dict[int, tuple[int, str]] = field(default_factory=dict)
    earlier: frozenset[tuple[int, int]] = frozenset()
    used: dict[int, int] = field(default_factory=dict)


def stored(path: Path) -> State:
    """What a reader finds in a journal; what it finds broken fails the test."""
    with JournalReader(path) as reader:
        assert [one for one in check(reader) if not one.ok] == []
        row = reader.batch()
        ended = {one.position: (one.round, "-" if one.text is None else short(one.text)) for one in reader.results()}
        counted = (row.succeeded, row.failed)
        failed = sum(answer == "-" for _, answer in ended.values())
        assert counted == (len(ended) - failed, failed)
        return State(row.round, ended, frozenset((one.position, one.round) for one in reader.history()))


class Ledger:
    """Writes on, as chance wants it, and marks on the disk's history what was asked for and what was told.

    Marks are ``("began", n)`` before the transaction that makes state ``n`` of ``states`` and ``("told", n)`` after.
    """

    def __init__(self, folder: Path, disk: Disk, begins_with: State, seed: str) -> None:
        self.path = folder / NAME
        self.states = [begins_with]
        self._disk = disk
        self._chance = Random(seed)
        self._seed = seed

    def write(self) -> None:
        """Two sessions with a retry between them, each some groups long."""
        for number in range(2):
            self.session(number)
            if self._chance.random() < 0.7:
                self.retry()

    def session(self, number: int, groups: int = 0) -> None:
        """Open, some groups, close; the session's name is a function of the seed, as all else."""
        chance, name = self._chance, hashlib.blake2b(f"{self._seed}-{number}".encode(), digest_size=6).hexdigest()
        journal = Journal.open(self.path, binding=BINDING, command="c", settings=b"{}", session=name)
        assert_opened(journal, self.states[-1])
        large = not groups and chance.random() < 0.3
        Groups(self, journal, chance, groups or chance.randint(2, 9), large=large).run()
        journal.finish(BatchStatus.STOPPED)
        journal.close()

    def began(self, state: State) -> int:
        self.states.append(state)
        self._disk.mark(("began", len(self.states) - 1))
        return len(self.states) - 1

    def told(self, number: int) -> None:
        self._disk.mark(("told", number))

    def retry(self) -> None:
        """Open a round, if anything failed."""
        last = self.states[-1]
        moved = {position for position, (_, answer) in last.ended.items() if answer == "-"}
        if not moved:
            return
        after = State(
            round=last.round + 1,
            ended={position: end for position, end in last.ended.items() if position not in moved},
            earlier=last.earlier | {(position, last.ended[position][0]) for position in moved},
        )
        number = self.began(after)
        assert retry(self.path) == len(moved)
        self.told(number)


class Groups:
    """The groups of one session, each handed over when the one before was told: so a seed gives the same writes again."""

    def __init__(self, ledger: Ledger, journal: Journal, chance: Random, count: int, *, large: bool) -> None:
        self._ledger = ledger
        self._journal = journal
        self._chance = chance
        self._left = count
        self._large = large
        self._attempt = 0
        self._charged: list[Attempt] = []
        self._under_way = 0
        self._ended = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        self._journal.on_commit = self._told
        self._journal.on_failure = lambda _: self._ended.set()
        self._next()
        assert self._ended.wait(PATIENCE_S), "the journal tells nothing"
        if self._error is not None:
            raise self._error

    def _told(self, kept: Sequence[Result], dropped: int) -> None:
        try:
            self._ledger.told(self._under_way)
            self._left -= 1
            if self._left:
                self._journal.publish(b'{"moment": %d}' % self._left)
                self._next()
                return
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            self._error = error
        self._ended.set()

    def _next(self) -> None:
        chance, last = self._chance, self._ledger.states[-1]
        open_rows = [position for position in range(400) if position not in last.ended]
        rows = chance.sample(open_rows, min(len(open_rows), chance.choice((1, 1, 3, 8, 60))))
        ended, used = dict(last.ended), dict(last.used)
        results = [self._result(position, last.round) for position in rows]
        for result in results:
            text = result.outcome.text if isinstance(result.outcome, Success) else None
            ended[result.request.position] = (last.round, "-" if text is None else short(text))
        notices = self._notices(open_rows, last.round, used)
        used = {position: count for position, count in used.items() if position not in ended and count}
        self._under_way = self._ledger.began(replace(last, ended=ended, used=used))
        self._journal.record(results, notices)
        if not results:  # nothing would be told of it
            self._told((), 0)

    def _result(self, position: int, round_: int) -> Result:
        asked, chance = request(position, round_), self._chance
        self._attempt += 1
        if chance.random() < 0.2:
            return Result(request=asked, outcome=Failure(kind=FailureKind.REJECTED), attempts=1)
        size = chance.randint(0, LARGE_CHARS if self._large else 900)
        text = f"{position} {round_} {self._journal.session} " + chr(97 + position % 26) * size
        success = Success(text=text, finish_reason="stop", usage=Usage(1, 2), timing=Timing(1.0))
        return Result(request=asked, outcome=success, instance="one", attempt=self._attempt, attempts=1)

    def _notices(self, open_rows: Sequence[int], round_: int, used: dict[int, int]) -> list[Notice]:
        chance, notices = self._chance, list[Notice]()
        for position in chance.sample(open_rows, min(len(open_rows), chance.randint(0, 6))):
            self._attempt += 1
            asked = request(position, round_)
            made = Attempt(
                id=self._attempt, instance="one", request=asked, unit=UNIT, timeouts=Timeouts(1, 1, 1), number=1
            )
            failed = AttemptFailed(
                attempt=made, kind=FailureKind.TIMEOUT, detail="", charged=True, retry_in_s=1.0, at=0.0
            )
            notices.append(failed)
            self._charged.append(made)
            used[position] = used.get(position, 0) + 1
        while self._charged and chance.random() < 0.3:
            made = self._charged.pop(chance.randrange(len(self._charged)))
            notices.append(AttemptRefunded(attempt=made, at=0.0))
            assert made.request is not None
            if made.request.position in used:
                used[made.request.position] -= 1
        return notices


def request(position: int, round_: int) -> Request:
    return Request(
        batch=1,
        position=position,
        line=position + 1,
        id=str(position),
        content=Content(),
        unit=UNIT,
        row_hash=hashlib.blake2b(str(position).encode(), digest_size=16).digest(),
        round=round_,
    )


def short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def assert_opened(journal: Journal, state: State) -> None:
    """An opened journal knows exactly what a state holds."""
    assert journal.round == state.round
    assert [position for position in range(500) if position in journal.done] == sorted(state.ended)
    assert len(journal.done) == len(state.ended)
    assert journal.done.failed == sum(answer == "-" for _, answer in state.ended.values())
    assert dict(journal.attempts_used) == state.used
