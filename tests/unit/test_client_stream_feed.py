"""What a stream takes from its iterable, and when it takes no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

from arriero.client.stream_feed import UNREAD_ANSWERS, StreamFeed
from arriero.config.settings import Settings
from arriero.core.outcome import Failure, FailureKind
from arriero.core.request import Result
from arriero.inputs.bind import Binder


def feed_of(items: Iterable[str]) -> StreamFeed:
    settings = Settings(input="", input_format="jsonl", output="r", output_format="json", journal="j", models=("m",))
    return StreamFeed(items, Binder.of(settings), settings, 1, ordered=False)


def test_no_more_is_taken_while_nobody_reads_the_answers():
    feed = feed_of(f"question {number}" for number in count())
    failed = Failure(kind=FailureKind.TIMEOUT)
    taken = 0
    while requests := feed.take(UNREAD_ANSWERS, 1 << 20):
        taken += len(requests)
        assert taken <= 2 * UNREAD_ANSWERS, "it goes on taking"
        feed.answered([Result(request=request, outcome=failed) for request in requests])
    assert len(feed.answers) >= UNREAD_ANSWERS

    feed.answers.clear()
    assert feed.take(1, 1 << 20)


def test_what_the_iterable_raises_is_raised_to_its_reader_and_is_no_end():
    mistake = ValueError("of the caller")

    def items() -> Iterator[str]:
        yield "question"
        raise mistake

    feed = feed_of(items())
    feed.take(5, 1 << 20)

    assert feed.error is mistake
    assert not feed.over
