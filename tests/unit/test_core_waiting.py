"""Waiting: windows, shares of batches, suspects."""

from __future__ import annotations

from desk import LLAMA, MISTRAL, row
from msgspec import structs

from arriero.core.batch import Batch
from arriero.core.policies.pick import FirstCome
from arriero.core.queue import Open
from arriero.core.request import Content
from arriero.core.waiting import Waiting


def waiting_of(*batches):
    waiting = Waiting(FirstCome())
    for batch in batches:
        waiting.open(batch)
    return waiting


def take(waiting):
    queue, unit = waiting.lead(set(), set())
    entry = queue.units[unit].take()
    waiting.taken(entry, 1.0)
    return entry.request


def test_bytes_and_counts_come_and_go():
    waiting = waiting_of(Batch(id=1))
    for position in range(3):
        waiting.push(Open(row(position)))
    take(waiting)

    assert waiting[1].bytes == 60
    assert waiting.units == {MISTRAL: 2}
    take(waiting)
    take(waiting)
    assert waiting[1].bytes == 0
    assert waiting.units == {}


def test_turns_go_by_weight():
    waiting = waiting_of(Batch(id=1), Batch(id=2, weight=3.0))
    for position in range(40):
        waiting.push(Open(row(position, batch=1)))
        waiting.push(Open(row(position, batch=2)))
    turns = [take(waiting).batch for _ in range(40)]

    assert turns.count(2) == 30


def test_a_batch_that_was_away_neither_starves_the_others_nor_pays_for_it():
    waiting = waiting_of(Batch(id=1), Batch(id=2))
    for position in range(200):
        waiting.push(Open(row(position, batch=1)))
    for _ in range(100):
        take(waiting)
    for position in range(50):
        waiting.push(Open(row(position, batch=2)))
    turns = [take(waiting).batch for _ in range(20)]

    assert turns.count(1) == 10


def test_a_higher_class_goes_first_until_nothing_of_it_waits():
    waiting = waiting_of(Batch(id=1), Batch(id=2, priority=1))
    waiting.push(Open(row(0, batch=1)))
    waiting.push(Open(row(0, batch=2)))

    assert [take(waiting).batch for _ in range(2)] == [2, 1]


def test_a_blocked_unit_or_a_passed_batch_is_left_out():
    waiting = waiting_of(Batch(id=1))
    waiting.push(Open(row(0)))
    waiting.push(Open(row(1, LLAMA)))

    assert waiting.lead({MISTRAL}, set())[1] == LLAMA
    assert waiting.lead({MISTRAL}, {(1, LLAMA)}) is None


def test_suspects_wait_too_but_have_no_turn():
    waiting = waiting_of(Batch(id=1))
    waiting.push_suspect(Open(row(0)))

    assert waiting.units == {MISTRAL: 1}
    assert waiting.lead(set(), set()) is None
    assert waiting.take_suspect(MISTRAL).request.position == 0
    assert waiting.units == waiting.suspects == {}


def test_clearing_a_batch_or_dropping_a_unit_takes_its_suspects_along():
    waiting = waiting_of(Batch(id=1), Batch(id=2))
    waiting.push(Open(row(0, batch=1)))
    waiting.push_suspect(Open(row(1, batch=1)))
    waiting.push_suspect(Open(row(2, batch=2)))
    waiting.push_suspect(Open(row(3, LLAMA, batch=2)))

    assert [entry.request.position for entry in waiting.clear(1)] == [0, 1]
    assert waiting[1].bytes == 0
    assert [entry.request.position for entry in waiting.drop(LLAMA)] == [3]
    assert waiting.units == {MISTRAL: 1}
    assert waiting[2].bytes == 30


def test_a_unit_has_one_endpoint_until_its_requests_go_to_two():
    waiting = waiting_of(Batch(id=1))
    assert waiting.endpoint(MISTRAL) == ""

    waiting.push(Open(structs.replace(row(0), content=Content(endpoint="/api/embed"))))
    waiting.push(Open(row(1, LLAMA)))
    assert (waiting.endpoint(MISTRAL), waiting.endpoint(LLAMA)) == ("/api/embed", "/api/chat")

    take(waiting)
    assert waiting.endpoint(MISTRAL) == "/api/embed"  # what runs has to be proved too
    waiting.push(Open(row(2)))
    waiting.push(Open(structs.replace(row(3), content=Content(endpoint="/api/embed"))))
    assert waiting.endpoint(MISTRAL) == ""
