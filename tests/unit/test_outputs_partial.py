import io
import json
import resource
import signal
import stat
from contextlib import contextmanager

import pytest

from arriero.errors import OutputError, StorageError
from arriero.outputs.partial import ARRAY, LINES, PartialFile, StreamFile


@contextmanager
def files_at_most(size_bytes):
    """The system takes the bytes up to this size of a file and refuses the rest: a real short write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def written(path, frame, records):
    file = PartialFile(path, frame)
    file.open()
    for record in records:
        file.append(record)
    return file


@pytest.mark.parametrize("records", [[], [b"1"], [b"1", b'{"a":2}', b"3"]])
def test_an_array_is_valid_json_of_any_length(tmp_path, records):
    path = written(tmp_path / "r.json", ARRAY, records).publish()

    assert json.loads(path.read_bytes()) == [json.loads(record) for record in records]
    assert path.read_bytes().endswith(b"]\n")


@pytest.mark.parametrize("records", [[], [b"1"], [b"1", b"2"]])
def test_each_line_ends(tmp_path, records):
    path = written(tmp_path / "r.jsonl", LINES, records).publish()

    assert path.read_bytes() == b"".join(record + b"\n" for record in records)


def test_nothing_has_the_final_name_before_it_is_whole(tmp_path):
    path = tmp_path / "r.json"
    file = written(path, ARRAY, [b"1"])
    file.flush()
    assert not path.exists()
    assert file.partial.exists()
    file.publish()

    assert [found.name for found in tmp_path.iterdir()] == ["r.json"]


def test_a_stopped_output_stays_whole_under_its_partial_name(tmp_path):
    path = tmp_path / "r.json"
    partial = written(path, ARRAY, [b"1", b"2"]).end()

    assert json.loads(partial.read_bytes()) == [1, 2]
    assert not path.exists()


def test_the_file_is_for_its_owner_only(tmp_path):
    (tmp_path / "r.json.partial").write_bytes(b"left over")
    (tmp_path / "r.json.partial").chmod(0o666)
    path = written(tmp_path / "r.json", ARRAY, [b"1"]).publish()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_bytes()) == [1]


def test_a_link_in_the_place_of_the_partial_file_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "r.json.partial").symlink_to(victim)

    with pytest.raises(OutputError, match=r"r\.json\.partial is a symbolic link"):
        PartialFile(tmp_path / "r.json", ARRAY).open()
    assert victim.read_text() == "precious"


def test_a_missing_folder_is_the_users_mistake(tmp_path):
    with pytest.raises(OutputError, match=r"gone/r\.json\.partial: No such file"):
        PartialFile(tmp_path / "gone" / "r.json", ARRAY).open()


@pytest.mark.parametrize("limit_bytes", range(8, 38))
def test_a_full_disk_leaves_whole_lines_and_says_where_and_how_much_is_free(tmp_path, limit_bytes):
    file = written(tmp_path / "r.jsonl", LINES, [b'{"a":1}', b'{"b":22}', b'{"c":333}', b'{"d":4444}'])
    with files_at_most(limit_bytes), pytest.raises(StorageError, match=r"r\.jsonl\.partial.*MB free") as failed:
        file.flush()
    lines = file.partial.read_bytes()
    whole = [b'{"a":1}\n', b'{"b":22}\n', b'{"c":333}\n', b'{"d":4444}\n']

    assert failed.value.exit_code == 7
    assert lines in [b"".join(whole[:n]) for n in range(5)]
    assert len(lines) + len(whole[lines.count(b"\n")]) > limit_bytes


@pytest.mark.parametrize("limit_bytes", range(24, 48))
def test_a_full_disk_leaves_a_valid_array_when_there_is_room_to_close_it(tmp_path, limit_bytes):
    file = written(tmp_path / "r.json", ARRAY, [b'"1234567890"'] * 3)
    with files_at_most(limit_bytes), pytest.raises(StorageError):
        file.flush()
    text = file.partial.read_text()

    assert json.loads(text if text.endswith("]\n") else text + "]") == ["1234567890"] * text.count("123")


@pytest.mark.parametrize("limit_bytes", [3, 15])
def test_a_full_disk_that_takes_no_record_leaves_an_empty_array(tmp_path, limit_bytes):
    file = written(tmp_path / "r.json", ARRAY, [b'"1234567890"'] * 3)
    with files_at_most(limit_bytes), pytest.raises(StorageError):
        file.flush()

    assert file.partial.read_bytes() == b"[]\n"


def test_a_full_disk_at_the_very_end_is_told_too(tmp_path):
    file = written(tmp_path / "r.json", ARRAY, [b"1"])
    with files_at_most(5), pytest.raises(StorageError):
        file.publish()

    assert not (tmp_path / "r.json").exists()


def test_lines_that_were_flushed_before_stay(tmp_path):
    file = written(tmp_path / "r.jsonl", LINES, [b"1"])
    file.flush()
    file.append(b"22222222")
    with files_at_most(5), pytest.raises(StorageError):
        file.flush()

    assert file.partial.read_bytes() == b"1\n"


def test_a_stream_gets_the_same_bytes(tmp_path):
    stream = io.BytesIO()
    sink = StreamFile(stream, ARRAY)
    for record in (b"1", b"2"):
        sink.append(record)
    sink.end()

    assert stream.getvalue() == written(tmp_path / "r", ARRAY, [b"1", b"2"]).publish().read_bytes()
