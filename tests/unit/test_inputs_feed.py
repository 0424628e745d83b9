from pathlib import Path

import pytest

from arriero.core.outcome import FailureKind
from arriero.core.request import Request, Result
from arriero.inputs import feed as module
from arriero.inputs.bind import Binder
from arriero.inputs.feed import Feed
from arriero.inputs.scan import Scan
from arriero.inputs.source import FileSource
from arriero.journal.done import Done


@pytest.fixture
def opened(tmp_path):
    sources = []

    def write(text, input_format="txt"):
        path = tmp_path / f"rows.{input_format}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        sources.append(FileSource.open(str(path), input_format))
        return sources[-1]

    yield write
    for source in sources:
        source.close()


def feed_of(source, *, done=(), attempts_used=None, stop_at_bad=True, start=True):
    binder = Binder(model="m")
    scan = Scan(source, binder, stop_at_bad=stop_at_bad)
    feed = Feed(
        source,
        binder,
        scan,
        done=Done.of(max(done, default=0) + 1, ((position, 1) for position in done)),
        attempts_used=attempts_used or {},
        batch=2,
        round_number=1,
    )
    if start:
        scan.start()
        assert scan.wait(10)
    return feed, scan


def drain(feed, requests=1000, size_bytes=1 << 24):
    taken, calls = [], 0
    while not feed.ended and calls < 100_000:
        taken += feed.take(requests, size_bytes)
        calls += 1
    assert feed.ended
    return taken


def numbered(count):
    return "".join(f"row {row}\n" for row in range(count))


def test_every_row_comes_once_in_order(opened):
    feed, _ = feed_of(opened(numbered(500)))
    taken = drain(feed)

    assert [one.content.prompt for one in taken] == [f"row {row}" for row in range(500)]
    assert [one.position for one in taken] == list(range(500))
    assert {(one.batch, one.round) for one in taken} == {(2, 1)}
    assert feed.total == 500


@pytest.mark.parametrize("done", [range(2999), range(1, 3000), set(range(0, 3000, 2)), {1023, 1024, 2999}, range(3000)])
def test_finished_rows_are_skipped_and_the_others_are_whole(opened, done):
    feed, _ = feed_of(opened("".join(f"row {row}\n\n" for row in range(3000))), done=done)
    taken = drain(feed)

    assert [one.position for one in taken] == [row for row in range(3000) if row not in done]
    assert all(one.content.prompt == f"row {one.position}" for one in taken)
    assert all(one.line == 2 * one.position + 1 for one in taken)


def test_finished_rows_are_not_parsed(opened, monkeypatch):
    source = opened(numbered(3000))
    feed, _ = feed_of(source, done=range(2990))
    parsed = []
    parse = source.parse
    monkeypatch.setattr(source, "parse", lambda position, line: parsed.append(position) or parse(position, line))
    drain(feed)

    assert parsed == list(range(2990, 3000))


def test_a_call_binds_a_bounded_number_of_rows_and_says_that_there_is_more(opened):
    feed, _ = feed_of(opened(numbered(5000)), done=range(4900))

    assert len(feed.take(1000, 1 << 20)) == module.BOUND_ROWS_MAX
    assert feed.more_now


def test_a_call_passes_over_a_bounded_number_of_lines_and_says_that_there_is_more(opened):
    still_open = range(999, 9000, 1000)
    feed, _ = feed_of(opened(numbered(9000)), done=set(range(9000)) - set(still_open))
    taken = feed.take(1000, 1 << 20)
    assert 0 < len(taken) <= module.SKIPPED_ROWS_MAX // 900
    while not feed.ended:
        assert feed.more_now
        taken += feed.take(1000, 1 << 20)

    assert [one.position for one in taken] == list(still_open)


def test_no_more_is_taken_than_the_window_has_room_for(opened):
    feed, _ = feed_of(opened(numbered(50)))

    assert len(feed.take(3, 1 << 20)) == 3
    assert not feed.more_now
    assert len(feed.take(10, 12)) == 3
    assert feed.take(0, 1 << 20) == []
    assert feed.take(5, 0) == []


