import threading
from pathlib import Path

import pytest

from arriero.errors import BindingError, InputError, StorageError
from arriero.inputs.bind import Binder
from arriero.inputs.duplicates import Duplicates
from arriero.inputs.lines import Mark
from arriero.inputs.scan import Scan
from arriero.inputs.sequence import SequenceSource
from arriero.inputs.source import FileSource
from arriero.inputs.template import Template

LIMIT_S = 10


@pytest.fixture
def opened(tmp_path):
    sources = []

    def write(text, input_format="txt", **options):
        path = tmp_path / f"rows{len(sources)}.{input_format}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        sources.append(FileSource.open(str(path), input_format, name="rows", **options))
        return sources[-1]

    yield write
    for source in sources:
        source.close()


def scanned(source, binder=None, **options):
    scan = Scan(source, binder or Binder(), **options)
    scan.start()
    assert scan.wait(LIMIT_S)
    return scan


def hashes(source):
    return [(row.position, row.hash, False) for row in source.rows()]


def test_rows_are_counted_without_blank_lines(opened):
    scan = scanned(opened("one\n\n \ntwo\nthree"))

    assert (scan.scanned, scan.total, scan.error) == (3, 3, None)


def test_an_empty_input_has_no_rows(opened):
    assert scanned(opened("")).total == 0


def test_a_bad_line_stops_with_file_line_and_column(opened):
    scan = scanned(opened(b"one\n\nt\xffwo\nthree"))

    assert isinstance(scan.error, InputError)
    assert scan.error.message == "rows:3:2: not UTF-8; save the file as UTF-8"
    assert "--on-bad-line fail" in scan.error.hint
    assert (scan.scanned, scan.total) == (1, None)


def test_bad_lines_are_counted_when_they_are_to_fail(opened):
    scan = scanned(opened(b"one\n\xff\nthree\n\0x"), stop_at_bad=False)

    assert (scan.total, scan.bad_rows, scan.error) == (4, 2, None)


def test_a_row_the_template_cannot_be_filled_from_is_a_bad_line(opened):
    source = opened('{"text": "a"}\n{"title": "b"}\n', "jsonl", templated=True)
    scan = scanned(source, Binder(template=Template.parse("{text}")))

    assert scan.error.message == "rows:2:1: the template wants 'text'; the fields are: 'title'"


def test_rows_by_model_and_refused_rows_are_counted(opened):
    rows = ['{"prompt": "a"}', '{"prompt": "a", "model": "x"}', '{"prompt": "a", "model": "x"}']
    rows.append('{"messages": [{"role": "tool", "content": "a"}]}')
    scan = scanned(opened("\n".join(rows), "jsonl"))

    assert (scan.models, scan.refused_rows) == ({"": 2, "x": 2}, 1)


@pytest.mark.parametrize("changed", [0, 1, 254, 255, 256, 257, 1023, 1024, 1025, 2500])
def test_a_changed_row_among_thousands_is_found_with_its_line(opened, changed):
    before = hashes(opened("".join(f"row {row}\n\n" for row in range(3000))))
    rows = [f"row {row if row != changed else 'x'}\n\n" for row in range(3000)]
    scan = scanned(opened("".join(rows)), finished=iter(before))

    assert isinstance(scan.error, BindingError)
    assert scan.error.message.startswith(f"rows:{2 * changed + 1}: the row has changed")
    assert scan.scanned == changed


@pytest.mark.parametrize("gaps", [(), (5,), (255, 256, 257), tuple(range(0, 3000, 3)), tuple(range(1500, 3000))])
def test_finished_rows_with_gaps_between_are_all_compared_and_counted(opened, gaps):
    source = opened("".join(f"row {row}\n" for row in range(3000)))
    finished = [one for one in hashes(source) if one[0] not in gaps]
    scan = scanned(source, finished=iter(finished), previous_total=3000)

    assert (scan.error, scan.total, scan.models) == (None, 3000, {"": len(gaps)})
    last = finished[-1]
    scan = scanned(source, finished=iter([*finished[:-1], (last[0], b"another".ljust(16), False)]))
    assert isinstance(scan.error, BindingError)


