"""The queue of one unit: groups, classes, and what failed before."""

from __future__ import annotations

from desk import row

from arriero.core.policies.pick import FirstCome
from arriero.core.queue import Open, UnitQueue


class ByCap:
    """Longer caps first; sorts again when ``version`` changes."""

    def __init__(self):
        self.version = 0
        self.sign = 1

    def group(self, request):
        return request.max_tokens

    def work(self, request):
        return self.sign * request.max_tokens


def queue_of(*rows, rank=None):
    queue = UnitQueue(rank or ByCap())
    for one in rows:
        queue.push(Open(one))
    return queue


def taken(queue):
    found = []
    while queue.count:
        found.append((queue.take_again("b", lambda _: False) or queue.take()).request.position)
    return found


def test_the_group_with_most_work_goes_first_and_its_rows_in_order():
    queue = queue_of(row(0, max_tokens=1), row(1, max_tokens=9), row(2, max_tokens=9))

    assert taken(queue) == [1, 2, 0]


def test_the_shortest_of_the_highest_class_can_be_asked_for():
    queue = queue_of(row(0, max_tokens=5), row(1, max_tokens=1, priority=-1), row(2, max_tokens=3))

    assert queue.take(shortest=True).request.position == 2


def test_a_new_version_of_the_rank_sorts_again():
    rank = ByCap()
    queue = queue_of(row(0, max_tokens=1), row(1, max_tokens=9), rank=rank)
    rank.sign, rank.version = -1, 1

    assert taken(queue) == [0, 1]


def test_a_group_that_was_empty_is_found_again():
    queue = queue_of(row(0, max_tokens=1))
    queue.take()
    queue.push(Open(row(1, max_tokens=1)))

    assert taken(queue) == [1]


def failed(position, on="a", **fields):
    entry = Open(row(position, max_tokens=1, **fields))
    entry.failed_on = frozenset({on})
    return entry


def test_what_failed_elsewhere_goes_first_but_not_back_to_where_it_failed():
    queue = queue_of(row(0, max_tokens=1))
    queue.push_again(failed(1))

    assert queue.take_again("a", lambda _: False) is None
    assert queue.take_again("a", lambda _: True).request.position == 1
    assert queue.take_again("a", lambda _: True) is None


def test_what_failed_goes_back_behind_a_higher_class():
    queue = queue_of(row(0, max_tokens=1, priority=1))
    queue.push_again(failed(1))

    assert queue.priority == 1
    assert taken(queue) == [0, 1]


def test_a_high_class_that_failed_counts_for_the_whole_queue():
    queue = queue_of(row(0, max_tokens=1))
    queue.push_again(failed(1, priority=3))

    assert queue.priority == 3
    assert [entry.request.position for entry in queue] == [1, 0]


def test_first_come_is_first_served_whatever_the_size():
    assert taken(queue_of(row(0, max_tokens=1), row(1, max_tokens=99), rank=FirstCome())) == [0, 1]
