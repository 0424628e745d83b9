from __future__ import annotations

import pytest

from arriero.client.talk import Talk
from arriero.core.events import FleetChanged, InstanceChanged, Noted
from arriero.core.request import Unit

UNIT = Unit("mistral:7b")


def heard(*events):
    """What a person hears of these events."""
    lines = []
    talk = Talk(lines.append, max_wait_s=3600.0)
    for event in events:
        talk.hear(event, 0.0)
    return lines


def change(state, reason="", **fields):
    return InstanceChanged("gpu-02", state, reason, **fields)


def test_an_instance_that_was_down_before_anybody_listened_is_told_to_be_back():
    assert heard(change("ok", "readmitted")) == ["gpu-02     back, at one request first"]


def test_an_ejection_is_told_once_and_the_return_once():
    lines = heard(
        change("ejected", "unreachable", detail="connection refused"),
        change("ejected", "timeout"),
        change("ok", "readmitted", unit=UNIT),
        change("loading", unit=UNIT),
        change("ok", unit=UNIT),
    )

    assert lines == [
        "gpu-02     ejected: unreachable: connection refused; what it had goes elsewhere, it is probed",
        "gpu-02     back, at one request first",
    ]


def test_a_gateway_is_paused_and_comes_back():
    lines = heard(change("paused", "server_error"), change("ok"))

    assert lines == [
        "gpu-02     paused: server_error; it is tried again, one request at a time first",
        "gpu-02     back, at one request first",
    ]


def test_a_unit_that_it_cannot_serve_is_told_with_its_model_even_while_it_is_out():
    missing = change("ok", "model_missing", unit=UNIT)

    assert heard(missing) == ["gpu-02     does not serve mistral:7b: model_missing"]
    assert heard(change("ejected", "timeout"), missing)[1:] == heard(missing)


@pytest.mark.parametrize("event", [change("joining"), change("ok"), change("left"), Noted("late")])
def test_what_nobody_can_act_on_is_not_told(event):
    assert heard(event) == []


def test_an_outage_is_told_in_a_line_that_fits_a_terminal():
    (line,) = heard(FleetChanged(usable=False, at=0.0))

    assert line == "fleet      no usable instance: probing up to 1h0m (--max-wait); Ctrl-C is safe"
    assert len(line) < 80


def test_the_end_of_an_outage_is_told():
    assert heard(FleetChanged(usable=True, at=9.0)) == ["fleet      usable again: work goes on"]


def test_names_of_foreign_origin_are_safe_for_a_terminal():
    (line,) = heard(InstanceChanged("gpu\x1b[2J", "ok", "readmitted"))

    assert "\x1b" not in line
