from __future__ import annotations

from arriero.cli.status import status_lines
from arriero.core.batch import Counts
from arriero.monitor.snapshot import InstanceSnapshot, Snapshot


def test_a_snapshot_is_told_in_lines_with_a_table_of_its_instances():
    snapshot = Snapshot(
        state="running",
        counts=Counts(total=12_400, succeeded=3_000, failed=120, running=30, waiting=9_250),
        attempts={"success": 3_000, "timeout": 7},
        rate_per_s=41.83,
        output_tokens_per_s=2_470.4,
        eta_s=7_380.0,
        instances=(
            InstanceSnapshot(
                name="gpu-01", state="ok", unit="m num_ctx=8192", in_flight=6, limit=6, p50_s=3.84, p95_s=65.0
            ),
            InstanceSnapshot(name="gpu-2", state="ejected"),
        ),
    )

    assert status_lines(snapshot) == [
        "running    3,120 of 12,400 finished   3,000 succeeded   120 failed   30 running   9,250 waiting",
        "speed      41.8 req/s   2,470 tok/s   ETA 2 h 03 min",
        "attempts   timeout 7",
        "INSTANCE  STATE    IN FLIGHT  REQ/S  TOK/S  P50    P95         UNIT",
        "gpu-01    ok       6/6        0.0    0      3.8 s  1 min 05 s  m num_ctx=8192",
        "gpu-2     ejected  0/-        0.0    0      -      -           -",
    ]


def test_an_unknown_total_and_no_instances_are_told_as_such():
    lines = status_lines(Snapshot(state="running", counts=Counts()))

    assert lines[0].startswith("running    0 of ? finished")
    assert len(lines) == 2
    assert lines[1].endswith("ETA -")


def test_when_nothing_runs_the_speed_is_that_of_the_last_run_or_none():
    ended = Snapshot(state="finished", counts=Counts(total=4, succeeded=4), rate_per_s=2.0)

    assert status_lines(ended)[1] == "speed      2.0 req/s   0 tok/s   in the last run"
    assert len(status_lines(Snapshot(state="stopped", counts=Counts()))) == 1
