from arriero.core.batch import Counts
from arriero.core.request import Unit
from arriero.monitor.snapshot import InstanceSnapshot, Snapshot, unit_words


def test_a_unit_is_told_with_the_options_that_make_it_one():
    assert unit_words(Unit("mistral:7b")) == "mistral:7b"
    assert unit_words(Unit("m", (("num_ctx", 4096), ("use_mmap", True)))) == "m num_ctx=4096 use_mmap=True"
    assert unit_words(None) is None


def test_what_is_in_flight_is_so_over_the_fleet():
    fleet = tuple(InstanceSnapshot(name="", in_flight=here) for here in (1, 0, 3))

    assert Snapshot(state="running", counts=Counts(), instances=fleet).in_flight == 4
