"""The rows of the fault matrix that a wire can show: each cell one real exchange, in each dialect, streamed and whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cells_answers import JUNK
from cells_bounds import BROKEN
from cells_framing import ODD
from cells_patience import PATIENCE
from flying import SESSION, attempt, failure, looped, outcome, text
from scripted import Scripted
from socket_world import HttpEngine
from spoken import TEXT, Talk, good
from wire_cells import Cell

from arriero.backends.wire import Backend
from arriero.core.outcome import Outcome
from arriero.engines.address import Address
from arriero.engines.threads import ThreadsEngine

pytestmark = pytest.mark.timeout(20)

SCALE = 100.0
"""Engine seconds in a real one."""


CELLS = [*JUNK, *PATIENCE, *BROKEN, *ODD]
TALKS = [Talk(dialect, stream) for dialect in ("ollama", "openai") for stream in (True, False)]
EXCHANGES = [(cell, talk) for cell in CELLS for talk in TALKS if cell.only in talk.name]


def check_end(end: Outcome, cell: Cell) -> None:
    """The outcome is what the cell promises."""
    if cell.kind is None:
        assert text(end) == "".join(cell.texts)
        return
    failed = failure(end)
    crashed = failed.crashed if cell.crashed is None else cell.crashed
    assert (failed.kind, failed.crashed, failed.retry_after_s) == (cell.kind, crashed, cell.retry_after_s), failed
    assert cell.words in failed.detail, failed
    assert failed.latency_s > 0


@pytest.mark.parametrize(("cell", "talk"), [pytest.param(c, t, id=f"{c.row}-{c.name}-{t.name}") for c, t in EXCHANGES])
@looped
async def test_each_cell_of_the_matrix_ends_as_it_must_and_the_next_answer_is_whole(
    cell: Cell, talk: Talk, dialects: dict[str, Backend], engine_class: type[HttpEngine]
) -> None:
    if engine_class is ThreadsEngine and cell.threads is not None:
        cell = replace(cell, kind=cell.threads[0], words=cell.threads[1])
    server = Scripted(cell.script(talk), [good(talk)])
    async with (
        server.listening() as url,
        engine_class({"fake": Address(url)}, dialects, SESSION, SCALE) as engine,
    ):
        sent = {"backend": talk.dialect, "stream": talk.stream}
        check_end(await outcome(engine, attempt(1, timeouts=cell.timeouts, **sent)), cell)
        dropped = not cell.kept or talk.name == "openai-stream"
        if dropped:
            await server.gone(0)  # the slot is free: nothing runs for the attempt any more
        assert text(await outcome(engine, attempt(2, **sent))) == TEXT
    # What asyncio has read by the way is kept; threads close a connection on which something was left unread.
    assert server.connections == 2 if dropped else server.connections <= 1 + (engine_class is ThreadsEngine)
    n_read = 1 if cell.name == "reset-before-the-request-is-read" else 2
    assert len(server.requests) == n_read, "nothing is sent twice"
