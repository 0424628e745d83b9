from arriero.core.batch import Counts
from arriero.core.request import Unit
from arriero.monitor.snapshot import InstanceSnapshot, Snapshot, Tokens, at_rest, unit_words


def test_a_unit_is_told_with_the_options_that_make_it_one():
    assert unit_words(Unit("mistral:7b")) == "mistral:7b"
    assert unit_words(Unit("m", (("num_ctx", 4096), ("use_mmap", True)))) == "m num_ctx=4096 use_mmap=True"
    assert unit_words(None) is None


def test_what_is_in_flight_is_so_over_the_fleet():
    fleet = tuple(InstanceSnapshot(name="", in_flight=here) for here in (1, 0, 3))

    assert Snapshot(state="running", counts=Counts(), instances=fleet).in_flight == 4


def test_at_rest_the_rates_are_those_of_the_whole_run_and_nothing_is_in_flight():
    busy = InstanceSnapshot(name="a", in_flight=3, rate_per_s=9.0, output_tokens_per_s=90.0)
    left = Snapshot(
        state="running",
        counts=Counts(total=99, succeeded=50),
        restored=10,
        rate_per_s=9.0,
        output_tokens_per_s=90.0,
        makespan_s=20.0,
        eta_s=5.0,
        usage=Tokens(output_tokens=100),
        instances=(busy,),
    )
    rest = at_rest(left)

    assert (rest.rate_per_s, rest.output_tokens_per_s, rest.eta_s) == (2.0, 5.0, None)
    assert rest.instances == (InstanceSnapshot(name="a"),)
    assert at_rest(Snapshot(state="running", counts=Counts())).rate_per_s == 0.0
