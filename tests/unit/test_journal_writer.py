from __future__ import annotations

import apsw
import pytest
from journal_rows import answered

from arriero.core.batch import BatchStatus
from arriero.journal.commit import Changes
from arriero.journal.writer import QUEUE_RECORDS, Writer


class Groups:
    """Stands where ``Commit`` stands; keeps what it is given, and fails from a given call on."""

    def __init__(self, fails_at=None):
        self.calls = []
        self.fails_at = fails_at

    def __call__(self, results, notices, changes):
        self.calls.append((list(results), list(notices), changes))
        if len(self.calls) == self.fails_at:
            raise apsw.IOError("the disk says no")
        return list(results)


@pytest.fixture
def write(tmp_path):
    def made(groups):
        told, stopped = [], []
        connection = apsw.Connection(str(tmp_path / "j"))
        writer = Writer(
            tmp_path / "j", connection, groups, committed=lambda *args: told.append(args), stopped=stopped.append
        )
        return writer, told, stopped

    return made


def test_after_a_failed_commit_nothing_is_written_or_told_any_more(write):
    groups = Groups(fails_at=2)
    writer, told, stopped = write(groups)
    writer.put([answered(p) for p in range(1600)], [])
    writer.start()
    writer.close()

    assert len(groups.calls) == 2
    assert [len(kept) for kept, _ in told] == [500]
    assert stopped == [writer.failed]
    assert "disk failed" in writer.failed.message
    assert not writer.room()


def test_everything_given_before_the_end_is_committed_in_order(write):
    groups = Groups()
    writer, told, stopped = write(groups)
    writer.start()
    for position in range(1234):
        writer.put([answered(position)], [])
    writer.close()

    assert [r.request.position for results, _, _ in groups.calls for r in results] == list(range(1234))
    assert sum(len(kept) for kept, _ in told) == 1234
    assert stopped == []


def test_a_change_waits_for_the_results_before_it(write):
    groups = Groups()
    writer, _, _ = write(groups)
    writer.put([answered(p) for p in range(700)], [])
    writer.change(total=9, input_bytes=8)
    writer.change(status=BatchStatus.FINISHED)
    writer.start()
    writer.close()

    with_status = [i for i, (_, _, changes) in enumerate(groups.calls) if changes.status is not None]
    assert with_status == [len(groups.calls) - 1]
    assert [changes for _, _, changes in groups.calls] == [
        Changes(total=9, input_bytes=8),
        Changes(status=BatchStatus.FINISHED),
    ]


def test_the_queue_has_room_for_less_than_its_bound(write):
    writer, _, _ = write(Groups())
    writer.put([answered(p) for p in range(QUEUE_RECORDS - 1)], [])
    assert writer.room()
    writer.put([answered(QUEUE_RECORDS)], [])
    assert not writer.room()
    writer.start()
    writer.close()
