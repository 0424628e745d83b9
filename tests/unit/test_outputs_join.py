import pytest

from arriero.core.outcome import Failure, FailureKind
from arriero.errors import BindingError
from arriero.inputs.row import Row, row_hash
from arriero.journal.stored import StoredResult
from arriero.outputs.join import check, join


def row(position):
    return Row(position=position, line=position + 1, raw=b"q%d" % position, is_text=True, prompt="q")


def stored(position, hashed=None):
    return StoredResult(
        batch=1,
        position=position,
        round=0,
        id="",
        row_hash=row_hash(b"q%d" % position) if hashed is None else hashed,
        outcome=Failure(kind=FailureKind.TIMEOUT),
        model="m",
        instance="",
        attempts=0,
        attempt=0,
        session="",
        ended_at=0.0,
    )


def test_each_result_meets_its_row_and_rows_without_one_are_left_out():
    pairs = list(join(map(row, range(6)), map(stored, (0, 3, 4))))

    assert [(left.position, right.position) for left, right in pairs] == [(0, 0), (3, 3), (4, 4)]


def test_the_input_is_read_no_further_than_there_are_results():
    read = []

    def rows():
        for position in range(100):
            read.append(position)
            yield row(position)

    list(join(rows(), [stored(2)]))

    assert read == [0, 1, 2]


def test_results_in_the_wrong_order_are_never_joined_with_another_row():
    with pytest.raises(BindingError):
        list(join(map(row, range(6)), [stored(3), stored(1)]))


def test_a_row_is_held_against_the_hash_that_was_answered():
    check(row(1), stored(1))
    check(row(1), stored(1, hashed=b""))
    with pytest.raises(BindingError, match="line 2 "):
        check(row(1), stored(2))
