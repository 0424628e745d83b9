import msgspec
import pytest

from arriero.core.batch import BatchStatus, Counts
from arriero.core.events import (
    Aborted,
    AttemptBegan,
    AttemptEnded,
    AttemptFailed,
    AttemptStarted,
    Drained,
    FleetChanged,
    InputEnded,
    Noted,
    Paused,
    Unpaused,
)
from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.request import Attempt, Content, Request, Result, Timeouts, Unit
from arriero.monitor.monitor import Monitor
from arriero.monitor.tally import InstanceView

UNIT = Unit("mistral:7b", (("num_ctx", 8192),))
SUCCESS = Success(
    text="yes",
    finish_reason="stop",
    usage=Usage(prompt_tokens=10, output_tokens=20),
    timing=Timing(latency_s=2.0, load_s=0.0, prefill_s=0.1, decode_s=1.0, total_s=1.6),
)
TIMED_OUT = Failure(kind=FailureKind.TIMEOUT)


def fleet(in_flight=0, slots=None):
    return lambda: [InstanceView("gpu-01", "http://10.0.0.11:11434", "ok", UNIT, in_flight, 4, slots)]


def request(position):
    return Request(
        batch=1, position=position, line=position + 1, id=str(position + 1), content=Content(prompt="q"), unit=UNIT
    )


def attempt(position, *, purpose="request", hedge=False, number=1):
    wanted = request(position) if purpose == "request" else None
    return Attempt(
        id=position * 10 + number,
        instance="gpu-01",
        purpose=purpose,
        unit=UNIT,
        request=wanted,
        number=number,
        timeouts=Timeouts(1, 1, 1),
        hedge=hedge,
    )


def result(position, outcome=SUCCESS, at=1.0):
    return Result(request=request(position), outcome=outcome, instance="gpu-01", attempts=1, ended_at=at)


def started(monitor, position, at=0.0, **more):
    monitor.observe(AttemptStarted(attempt(position, **more), at), at)


def test_a_request_is_counted_as_finished_by_its_commit_and_by_nothing_else():
    monitor = Monitor(fleet())
    monitor.counted(1)
    started(monitor, 0)
    monitor.observe(AttemptBegan(1, 0.5), 0.5)
    monitor.observe(AttemptEnded(1, 1.0, SUCCESS), 1.0)
    before = monitor.snapshot(1.0)
    monitor.committed([result(0)])
    after = monitor.snapshot(1.0)

    assert (before.counts.succeeded, before.attempts, before.usage.output_tokens) == (0, {}, 0)
    assert (after.counts.succeeded, after.attempts, after.usage.output_tokens) == (1, {"success": 1}, 20)


def test_the_counts_always_add_up_to_the_total():
    monitor = Monitor(fleet())
    monitor.counted(10)
    for position in range(3):
        started(monitor, position)
    monitor.observe(AttemptEnded(1, 1.0, SUCCESS), 1.0)
    monitor.committed([result(0), result(7, TIMED_OUT)])
    counts = monitor.snapshot(2.0).counts

    assert (counts.succeeded, counts.failed, counts.running, counts.waiting) == (1, 1, 2, 6)
    assert counts.total == 10


def test_a_probe_or_a_hedge_is_no_running_request():
    monitor = Monitor(fleet())
    monitor.counted(1)
    started(monitor, 0)
    started(monitor, 0, hedge=True, number=2)
    started(monitor, 5, purpose="probe")

    assert monitor.snapshot(0.0).counts.running == 1


def test_failed_attempts_are_counted_by_kind_and_failed_requests_apart_from_them():
    monitor = Monitor(fleet())
    for number in (1, 2):
        monitor.observe(
            AttemptFailed(attempt(0, number=number), FailureKind.TIMEOUT, "x", charged=True, retry_in_s=1.0, at=1.0),
            1.0,
        )
    monitor.committed([result(0, TIMED_OUT)])
    snapshot = monitor.snapshot(2.0)

    assert snapshot.attempts == {"timeout": 2}
    assert snapshot.failures == {"timeout": 1}
    assert snapshot.instances[0].failed == 2


def test_the_eta_is_what_is_left_over_the_recent_rate():
    monitor = Monitor(fleet())
    monitor.counted(100)
    started(monitor, 0, at=100.0)
    for second in range(20):
        monitor.committed([result(second)], now=100.0 + second)
    snapshot = monitor.snapshot(119.5)

    assert snapshot.rate_per_s == pytest.approx(20 / 19.5, abs=0.001)
    assert snapshot.output_tokens_per_s == pytest.approx(400 / 19.5, abs=0.001)
    assert snapshot.eta_s == pytest.approx(80 / (20 / 19.5), abs=0.1)


def test_a_slow_fleet_is_told_by_the_mean_of_the_whole_and_not_by_an_empty_window():
    monitor = Monitor(fleet())
    monitor.counted(10)
    started(monitor, 0, at=0.0)
    for position in range(5):
        monitor.committed([result(position)], now=60.0 * (position + 1))
    snapshot = monitor.snapshot(400.0)

    assert snapshot.rate_per_s == pytest.approx(5 / 400, abs=0.001)
    assert snapshot.eta_s == pytest.approx(400)


def test_the_end_tells_the_rate_and_the_makespan_of_the_whole():
    monitor = Monitor(fleet())
    started(monitor, 0, at=10.0)
    for position in range(40):
        monitor.committed([result(position)], now=10.0 + (position + 1) / 2)
    monitor.ended(BatchStatus.FINISHED)
    snapshot = monitor.snapshot(500.0)

    assert (snapshot.state, snapshot.makespan_s, snapshot.rate_per_s) == ("finished", 20.0, 2.0)
    assert snapshot.eta_s is None