def test_rows_by_model_are_those_that_are_not_finished(opened):
    source = opened('{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": "c"}\n{"prompt": "d", "model": "x"}\n', "jsonl")
    scan = scanned(source, finished=iter(hashes(source)[:2]))

    assert scan.models == {"": 1, "x": 1}


def test_only_the_first_rows_are_read_when_so_asked(opened):
    scan = scanned(opened(b"one\ntwo\n\xff"), first=2)

    assert (scan.total, scan.error) == (2, None)


@pytest.mark.parametrize(
    ("rows", "line", "own", "first"),
    [
        (['{"prompt": "a", "id": "x"}', "", '{"prompt": "b", "id": "x"}'], 3, "x", 1),
        (['{"prompt": "a"}', '{"prompt": "b", "id": "1"}'], 2, "1", 1),
        (['{"prompt": "a", "id": "3"}', '{"prompt": "b"}', '{"prompt": "c"}'], 3, "3", 1),
        (['{"prompt": "a", "custom_id": "x"}', '{"prompt": "b", "id": "x"}'], 2, "x", 1),
    ],
)
def test_a_duplicate_id_names_both_lines(opened, rows, line, own, first):
    scan = scanned(opened("\n".join(rows), "jsonl"))

    assert isinstance(scan.error, InputError)
    assert scan.error.message == f"rows:{line}: the id '{own}' stands already on line {first}"


def test_a_duplicate_id_is_found_after_the_ids_went_to_a_file(opened):
    rows = [f'{{"prompt": "a", "id": "id-{row}"}}' for row in range(30)] + ['{"prompt": "b", "id": "id-25"}']
    scan = Scan(opened("\n".join(rows), "jsonl"), Binder())
    scan._duplicates = Duplicates(in_memory_max=8)
    scan.start()
    scan.wait(LIMIT_S)

    assert scan.error.message == "rows:31: the id 'id-25' stands already on line 26"
    assert scan.total is None


def test_ids_that_only_look_alike_are_no_duplicates(opened, monkeypatch):
    monkeypatch.setattr("arriero.inputs.duplicates.hash", lambda _: 7, raising=False)
    rows = [f'{{"prompt": "a", "id": "id-{row}"}}' for row in range(5)]

    assert scanned(opened("\n".join(rows), "jsonl")).total == 5


def test_a_numeric_id_on_the_number_of_a_blank_line_is_no_duplicate(opened):
    assert scanned(opened('{"prompt": "a"}\n\n{"prompt": "b", "id": "2"}', "jsonl")).total == 2


@pytest.mark.parametrize("input_format", ["txt", "jsonl"])
def test_an_unchanged_input_agrees_with_what_was_finished(opened, input_format):
    source = opened('{"prompt": "a"}\n{"prompt": ""}\n{"prompt": "c", "id": "x"}\n', input_format)
    scan = scanned(source, finished=iter(hashes(source)), previous_total=3)

    assert (scan.total, scan.error, scan.appended) == (3, None, 0)


def test_a_changed_finished_row_is_found_with_its_line_before_it_may_be_skipped(opened):
    before = hashes(opened("one\n\ntwo\nthree\n"))
    scan = scanned(opened("one\n\nTWO\nthree\n"), finished=iter(before))

    assert isinstance(scan.error, BindingError)
    assert scan.error.message == "rows:3: the row has changed since it was finished"
    assert scan.scanned == 1


def test_a_changed_row_that_is_not_finished_may_change(opened):
    before = hashes(opened("one\ntwo\nthree\n"))
    del before[1]

    assert scanned(opened("one\nTWO\nthree\n"), finished=iter(before)).total == 3


def test_a_row_that_was_inserted_or_taken_out_is_a_change(opened):
    before = hashes(opened("one\ntwo\nthree\n"))

    assert "rows:2:" in scanned(opened("one\nnew\ntwo\nthree\n"), finished=iter(before)).error.message
    assert "rows:2:" in scanned(opened("one\nthree\n"), finished=iter(before)).error.message


def test_a_finished_row_that_is_missing_at_the_end_is_told(opened):
    before = hashes(opened("one\ntwo\nthree\n"))
    scan = scanned(opened("one\ntwo\n"), finished=iter(before))

    assert isinstance(scan.error, BindingError)
    assert scan.error.message == "rows: has 2 rows, and had at least 3 when the journal was written"
    assert scan.total is None


