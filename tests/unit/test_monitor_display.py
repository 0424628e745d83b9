import json

import pytest

from arriero.core.batch import Counts
from arriero.monitor.display import (
    Started,
    display_shown,
    folded,
    live_line,
    log_line,
    progress_line,
    said_line,
    started_line,
)
from arriero.monitor.snapshot import InstanceSnapshot, Snapshot

MILLION = Snapshot(
    state="running",
    counts=Counts(total=1_000_000, succeeded=634_011, failed=7_197, running=84, waiting=358_708),
    rate_per_s=83.1,
    output_tokens_per_s=4912.4,
    eta_s=4320.0,
    makespan_s=7700.0,
    instances=(InstanceSnapshot(name="gpu-01", in_flight=40), InstanceSnapshot(name="gpu-02", in_flight=44)),
)
SMALL = Snapshot(state="running", counts=Counts(total=120, succeeded=12), rate_per_s=0.524, eta_s=206.0)


def test_the_live_line_tells_all_six_where_there_is_room():
    assert live_line(SMALL) == "12/120  12 succeeded  0 failed  0.52/s  0 tok/s  ETA 3m26s"
    assert live_line(MILLION, 100) == (
        "641,208/1,000,000  634,011 succeeded  7,197 failed  83.1/s  4,912 tok/s  ETA 1h12m"
    )


@pytest.mark.parametrize("snapshot", [MILLION, SMALL], ids=["million", "small"])
def test_the_live_line_never_is_wider_than_the_terminal(snapshot):
    assert [width for width in range(121) if len(live_line(snapshot, width)) > width] == []


def test_a_million_rows_fit_80_columns_with_all_six_parts():
    assert live_line(MILLION, 79) == "641,208/1,000,000  634,011 ok  7,197 failed  83.1/s  4,912 tok/s  ETA 1h12m"


def test_a_narrow_terminal_keeps_progress_failures_and_the_end():
    assert live_line(MILLION, 45) == "641,208/1,000,000  7,197 failed  ETA 1h12m"
    assert live_line(MILLION, 20) == "641,208/1,000,000"


def test_before_the_scan_has_ended_neither_total_nor_eta_is_made_up():
    line = live_line(Snapshot(state="running", counts=Counts(succeeded=5)))

    assert line.startswith("5/?  ")
    assert line.endswith("ETA -")


def test_a_batch_that_waits_says_what_for_instead_of_an_eta():
    snapshot = Snapshot(state="unreachable", counts=Counts(total=9))

    assert live_line(snapshot).endswith("no usable instance, waiting")


def test_the_log_line_is_one_line_of_keys_and_values():
    line = log_line(MILLION)
    pairs = dict(pair.split("=") for pair in line.removeprefix("progress ").split(" "))

    assert pairs == {
        "state": "running",
        "finished": "641208",
        "total": "1000000",
        "succeeded": "634011",
        "failed": "7197",
        "in_flight": "84",
        "rate_per_s": "83.1",
        "output_tokens_per_s": "4912",
        "makespan_s": "7700",
        "eta_s": "4320",
    }


def test_what_a_program_reads_is_an_object_a_line_that_names_its_event():
    begun = Started(input="a.txt", output="b", journal="b.journal", session="0" * 12, total=None, ended_before=3)
    lines = [started_line(begun), progress_line(MILLION), said_line('two\nlines, a " and \udc80')]
    started, progress, said = (json.loads(line) for line in lines)

    assert not [line for line in lines if "\n" in line]
    assert (started["event"], started["total"], started["ended_before"]) == ("started", None, 3)
    assert (progress["event"], progress["snapshot"]["counts"]["total"]) == ("progress", 1_000_000)
    assert said == {"event": "said", "text": 'two\nlines, a " and \udc80'}


@pytest.mark.parametrize(
    ("wanted", "is_terminal", "environ", "shown"),
    [
        ("auto", True, {"TERM": "xterm-256color"}, "line"),
        ("auto", True, {"TERM": "xterm", "NO_COLOR": "1"}, "line"),
        ("auto", False, {"TERM": "xterm"}, "log"),
        ("auto", True, {"TERM": "dumb"}, "log"),
        ("auto", True, {"TERM": "xterm", "CI": "true"}, "log"),
        ("auto", True, {"TERM": "xterm", "CI": "false"}, "line"),
        ("line", True, {"TERM": "xterm", "CI": "true"}, "line"),
        ("line", False, {}, "log"),
        ("json", True, {}, "json"),
        ("none", True, {}, "none"),
        ("log", True, {}, "log"),
    ],
)
def test_a_line_that_rewrites_itself_is_only_for_a_terminal_that_can(wanted, is_terminal, environ, shown):
    assert display_shown(wanted, is_terminal=is_terminal, environ=environ) == shown


def test_a_line_of_talk_is_broken_at_its_words_and_the_rest_stands_below_its_text():
    line = "gpu-02     ejected: unreachable: connection refused; what it had goes elsewhere, it is probed"

    assert folded(line, 80).splitlines() == [
        "gpu-02     ejected: unreachable: connection refused; what it had goes",
        "           elsewhere, it is probed",
    ]
    assert folded(line, 200) == line


@pytest.mark.parametrize("width", range(24, 100, 5))
def test_no_word_is_lost_or_broken_by_the_width(width):
    line = "note       http://10.0.0.11:11434 takes no num_ctx: a /v1 server is given that at its own start"
    broken = folded(line, width).splitlines()

    assert " ".join(broken).split() == line.split()
    assert all(len(part) < width or len(part.split()) == 1 for part in broken[1:])


def test_a_terminal_too_narrow_to_indent_gets_the_line_whole():
    assert folded("note       one two three four five six", 20) == "note       one two three four five six"