def test_a_resumed_batch_counts_what_was_done_before_and_takes_its_rate_from_now():
    monitor = Monitor(fleet(), restored=Counts(total=100, succeeded=70, failed=2), failures={"timeout": 2})
    started(monitor, 72, at=0.0)
    for second in range(20):
        monitor.committed([result(72 + second)], now=float(second))
    snapshot = monitor.snapshot(19.5)

    assert (snapshot.counts.succeeded, snapshot.counts.failed, snapshot.restored) == (90, 2, 72)
    assert snapshot.failures == {"timeout": 2}
    assert snapshot.eta_s == pytest.approx(8 / (20 / 19.5), abs=0.1)


def test_an_instance_is_shown_with_what_it_did():
    monitor = Monitor(fleet(in_flight=3, slots=4))
    started(monitor, 0, at=0.0)
    monitor.committed([result(i) for i in range(30)], now=9.0)
    shown = monitor.snapshot(10.0).instances[0]

    assert (shown.name, shown.unit, shown.in_flight, shown.limit, shown.slots) == (
        "gpu-01",
        "mistral:7b num_ctx=8192",
        3,
        4,
        4,
    )
    assert (shown.succeeded, shown.rate_per_s, shown.output_tokens_per_s) == (30, 3.0, 60.0)
    assert shown.p50_s == pytest.approx(2.0, rel=0.026)
    assert shown.queue_s == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "running"),
        ([Paused()], "paused"),
        ([Paused(), Unpaused()], "running"),
        ([Paused(by="sink")], "running"),
        ([Paused(), Unpaused(by="sink")], "paused"),
        ([FleetChanged(usable=False, at=1.0)], "unreachable"),
        ([FleetChanged(usable=False, at=1.0), FleetChanged(usable=True, at=2.0)], "running"),
        ([FleetChanged(usable=False, at=1.0), Drained()], "draining"),
        ([Paused(), Drained()], "draining"),
        ([Drained(), Aborted()], "aborting"),
    ],
)
def test_the_state_is_the_word_that_matters_most(events, state):
    monitor = Monitor(fleet())
    for event in events:
        monitor.observe(event, 1.0)

    assert monitor.snapshot(2.0).state == state


def test_an_answer_without_a_word_is_a_success_that_is_told():
    monitor = Monitor(fleet())
    empty = msgspec.structs.replace(SUCCESS, text="")
    vectors = msgspec.structs.replace(empty, embeddings=msgspec.Raw(b"[[1]]"))
    monitor.committed(
        [
            Result(request=request(position), outcome=outcome, instance="gpu-01", attempt=1, attempts=1)
            for position, outcome in enumerate((SUCCESS, empty, vectors, empty))
        ]
    )
    (note,) = monitor.snapshot(1.0).notes

    assert (note.code, note.instances, note.count) == ("empty_answer", ("gpu-01",), 2)
    assert monitor.snapshot(1.0).counts.succeeded == 4


def test_notes_are_told_once_with_all_whom_they_are_about():
    monitor = Monitor(fleet())
    for name in ("a", "b", "a"):
        monitor.observe(Noted("context_unknown", name), 1.0)
    monitor.committed([], dropped=2)
    notes = monitor.snapshot(1.0).notes

    assert [(note.code, note.instances, note.count) for note in notes] == [
        ("context_unknown", ("a", "b"), 3),
        ("late", (), 2),
    ]


def test_results_that_were_never_sent_are_counted():
    monitor = Monitor(fleet())
    unsent = Result(request=request(0), outcome=Failure(kind=FailureKind.REJECTED))
    monitor.committed([unsent])

    assert monitor.snapshot(50.0).counts.failed == 1


def test_the_end_of_the_input_gives_the_total():
    monitor = Monitor(fleet())
    assert monitor.snapshot(0.0).counts.total is None
    monitor.observe(InputEnded(1, 42), 1.0)

    assert monitor.snapshot(1.0).counts.total == 42


def test_the_json_of_a_snapshot_begins_as_status_json_is_promised():
    monitor = Monitor(fleet())
    monitor.observe(AttemptFailed(attempt(0), FailureKind.OVERLOADED, "", charged=False, retry_in_s=1.0, at=1.0), 1.0)
    monitor.committed([result(0)])
    told = msgspec.json.decode(msgspec.json.encode(monitor.snapshot(1.0)))

    assert list(told)[:8] == [
        "state",
        "counts",
        "attempts",
        "rate_per_s",
        "output_tokens_per_s",
        "eta_s",
        "instances",
        "gpus",
    ]
    assert list(told["counts"]) == ["total", "succeeded", "failed", "running", "waiting"]
    assert told["attempts"] == {"overloaded": 1, "success": 1}
    assert list(told["instances"][0]) == [
        "name",
        "url",
        "state",
        "unit",
        "in_flight",
        "limit",
        "slots",
        "slots_tested",
        "rate_per_s",
        "output_tokens_per_s",
        "p50_s",
        "p95_s",
        "succeeded",
        "failed",
        "queue_s",
    ]


def test_the_mean_of_a_resumed_batch_leaves_out_what_was_done_before():
    monitor = Monitor(fleet(), restored=Counts(total=100, succeeded=70, failed=2))
    started(monitor, 72, at=0.0)
    monitor.committed([result(72), result(73)], now=10.0)

    assert monitor.snapshot(20.0).rate_per_s == 0.1