def test_an_unfinished_row_that_is_missing_at_the_end_is_told(opened):
    scan = scanned(opened("one\n"), finished=iter(hashes(opened("one\n"))), previous_total=2)

    assert isinstance(scan.error, BindingError)


def test_rows_that_were_appended_are_accepted_and_counted(opened):
    before = hashes(opened("one\ntwo\n"))
    scan = scanned(opened("one\ntwo\nthree\nfour"), finished=iter(before), previous_total=2)

    assert (scan.total, scan.appended) == (4, 2)


def test_finished_rows_beyond_first_are_no_missing_rows(opened):
    source = opened("one\ntwo\nthree\n")

    assert scanned(source, finished=iter(hashes(source)), first=1, previous_total=3).error is None


def test_what_is_appended_while_it_runs_is_not_read_and_told(opened):
    source = opened("one\n")
    with Path(source.path).open("ab") as file:
        file.write(b"two\n")

    assert scanned(source).total == 1
    assert source.state() == "grew"


def test_an_input_that_became_shorter_is_an_error(opened):
    source = opened("one\ntwo\nthree\n")
    with Path(source.path).open("r+b") as file:
        file.truncate(4)

    assert "became shorter" in scanned(source).error.message
    assert source.state() == "shrank"


def test_an_error_of_the_journal_stops_the_scan(opened):
    def finished():
        yield from ()
        raise StorageError("gone")

    assert isinstance(scanned(opened("one\n"), finished=finished()).error, StorageError)


def test_the_loop_is_woken_once_when_the_row_it_waits_for_came_and_at_the_end(opened):
    calls = []
    scan = Scan(opened("one\ntwo\nthree\n"), Binder(), on_progress=lambda: calls.append(scan.scanned))
    scan.wanted = 1
    scan.start()
    scan.wait(LIMIT_S)
    scan.stop()

    assert calls == [2, 3]


def test_marks_are_places_to_read_on_from(opened):
    source = opened("".join(f"row {row}\n\n" for row in range(3000)))
    scan = scanned(source)

    for position in (0, 1023, 1024, 2999):
        mark = scan.mark(position)
        assert mark.position == position - position % 1024
        assert next(source.rows(mark)).prompt == f"row {mark.position}"
        assert next(source.rows(mark)).line == 2 * mark.position + 1


def test_a_scan_that_is_stopped_has_no_total(opened):
    source = opened("one\n" * 3000)
    blocked, free = threading.Event(), threading.Event()

    def wait_at_first_row():
        blocked.set()
        free.wait(LIMIT_S)

    scan = Scan(source, Binder(), on_progress=wait_at_first_row)
    scan.wanted = 0
    scan.start()
    blocked.wait(LIMIT_S)
    scan._stopping = True
    free.set()
    scan.stop()

    assert (scan.total, scan.error) == (None, None)


def test_a_python_sequence_is_scanned_like_a_file():
    source = SequenceSource(["one", {"prompt": "two", "id": "x"}, {"prompt": "three", "id": "x"}], name="prompts")
    scan = scanned(source)

    assert scan.error.message == "prompts:3: the id 'x' stands already on line 2"
    assert scan.mark(2) == Mark()


def hint_of(source, template=None):
    return scanned(source, Binder(template=Template.parse(template)) if template else None).error.hint


def test_a_field_that_the_first_row_has_not_is_a_mistake_of_the_template(opened):
    assert "write {text} in --prompt" in hint_of(opened('{"text": "a"}\n', "jsonl", templated=True), "{txt}")
    later = opened('{"text": "a"}\n{"txet": "b"}\n', "jsonl", templated=True)
    assert "Mend the line" in hint_of(later, "{text}")


def test_rows_without_a_prompt_are_told_the_flag_that_makes_one(opened):
    assert hint_of(opened('{"text": "a"}\n', "jsonl")) == "make the prompt of fields: --prompt '{text}'"
    assert "Mend the line" in hint_of(opened('{"prompt": "a"}\n{"text": "a"}\n', "jsonl"))


def test_an_integer_id_and_the_same_digits_as_text_are_duplicates(opened):
    scan = scanned(opened('{"prompt": "a", "id": 7}\n{"prompt": "b", "id": "7"}\n', "jsonl"))

    assert "the id '7' stands already on line 1" in scan.error.message