def test_bad_and_refused_rows_end_unsent_and_use_no_room(opened):
    rows = ["{", '{"messages": [{"role": "tool", "content": "a"}], "id": "r"}', '{"prompt": "a"}']
    feed, _ = feed_of(opened("\n".join(rows), "jsonl"), stop_at_bad=False)
    bad, refused, request = feed.take(1, 1 << 20)

    assert isinstance(bad, Result)
    assert (bad.outcome.kind, bad.attempts, bad.request.position) == (FailureKind.REJECTED, 0, 0)
    assert bad.outcome.detail.startswith("bad line 1, column 2: not JSON")
    assert (refused.outcome.kind, refused.request.id) == (FailureKind.UNSUPPORTED, "r")
    assert isinstance(request, Request)
    assert feed.ended


def test_attempts_used_before_a_resume_travel_with_the_request(opened):
    feed, _ = feed_of(opened(numbered(3)), attempts_used={1: 2})

    assert [one.attempts_used for one in feed.take(9, 1 << 20)] == [0, 2, 0]


def test_nothing_comes_before_it_was_scanned_and_the_scan_is_asked_to_call(opened):
    feed, scan = feed_of(opened(numbered(10)), start=False)

    assert feed.take(9, 1 << 20) == []
    assert (feed.more_now, feed.ended, scan.wanted) == (False, False, 0)
    scan.scanned = 4
    scan._mark_lines.append(1)
    scan._mark_offsets.append(0)
    assert [one.position for one in feed.take(9, 1 << 20)] == [0, 1, 2, 3]
    assert (feed.more_now, feed.ended, scan.wanted) == (False, False, 4)


def test_a_row_scanned_while_the_feed_went_to_sleep_is_not_forgotten(opened):
    feed, scan = feed_of(opened(numbered(10)))

    class Behind:
        total, error, wanted, answers = None, None, None, iter((0, 5))
        mark = scan.mark

        @property
        def scanned(self):
            return next(self.answers)

    feed._scan = Behind()
    assert feed.take(9, 1 << 20) == []
    assert feed.more_now


def test_after_an_error_of_the_scan_nothing_more_comes_and_the_feed_has_not_ended(opened):
    feed, scan = feed_of(opened(b"one\ntwo\n\xff\nfour"))

    assert feed.take(9, 1 << 20) == []
    assert feed.error is scan.error is not None
    assert not feed.ended


def test_a_file_that_lost_rows_after_the_scan_is_an_error_and_no_end(opened):
    source = opened(numbered(10))
    feed, _ = feed_of(source)
    with Path(source.path).open("r+b") as file:
        file.truncate(12)

    assert len(feed.take(99, 1 << 20)) <= 2
    assert "became shorter" in feed.error.message
    assert not feed.ended


def test_a_file_that_is_replaced_or_removed_after_it_was_opened_changes_nothing(opened, tmp_path):
    source = opened(numbered(100))
    feed, _ = feed_of(source)
    (tmp_path / "other").write_text("something else\n")
    (tmp_path / "other").replace(source.path)

    assert [one.content.prompt for one in drain(feed)] == [f"row {row}" for row in range(100)]
    assert source.state() == "gone"


def test_an_over_long_row_ends_unsent(opened):
    source = opened("short\n" + "x" * 2000 + "\nlast\n")
    source.line_bytes_max = 1000
    feed, _ = feed_of(source, stop_at_bad=False)
    taken = feed.take(9, 1 << 20)

    assert [type(one) for one in taken] == [Request, Result, Request]
    assert "a line of 2000 bytes; the most is 1000" in taken[1].outcome.detail


def test_the_end_is_told_by_take_and_not_behind_its_back(opened):
    feed, scan = feed_of(opened(numbered(3)))
    scan.total = None
    assert len(feed.take(9, 1 << 20)) == 3
    scan.total = 3

    assert not feed.ended
    assert feed.take(9, 1 << 20) == []
    assert feed.ended


def test_an_empty_input_ends_at_the_first_call(opened):
    feed, _ = feed_of(opened(""))

    assert not feed.ended
    assert feed.take(9, 1 << 20) == []
    assert (feed.ended, feed.total) == (True, 0)
