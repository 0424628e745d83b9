"""Workers as the coordinator sees them: who belongs to the fleet, and when one is done without."""

from __future__ import annotations

from msgspec import structs

from arriero.core.events import AttemptBegan, AttemptEnded, InstanceJoined, InstanceLeft, LimitSet
from arriero.core.instance import Instance
from arriero.core.outcome import Failure, Success, Timing, Usage
from arriero.core.request import Attempt, Timeouts
from arriero.engines.celery.messages import Announcement, Frame, Told
from arriero.engines.celery.peers import LOST_S, Peers

TOLD = Announcement(worker="left", epoch="1", queue="w", instances=(Instance(name="a", url="http://127.0.0.1:1"),))
GOOD = Success(text="The Ebro.", finish_reason="stop", usage=Usage(), timing=Timing(0.5))


def attempt(number: int = 1, instance: str = "left/a") -> Attempt:
    return Attempt(id=number, instance=instance, timeouts=Timeouts(1.0, 1.0, 1.0))


class Workers:
    """Peers, and what they were told and said."""

    def __init__(self) -> None:
        self.peers = Peers("batch", 1, "run", "c")
        self.now = 100.0

    def sent(self) -> list[Frame]:
        self.peers.gather()
        out, self.peers.out = self.peers.out, []
        return [frame for _, frame in out]

    def told(self) -> list[object]:
        events, self.peers.events = self.peers.events, []
        return events

    def joined(self, told: Announcement = TOLD) -> str:
        """A worker that answers; its session."""
        self.peers.announced(told, self.now)
        (attach,) = self.sent()
        assert attach.kind == "attach"
        self.heard(Frame(kind="hello", session=attach.session))
        return attach.session

    def heard(self, frame: Frame, **fields: object) -> None:
        self.peers.heard(structs.replace(frame, worker="left", **fields), self.now)


def test_a_worker_that_answers_brings_its_instances_under_names_of_its_own() -> None:
    workers = Workers()
    workers.joined()

    (event,) = workers.told()
    assert event == InstanceJoined(Instance(name="left/a", url="http://127.0.0.1:1", via="left"))
    assert workers.peers.start(attempt())
    assert not workers.peers.start(attempt(2, "left/b"))
    assert not workers.peers.start(attempt(3, "right/a"))
    (work,) = workers.sent()
    assert [(one.id, one.instance) for one in work.start] == [(1, "a")]


def test_what_happened_there_is_told_once_at_our_time_and_in_order() -> None:
    workers = Workers()
    session = workers.joined()
    workers.peers.start(attempt())
    workers.told()
    frame = Frame(kind="outcomes", session=session, seq=1, told=(Told(1, 0.0, success=GOOD), Told(1, 0.3)))
    workers.heard(frame)
    workers.heard(frame)

    assert workers.told() == [AttemptBegan(1, 99.7), AttemptEnded(1, 100.0, GOOD)]
    assert workers.peers.dropped == 1


def test_a_silent_worker_is_lost_but_not_while_the_broker_is_away() -> None:
    workers = Workers()
    workers.joined()
    workers.peers.start(attempt())
    workers.told()
    for _ in range(30):
        workers.peers.beat(workers.now, 0.0)
    assert workers.told() == []
    for _ in range(int(LOST_S) + 1):
        workers.peers.beat(workers.now, 1.0)

    left, ended = workers.told()
    assert left == InstanceLeft("left/a")
    assert isinstance(ended, AttemptEnded)
    assert isinstance(ended.outcome, Failure)
    assert ended.outcome.kind == "lost"


def test_what_a_lost_worker_says_late_is_dropped_and_it_comes_back_in_a_new_session() -> None:
    workers = Workers()
    session = workers.joined()
    workers.peers.start(attempt())
    for _ in range(int(LOST_S) + 1):
        workers.peers.beat(workers.now, 1.0)
    workers.told()
    workers.heard(Frame(kind="outcomes", session=session, seq=1, told=(Told(1, 0.0, success=GOOD),)))
    assert workers.told() == []
    workers.sent()

    assert workers.joined() != session
    assert [type(event) for event in workers.told()] == [InstanceJoined]


def test_a_new_process_of_a_name_takes_over_at_once_and_the_older_one_is_set_aside_until_it_is_gone() -> None:
    workers = Workers()
    workers.joined()
    workers.peers.start(attempt())
    workers.told()
    session = workers.joined(structs.replace(TOLD, epoch="2"))
    assert [type(event) for event in workers.told()] == [InstanceLeft, AttemptEnded, InstanceJoined]

    workers.peers.announced(TOLD, workers.now)
    assert workers.sent() == []
    workers.heard(Frame(kind="tick", session=session), state="gone")
    workers.told()
    workers.joined(TOLD)
    assert [type(event) for event in workers.told()] == [InstanceJoined]


def test_a_worker_that_drains_is_given_nothing_more_and_may_end_what_it_has() -> None:
    workers = Workers()
    session = workers.joined()
    workers.peers.start(attempt())
    workers.told()
    workers.heard(Frame(kind="tick", session=session), state="draining")
    (limit,) = workers.told()
    workers.heard(Frame(kind="outcomes", session=session, seq=1, told=(Told(1, success=GOOD),)), state="draining")
    (ended,) = workers.told()
    workers.heard(Frame(kind="tick", session=session), state="gone")

    assert isinstance(limit, LimitSet)
    assert limit.limit.most == 0
    assert isinstance(ended, AttemptEnded)
    assert ended.outcome == GOOD
    assert workers.told() == [InstanceLeft("left/a")]


def test_a_worker_that_serves_another_batch_is_asked_and_waited_for() -> None:
    workers = Workers()
    workers.peers.announced(structs.replace(TOLD, batch="another"), workers.now)

    assert workers.peers.held == ["left"]
    assert not workers.peers.serving
