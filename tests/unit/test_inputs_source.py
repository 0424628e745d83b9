import os

import pytest

from arriero.errors import InputError
from arriero.inputs.row import BadRow
from arriero.inputs.sequence import SequenceSource, row_of_item
from arriero.inputs.source import FileSource


def test_a_missing_file_is_told_by_name(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.txt: No such file"):
        FileSource.open(str(tmp_path / "nowhere.txt"), "txt")


def test_a_folder_and_a_pipe_are_no_input(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError, match="not a regular file"):
            FileSource.open(str(path), "txt")


@pytest.mark.parametrize("input_format", ["txt", "jsonl"])
def test_what_is_known_of_a_line_is_what_its_row_says(tmp_path, input_format):
    path = tmp_path / "rows"
    path.write_bytes(b' {"prompt": "a", "id": "x"} \n\n{"prompt": "b"}\nplain \xc2\xa0\n\xff\n')
    source = FileSource.open(str(path), input_format)

    for line, row in zip(source.lines(), source.rows(), strict=True):
        assert source.known(line) == (row.hash, row.own_id)
    source.close()


def test_items_of_a_sequence_keep_their_places_and_blank_ones_are_bad_rows():
    source = SequenceSource(["one ", "", {"prompt": "three", "id": "x", "note": 1}, {"text": "y"}])
    rows = list(source.rows())

    assert [row.position for row in rows] == [0, 1, 2, 3]
    assert (rows[0].prompt, rows[0].id) == ("one ", "1")
    assert (rows[1].reason, rows[2].id, bytes(rows[2].extra)) == ("prompt is empty", "x", b'{"note":1}')
    assert isinstance(rows[3], BadRow)
    assert [source.known(line)[0] for line in source.lines()] == [row.hash for row in rows]


@pytest.mark.parametrize(
    "item", [{"prompt": "a", "x": float("nan")}, {"prompt": "a", "x": object()}, "\ud800", {"prompt": "a", "x": {1, 2}}]
)
def test_an_item_without_a_json_form_is_a_bad_row(item):
    assert row_of_item(3, item).reason == "the item has no JSON form"


def test_a_string_is_a_prompt_also_when_it_looks_like_json():
    assert row_of_item(0, '{"prompt": "a"}').prompt == '{"prompt": "a"}'
