import io
import json
import tracemalloc

import pytest

from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.errors import BindingError, StorageError
from arriero.inputs.row import BadRow, Row, row_hash
from arriero.journal.stored import StoredResult
from arriero.outputs.export import export, export_stream

FORMATS = ["json", "jsonl", "openai"]


def row(position):
    raw = f"question {position}".encode()
    return Row(position=position, line=position + 1, raw=raw, is_text=True, prompt=raw.decode())


def outcome(position):
    if position % 5 == 3:
        return Failure(kind=FailureKind.TIMEOUT, latency_s=30.0)
    return Success(
        text=f"answer {position}",
        finish_reason="stop",
        usage=Usage(prompt_tokens=3, output_tokens=position),
        timing=Timing(latency_s=1.5),
        model="m",
    )


def stored(position, **more):
    fields = {
        "batch": 1,
        "position": position,
        "round": 0,
        "id": str(position + 1),
        "row_hash": row_hash(f"question {position}".encode()),
        "outcome": outcome(position),
        "model": "m",
        "instance": "gpu-01",
        "attempts": 1,
        "attempt": position,
        "session": "",
        "ended_at": 1.0,
    }
    return StoredResult(**(fields | more))


def rows(count):
    return (row(position) for position in range(count))


def results(*positions):
    return (stored(position) for position in positions)


def test_json_is_an_indented_array_in_input_order(tmp_path):
    path = tmp_path / "r.json"
    exported = export(str(path), "json", rows(6), results(*range(6)), complete=True)
    text = path.read_text()
    array = json.loads(text)

    assert (exported.paths, exported.rows, exported.succeeded, exported.failed) == ((path,), 6, 5, 1)
    assert text == json.dumps(array, indent=2, ensure_ascii=False) + "\n"
    assert [(record["prompt"], record.get("response"), record["status"]) for record in array[2:5]] == [
        ("question 2", "answer 2", "success"),
        ("question 3", None, "failed"),
        ("question 4", "answer 4", "success"),
    ]


def test_jsonl_is_the_same_one_a_line(tmp_path):
    export(str(tmp_path / "r.json"), "json", rows(6), results(*range(6)), complete=True)
    export(str(tmp_path / "r.jsonl"), "jsonl", rows(6), results(*range(6)), complete=True)
    lines = (tmp_path / "r.jsonl").read_bytes().split(b"\n")

    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == json.loads((tmp_path / "r.json").read_bytes())


def test_openai_puts_each_row_into_exactly_one_of_two_files(tmp_path):
    exported = export(str(tmp_path / "r.jsonl"), "openai", rows(10), results(*range(10)), complete=True)
    answers, errors = ([json.loads(line) for line in path.read_bytes().splitlines()] for path in exported.paths)

    assert [path.name for path in exported.paths] == ["r.jsonl", "r.errors.jsonl"]
    assert [line["custom_id"] for line in errors] == ["4", "9"]
    assert [line["custom_id"] for line in answers] == ["1", "2", "3", "5", "6", "7", "8", "10"]
    assert all(line["error"] is None for line in answers)


@pytest.mark.parametrize("output_format", FORMATS)
def test_exported_twice_the_bytes_are_the_same(tmp_path, output_format):
    both = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        output = str(tmp_path / name / "r.jsonl")
        exported = export(output, output_format, rows(20), results(*range(20)), complete=True)
        both.append([path.read_bytes() for path in exported.paths])

    assert both[0] == both[1]


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_stopped_batch_leaves_what_there_is_whole_under_partial_names(tmp_path, output_format):
    exported = export(str(tmp_path / "r.jsonl"), output_format, rows(9), results(1, 3, 7), complete=False)

    assert (exported.rows, exported.succeeded) == (3, 2)
    assert all(path.name.endswith(".partial") for path in exported.paths)
    assert sorted(tmp_path.iterdir()) == sorted(exported.paths)
    if output_format == "json":
        assert [record["id"] for record in json.loads(exported.paths[0].read_bytes())] == ["2", "4", "8"]


def test_a_later_export_takes_the_place_of_the_earlier_one_and_of_its_partial_file(tmp_path):
    path = tmp_path / "r.json"
    export(str(path), "json", rows(4), results(0), complete=False)
    export(str(path), "json", rows(4), results(0, 1), complete=True)
    export(str(path), "json", rows(4), results(0, 1, 2), complete=True)

    assert [found.name for found in tmp_path.iterdir()] == ["r.json"]
    assert len(json.loads(path.read_bytes())) == 3


def test_no_rows_make_an_empty_array(tmp_path):
    export(str(tmp_path / "r.json"), "json", rows(0), results(), complete=True)

    assert (tmp_path / "r.json").read_bytes() == b"[]\n"


def test_a_row_that_has_changed_is_named_and_nothing_gets_the_final_name(tmp_path):
    changed = stored(2, row_hash=row_hash(b"another question"))
    with pytest.raises(BindingError, match="line 3 of the input has changed"):
        export(str(tmp_path / "r.json"), "json", rows(4), iter([stored(0), changed]), complete=True)

    assert not (tmp_path / "r.json").exists()


def test_a_row_that_is_gone_is_named(tmp_path):
    with pytest.raises(BindingError, match="no row 5, but the journal has its result"):
        export(str(tmp_path / "r.json"), "json", rows(3), results(0, 4), complete=True)


def test_a_salvaged_result_is_written_without_its_hash(tmp_path):
    salvaged = iter([stored(0, row_hash=b"")])

    assert export(str(tmp_path / "r.json"), "json", rows(1), salvaged, complete=True).rows == 1


def test_bad_lines_stand_at_their_place(tmp_path):
    bad = BadRow(position=1, line=2, column=4, reason="not valid UTF-8", hash=b"h" * 16)
    ends = [stored(0), stored(1, outcome=bad.failure, row_hash=bad.hash), stored(2)]
    export(str(tmp_path / "r.json"), "json", [row(0), bad, row(2)], iter(ends), complete=True)
    array = json.loads((tmp_path / "r.json").read_bytes())

    assert [record["prompt"] for record in array] == ["question 0", None, "question 2"]


@pytest.mark.parametrize("output_format", ["json", "jsonl"])
def test_standard_output_gets_the_same_bytes_as_a_file(tmp_path, output_format):
    stream = io.BytesIO()
    export(str(tmp_path / "r"), output_format, rows(7), results(*range(7)), complete=True)
    exported = export_stream(stream, output_format, rows(7), results(*range(7)))

    assert stream.getvalue() == (tmp_path / "r").read_bytes()
    assert exported.paths == ()


def test_a_reader_that_has_enough_is_no_fault_of_the_storage():
    class Closed(io.BytesIO):
        def write(self, data):
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        export_stream(Closed(), "jsonl", rows(1), results(0))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path):
    peaks = []
    for count in (5_000, 50_000):
        tracemalloc.start()
        export(str(tmp_path / "r.json"), "json", rows(count), map(stored, range(count)), complete=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.1 * peaks[0]


def test_the_answers_have_their_name_only_once_the_errors_have_theirs(tmp_path):
    (tmp_path / "r.errors.jsonl").mkdir()

    with pytest.raises(StorageError):
        export(str(tmp_path / "r.jsonl"), "openai", rows(10), results(*range(10)), complete=True)

    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.parametrize(("output_format", "expected"), [("json", b"[]\n"), ("jsonl", b"")])
def test_no_rows_make_an_empty_array_on_standard_output_too(output_format, expected):
    stream = io.BytesIO()
    export_stream(stream, output_format, rows(0), results())

    assert stream.getvalue() == expected
