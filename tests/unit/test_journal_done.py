from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.journal.done import Done


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.integers(0, 5000), st.booleans()), st.integers(0, 100))
def test_it_holds_what_was_added_and_nothing_else(rows, size):
    done = Done(size)
    for position, succeeded in rows.items():
        done.add(position, succeeded=succeeded)

    assert {position for position in range(5010) if position in done} == set(rows)
    assert (done.succeeded, done.failed) == (sum(rows.values()), len(rows) - sum(rows.values()))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.integers(0, 5000), st.booleans()))
def test_it_is_the_same_read_from_a_journal(rows):
    done = Done.of(max(rows, default=-1) + 1, [(position, int(ok)) for position, ok in rows.items()])
    assert {position for position in range(5010) if position in done} == set(rows)
    assert (done.succeeded, len(done)) == (sum(rows.values()), len(rows))


def test_a_row_cannot_end_twice():
    done = Done()
    done.add(7, succeeded=True)
    with pytest.raises(ValueError, match="row 7"):
        done.add(7, succeeded=False)
    assert (done.succeeded, done.failed) == (1, 0)


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 4095, 4096, 4097, 10_000])
def test_the_first_open_row_is_found_behind_any_number_of_ended_ones(rows):
    done = Done.of(rows, ((position, 1) for position in range(rows)))

    assert all(done.first_open(position) == rows for position in {0, rows // 2, max(0, rows - 1)})
    assert done.first_open(rows + 5) == rows + 5


def test_the_first_open_row_is_the_first_of_any_pattern():
    chance = Random(3)
    for share in (0.1, 0.5, 0.9, 0.999):
        ended = [position for position in range(6000) if chance.random() < share]
        done = Done.of(6000, ((position, 0) for position in ended))
        still_open = sorted(set(range(6001)) - set(ended))
        for position in chance.sample(range(6000), 200):
            assert done.first_open(position) == next(one for one in still_open if one >= position)
