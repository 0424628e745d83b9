from __future__ import annotations

import signal

import pytest

from arriero.cli.signals import Signals


class Batch:
    def __init__(self) -> None:
        self.asked: list[object] = []

    def drain(self) -> None:
        self.asked.append("drain")

    def abort(self) -> None:
        self.asked.append("abort")


@pytest.mark.parametrize(
    ("numbers", "asked"),
    [
        ([signal.SIGINT], ["drain"]),
        ([signal.SIGINT] * 2, ["drain", "abort"]),
        ([signal.SIGINT] * 3, ["drain", "abort", 130]),
        ([signal.SIGTERM], ["drain"]),
        ([signal.SIGTERM, signal.SIGHUP, signal.SIGTERM], ["drain"]),
        ([signal.SIGTERM, signal.SIGINT], ["drain", "abort"]),
    ],
)
def test_the_first_signal_drains_and_only_ctrl_c_goes_further(capfd, numbers, asked):
    batch = Batch()
    with Signals(batch, leave=batch.asked.append):
        for number in numbers:
            signal.raise_signal(number)

    assert batch.asked == asked
    assert "Ctrl-C" in capfd.readouterr().err


def test_nothing_is_printed_where_standard_error_is_for_a_program(capfd):
    batch = Batch()
    with Signals(batch, leave=batch.asked.append, quiet=True):
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)

    assert batch.asked == ["drain", "abort", 130]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.usefixtures("capfd")
def test_an_interrupted_batch_ends_with_the_code_of_its_signal(number, code):
    with Signals(Batch()) as signals:
        signal.raise_signal(number)

    assert signals.exit_code(130) == code
    assert signals.exit_code(3) == 3


def test_a_batch_that_was_not_interrupted_keeps_its_code():
    with Signals(Batch()) as signals:
        pass

    assert [signals.exit_code(code) for code in (0, 3, 130)] == [0, 3, 130]


def test_the_handlers_of_before_come_back():
    before = signal.getsignal(signal.SIGINT)
    with Signals(Batch()):
        assert signal.getsignal(signal.SIGINT) != before

    assert signal.getsignal(signal.SIGINT) == before


def test_a_signal_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals(Batch()):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
