import pytest

from arriero.core.batch import Counts
from arriero.core.instance import Concurrency
from arriero.monitor.advice import slots_advice
from arriero.monitor.snapshot import InstanceSnapshot, Snapshot


def at_the_end(slots, *, tested=True, sent=1000, restored=0, state="ok", answered=10):
    instances = tuple(
        InstanceSnapshot(name=str(number), state=state, slots=one, slots_tested=tested, succeeded=answered)
        for number, one in enumerate(slots)
    )
    counts = Counts(total=restored + sent, succeeded=restored + sent)
    return Snapshot(state="finished", counts=counts, instances=instances, restored=restored)


@pytest.mark.parametrize(
    ("slots", "concurrency", "words"),
    [
        ([37], Concurrency(12, learned=False), "37 can run at once, -c 12 leaves 25 idle"),
        ([37], Concurrency(100, learned=False), "37 can run at once, -c 100 parks 63"),
        ([3] * 4, Concurrency(per_instance=2, learned=False), "12 can run at once, -c 2x leaves 4 idle"),
        ([3] * 4, Concurrency(per_instance=4, learned=False), "12 can run at once, -c 4x parks 4"),
        ([37], Concurrency(16), "37 can run at once, -c auto:16 leaves 21 idle"),
        ([37], Concurrency(64), "37 can run at once, learned"),
        ([1, 2, 4], Concurrency(), "7 can run at once (1 + 2 + 4), learned"),
        ([1] * 9, Concurrency(), "9 can run at once, learned"),
        ([12], Concurrency(12, learned=False), ""),
        ([], Concurrency(12, learned=False), ""),
        ([None], Concurrency(12, learned=False), ""),
    ],
)
def test_slots_that_were_tested_are_told_beside_c(slots, concurrency, words):
    assert slots_advice(at_the_end(slots), concurrency) == words


@pytest.mark.parametrize(
    ("slots", "concurrency", "words"),
    [
        ([1, 2], Concurrency(2, learned=False), "at least 3 can run at once, -c 2 leaves 1 or more idle"),
        ([3, 4], Concurrency(7, learned=False), "at least 7 can run at once, all that -c 7 allows: more may fit"),
        ([2, 4], Concurrency(7, learned=False), ""),
        ([4], Concurrency(30, learned=False), ""),
        ([4], Concurrency(), ""),
    ],
)
def test_slots_that_were_not_tested_are_a_least_or_nothing(slots, concurrency, words):
    assert slots_advice(at_the_end(slots, tested=False), concurrency) == words


@pytest.mark.parametrize("sent", [3, 10, 29])
def test_nothing_is_parked_where_so_many_requests_were_never_there(sent):
    thirty = Concurrency(30, learned=False)

    assert slots_advice(at_the_end([4], sent=sent, restored=100), thirty) == ""
    assert slots_advice(at_the_end([4], sent=30), thirty) == "4 can run at once, -c 30 parks 26"


def test_too_few_requests_do_not_say_that_c_was_too_low():
    assert slots_advice(at_the_end([1, 2], tested=False, sent=3), Concurrency(2, learned=False)) == ""


def test_an_instance_that_is_out_of_use_or_has_not_answered_is_no_part_of_a_fact():
    twelve = Concurrency(12, learned=False)
    fleet = at_the_end([4, 4])
    out = at_the_end([4], state="ejected").instances
    silent = at_the_end([4], answered=0).instances

    assert slots_advice(Snapshot(state="finished", counts=fleet.counts, instances=fleet.instances + out), twelve) == (
        "8 can run at once, -c 12 parks 4"
    )
    assert (
        slots_advice(Snapshot(state="finished", counts=fleet.counts, instances=fleet.instances + silent), twelve) == ""
    )
