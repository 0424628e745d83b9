import pytest

from arriero.core.batch import Counts
from arriero.core.request import Unit
from arriero.monitor.snapshot import InstanceSnapshot, Snapshot, unit_words


def test_a_unit_is_told_with_the_options_that_make_it_one():
    assert unit_words(Unit("mistral:7b")) == "mistral:7b"
    assert unit_words(Unit("m", (("num_ctx", 4096), ("use_mmap", True)))) == "m num_ctx=4096 use_mmap=True"
    assert unit_words(None) is None


@pytest.mark.parametrize(
    ("instances", "slots"),
    [
        ([], None),
        ([(4, 10), (3, 10)], 7),
        ([(4, 10), (None, 10)], None),
        ([(4, 10), (None, 0)], 4),
    ],
)
def test_the_slots_of_the_fleet_are_known_when_those_of_all_that_answered_are(instances, slots):
    fleet = tuple(InstanceSnapshot(name="", slots=known, succeeded=count, in_flight=1) for known, count in instances)
    snapshot = Snapshot(state="running", counts=Counts(), instances=fleet)

    assert snapshot.slots == slots
    assert snapshot.in_flight == len(instances)
