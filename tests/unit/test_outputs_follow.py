import json

import pytest

from arriero.core.outcome import Success, Timing, Usage
from arriero.core.request import Content, Request, Result, Unit
from arriero.errors import BindingError, StorageError
from arriero.inputs.row import Row
from arriero.journal.done import Done
from arriero.journal.stored import StoredResult
from arriero.outputs.export import export
from arriero.outputs.follow import Follow


def row(position):
    raw = b'{"prompt":"question %d","tag":%d}' % (position, position)
    return Row(position=position, line=position + 1, raw=raw, prompt=f"question {position}")


def rows(count=50):
    return lambda: (row(position) for position in range(count))


def answer(position):
    return Success(
        text=f"answer {position}", finish_reason="stop", usage=Usage(), timing=Timing(latency_s=1.0), model="m"
    )


def result(position):
    request = Request(
        batch=1,
        position=position,
        line=position + 1,
        id=str(position + 1),
        content=Content(),
        unit=Unit("m"),
        row_hash=row(position).hash,
    )
    return Result(request=request, outcome=answer(position), instance="gpu-01", attempt=1, attempts=1)


def stored(position):
    return StoredResult(
        batch=1,
        position=position,
        round=0,
        id=str(position + 1),
        row_hash=row(position).hash,
        outcome=answer(position),
        model="m",
        instance="gpu-01",
        attempts=1,
        attempt=1,
        session="0123456789ab",
        ended_at=1.0,
    )


def commit(follow, done, *positions):
    """What the journal's writer does: the bits first, then the word."""
    for position in positions:
        done.add(position, succeeded=True)
    follow.committed([result(position) for position in positions])


def kept(done):
    """What the journal gives back."""
    return [stored(position) for position in range(50) if position in done]


def ids(path):
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


def test_each_group_is_in_the_file_when_it_was_told(tmp_path):
    follow, done = Follow(tmp_path / "r.jsonl", rows()), Done()
    follow.start(None, done)
    partial = tmp_path / "r.jsonl.partial"
    commit(follow, done, 7, 2, 5)
    first = ids(partial)
    commit(follow, done, 0)

    assert first == ["8", "3", "6"]
    assert ids(partial) == ["8", "3", "6", "1"]
    assert partial.read_bytes().endswith(b"\n")


def test_a_resume_writes_what_was_finished_and_doubles_and_loses_nothing(tmp_path):
    (tmp_path / "r.jsonl.partial").write_bytes(b'{"id":"8"}\n{"id":"torn')
    done = Done()
    for position in (2, 7):
        done.add(position, succeeded=True)
    follow = Follow(tmp_path / "r.jsonl", rows())
    follow.start(lambda: kept(done), done)
    assert ids(tmp_path / "r.jsonl.partial") == [], "nothing waits for the lines of before"
    commit(follow, done, 9, 0, 1)
    commit(follow, done, 3)
    path = follow.finish(complete=True)

    assert ids(path) == ["1", "2", "3", "8", "10", "4"]
    assert [found.name for found in tmp_path.iterdir()] == ["r.jsonl"]


def test_a_resume_in_which_nothing_ends_writes_what_was_finished(tmp_path):
    done = Done()
    done.add(4, succeeded=True)
    follow = Follow(tmp_path / "r.jsonl", rows())
    follow.start(lambda: kept(done), done)

    assert ids(follow.finish(complete=False)) == ["5"]


def test_its_lines_are_those_of_the_ordered_output_with_all_fields_of_the_row(tmp_path):
    follow, done = Follow(tmp_path / "unordered.jsonl", rows()), Done()
    follow.start(None, done)
    commit(follow, done, 4, 1, 3, 0, 2)
    follow.finish(complete=True)
    export(str(tmp_path / "ordered.jsonl"), "jsonl", rows()(), (stored(n) for n in range(5)), complete=True)
    unordered, ordered = ((tmp_path / f"{n}.jsonl").read_bytes().splitlines() for n in ("unordered", "ordered"))

    assert sorted(unordered) == sorted(ordered)
    assert json.loads(unordered[0])["tag"] == 4


def test_a_stopped_batch_keeps_the_partial_name(tmp_path):
    follow, done = Follow(tmp_path / "r.jsonl", rows()), Done()
    follow.start(None, done)
    commit(follow, done, 3)

    assert follow.finish(complete=False) == tmp_path / "r.jsonl.partial"


def test_rows_that_have_ended_are_held_no_longer(tmp_path):
    follow, done = Follow(tmp_path / "r.jsonl", rows()), Done()
    for position in (1, 2):
        done.add(position, succeeded=True)
    follow.start(lambda: kept(done), done)
    commit(follow, done, 5)
    commit(follow, done, 7)
    held = sorted(follow._passed)
    commit(follow, done, 0, 3, 4, 6)

    assert held == [0, 3, 4, 6]
    assert follow._passed == {}


def test_a_changed_input_ends_the_following_and_is_told_at_the_end(tmp_path):
    follow = Follow(tmp_path / "r.jsonl", rows(3))
    follow.start(None, ())
    follow.committed([result(1)])
    follow.committed([result(9)])
    follow.committed([result(2)])

    assert isinstance(follow.failed, BindingError)
    assert ids(tmp_path / "r.jsonl.partial") == ["2"]
    with pytest.raises(BindingError):
        follow.finish(complete=True)


def test_a_disk_that_fails_is_told_at_the_end_and_raises_nothing_into_the_writer(tmp_path):
    follow = Follow(tmp_path / "r.jsonl", rows())
    follow.start(None, ())
    follow._file.close()  # a write to a closed descriptor fails as one to a failed disk does
    follow.committed([result(1)])

    with pytest.raises(StorageError, match=r"r\.jsonl\.partial"):
        follow.finish(complete=True)


def test_a_row_that_changes_under_the_batch_is_not_written_beside_the_old_ones_answer(tmp_path):
    changed = Row(position=1, line=2, raw=b'{"prompt":"another question"}', prompt="another question")
    follow = Follow(tmp_path / "r.jsonl", lambda: iter([row(0), changed, row(2)]))
    follow.start(None, ())
    follow.committed([result(0)])
    follow.committed([result(1)])

    assert ids(tmp_path / "r.jsonl.partial") == ["1"]
    with pytest.raises(BindingError, match="line 2 of the input has changed"):
        follow.finish(complete=True)
