"""Files and standard input: every line once, in order, bound to what was finished before."""

from __future__ import annotations

import os
import threading

from fuzzing import fuzzed
from hypothesis import strategies as st
from input_rows import blank, damage, damaged, lines, numbered
from mutants import CANARY

from arriero.core.request import Request
from arriero.errors import BindingError, InputError
from arriero.inputs.bind import Binder
from arriero.inputs.feed import Feed
from arriero.inputs.row import Row
from arriero.inputs.scan import Scan
from arriero.inputs.source import FileSource
from arriero.inputs.spool import spool
from arriero.journal.done import Done


def carried(source, *, done=(), finished=None, stop_at_bad=False):
    """What a scan and a feed make of a source: what they hand out, and the scan's error."""
    binder = Binder(model="m")
    scan = Scan(source, binder, stop_at_bad=stop_at_bad, finished=finished)
    feed = Feed(source, binder, scan, done=Done.of(len(done), ((row, 1) for row in done)), attempts_used={}, batch=1)
    scan.start()
    assert scan.wait(30)
    taken = []
    for _ in range(100):
        taken += feed.take(1000, 1 << 24)
        if feed.ended or feed.error is not None:
            break
    return taken, feed.error


@fuzzed(
    150,
    folder=True,
    given=lines,
    ends=st.sampled_from((b"\n", b"\r\n")),
    kind=st.sampled_from(("txt", "jsonl")),
    stop=st.booleans(),
)
def test_scan_feed_and_binder_hand_out_every_line_once_or_name_the_first_bad_one(folder, given, ends, kind, stop):
    data = ends.join(given)
    path = folder / f"rows.{kind}"
    path.write_bytes(data)
    source = FileSource.open(str(path), kind)
    try:
        taken, error = carried(source, stop_at_bad=stop)
        parsed = list(source.rows())
    finally:
        source.close()
    wanted = [(number, text) for number, text in numbered(data) if not blank(text)]
    assert [row.line for row in parsed] == [number for number, _ in wanted]
    if error is not None:
        assert isinstance(error, InputError)
        assert str(path) in error.message
        assert CANARY not in error.message
        return
    ended = [one if isinstance(one, Request) else one.request for one in taken]
    assert [(one.line, one.position) for one in ended] == [(number, at) for at, (number, _) in enumerate(wanted)]
    assert [one.row_hash for one in ended] == [row.hash for row in parsed]
    if kind == "txt":
        sent_texts = [one.content.prompt for one in taken if isinstance(one, Request)]
        assert sent_texts == [row.prompt for row in parsed if isinstance(row, Row)]


@fuzzed(120, folder=True, given=lines, at=st.integers(0, 9), plan=damage, kind=st.sampled_from(("txt", "jsonl")))
def test_a_row_that_changed_after_it_was_finished_is_found_with_its_line(folder, given, at, plan, kind):
    path = folder / f"bound.{kind}"
    path.write_bytes(b"\n".join(given))
    source = FileSource.open(str(path), kind)
    before = [(row.position, row.hash, row.position % 2 == 0) for row in source.rows()]
    lines_before = [row.line for row in source.rows()]
    source.close()
    if not before:
        return
    position = at % len(before)
    changed = list(numbered(path.read_bytes()))
    number, text = changed[lines_before[position] - 1]
    new = damaged(text, plan)
    changed[number - 1] = (number, new)
    path.write_bytes(b"\n".join(line for _, line in changed))
    source = FileSource.open(str(path), kind)
    try:
        standing = list(source.rows())
        _, error = carried(source, done=range(len(before)), finished=iter(before))
    finally:
        source.close()
    differs = next((at for at, was in enumerate(before) if at >= len(standing) or standing[at].hash != was[1]), None)
    if differs is None:
        assert not isinstance(error, BindingError)
    elif not (isinstance(error, InputError) and not isinstance(error, BindingError)):
        assert isinstance(error, BindingError)
        where = f":{standing[differs].line}: the row has changed" if differs < len(standing) else "had at least"
        assert where in error.message


@fuzzed(40, folder=True, data=st.one_of(st.binary(max_size=200), lines.map(b"\n".join)), size=st.integers(1, 50))
def test_standard_input_is_spooled_byte_for_byte(folder, data, size):
    out, into = os.pipe()
    path = folder / "stdin"
    path.unlink(missing_ok=True)

    def write() -> None:
        with open(into, "wb", buffering=0) as pipe:  # noqa: PTH123 - a descriptor
            pipe.writelines(data[start : start + size] for start in range(0, len(data), size))

    writer = threading.Thread(target=write)  # a pipe may be full before anybody reads
    writer.start()
    source = spool(out, str(path), "txt")
    try:
        spooled = [line.text for line in source.lines()]
    finally:
        writer.join()
        source.release()
        source.close()
        os.close(out)
    assert spooled == [text for _, text in numbered(data) if not blank(text)]
    if data:
        held = path if path.exists() else path.with_name("stdin.partial")
        assert held.read_bytes() == data
