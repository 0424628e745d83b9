from __future__ import annotations

import io
import json

import pytest

from arriero.client.voice import Voice
from arriero.core.batch import Counts
from arriero.monitor.snapshot import Snapshot


def moment():
    return Snapshot(state="running", counts=Counts(total=9))


def heard(display, talk=("one",)):
    """What a stream got of a batch with that display."""
    stream = io.StringIO()
    voice = Voice(stream, display)
    for line in talk:
        voice.say(line)
    voice.show(moment)
    voice.say("two")
    voice.stop()
    voice.say("three")
    return stream.getvalue()


def test_a_program_hears_objects_alone():
    told = [json.loads(line) for line in heard("json").splitlines()]

    assert [one["event"] for one in told if one["event"] != "progress"] == ["said", "said", "said"]
    assert [one["text"] for one in told if one["event"] == "said"] == ["one", "two", "three"]


@pytest.mark.parametrize("display", ["auto", "line", "log"])
def test_a_person_hears_lines(display):
    lines = [line for line in heard(display).splitlines() if not line.startswith("progress ")]

    assert lines == ["one", "two", "three"]


def test_with_none_nothing_is_heard():
    assert heard("none") == ""


def test_without_a_stream_or_a_listener_the_batch_goes_on():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    Voice(None, "json").say("one")
    voice = Voice(Gone(), "log")
    voice.say("one")
    voice.say("two")
    voice.show(moment)
    voice.stop()
