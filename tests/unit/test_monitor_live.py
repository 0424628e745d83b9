import io
import threading

import pytest

from arriero.core.batch import Counts
from arriero.monitor.live import LOG_S, Live
from arriero.monitor.snapshot import Snapshot


def moment(state="running", succeeded=3):
    return Snapshot(state=state, counts=Counts(total=9, succeeded=succeeded))


def screen(written):
    """What a terminal shows after these bytes: carriage return and "clear to the end of the line" only."""
    lines = [""]
    for number, piece in enumerate(written.split("\r\x1b[K")):
        head, *rest = piece.split("\n")
        lines[-1] = head if number else lines[-1] + head
        lines += rest
    return lines


def test_each_frame_takes_the_place_of_the_one_before():
    stream = io.StringIO()
    succeeded = iter([1, 2])
    live = Live(lambda: moment(succeeded=next(succeeded)), stream, "line", columns=lambda: 80)
    live.frame(0.0)
    live.frame(0.5)

    assert screen(stream.getvalue()) == ["2/9  2 succeeded  0 failed  0/s  0 tok/s  ETA -"]


def test_the_terminal_is_clean_after_the_stop():
    stream = io.StringIO()
    live = Live(moment, stream, "line", columns=lambda: 80)
    live.frame(0.0)
    live.stop()
    live.stop()
    live.frame(0.5)

    assert screen(stream.getvalue()) == [""]
    assert "\x1b[?25l" not in stream.getvalue()


def test_talk_stands_above_the_live_line():
    stream = io.StringIO()
    live = Live(moment, stream, "line", columns=lambda: 30)
    live.frame(0.0)
    live.say("gpu-08 ejected: timeout")

    assert screen(stream.getvalue()) == ["gpu-08 ejected: timeout", "3/9  0 failed  0/s  ETA -"]


@pytest.mark.parametrize("shown", ["log", "json", "none"])
def test_no_carriage_return_and_no_escape_goes_into_a_pipe(shown):
    stream = io.StringIO()
    live = Live(moment, stream, shown)
    live.frame(0.0)
    live.say("said")
    live.frame(LOG_S)
    live.stop()

    assert "\r" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_log_line_comes_every_ten_seconds_and_when_the_state_changes():
    stream = io.StringIO()
    states = iter(["running"] * 41 + ["draining"])
    live = Live(lambda: moment(next(states)), stream, "log")
    for _ in range(42):
        live.frame(0.5)
    lines = stream.getvalue().splitlines()

    assert [line.split()[1] for line in lines] == ["state=running"] * 3 + ["state=draining"]


def test_the_thread_shows_at_once_and_ends_with_the_stop():
    asked = threading.Event()

    def snapshot():
        asked.set()
        return moment()

    stream = io.StringIO()
    live = Live(snapshot, stream, "line", columns=lambda: 80)
    live.start()
    assert asked.wait(5)
    live.stop()

    assert not [thread for thread in threading.enumerate() if thread.name == "arriero-live"]
    assert screen(stream.getvalue()) == [""]


def test_a_terminal_that_went_away_ends_the_display_and_not_the_batch():
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(5, "Input/output error")

    live = Live(moment, Gone(), "line", columns=lambda: 80)
    live.frame(0.0)
    live.say("more")
    live.stop()

    assert live._shown == "none"
