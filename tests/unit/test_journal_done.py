from __future__ import annotations

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
