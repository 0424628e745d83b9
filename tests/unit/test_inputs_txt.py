import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.inputs.lines import Line
from arriero.inputs.row import BadRow, Row, row_hash
from arriero.inputs.txt import hash_of_text, is_blank, parse_text


def line(text, number=1):
    return Line(number, 0, text)


def test_a_prompt_is_stripped_and_otherwise_the_line():
    row = parse_text(3, line("\u3000 say  'hi'\t\u2028there\u00a0".encode(), 7))

    assert row.prompt == "say  'hi'\t\u2028there"
    assert (row.position, row.line, row.id, row.priority) == (3, 7, "7", 0)
    assert row.hash == row_hash("say  'hi'\t\u2028there".encode())


def test_surrounding_whitespace_does_not_change_the_hash():
    assert parse_text(0, line(b"  hi ")).hash == parse_text(0, line("hi\u00a0".encode())).hash


@pytest.mark.parametrize("blank", ["", " ", "\t\x0b\x0c", "\u00a0", " \u3000\u2028", "\x1c\x1f"])
def test_a_line_of_whitespace_is_no_row(blank):
    assert is_blank(line(blank.encode()))


@pytest.mark.parametrize("text", [b"\xff", b" \xff\xc2\xa0", b"\0", b"\xc2\xa0x", b"\xef\xbb\xbf"])
def test_a_line_with_anything_else_is_never_dropped(text):
    assert not is_blank(line(text))


def test_bytes_that_are_not_utf8_are_a_bad_line_with_their_column():
    row = parse_text(0, line("h\u00e9llo ".encode() + b"\xff\xfe", 4))

    assert isinstance(row, BadRow)
    assert (row.line, row.column, row.reason) == (4, 7, "not UTF-8; save the file as UTF-8")
    assert row.hash == row_hash("h\u00e9llo ".encode() + b"\xff\xfe")


def test_a_raw_nul_is_a_bad_line_with_its_column():
    row = parse_text(0, line(b"ab\0c"))

    assert (row.column, row.reason) == (3, "a NUL byte")


def test_template_fields_of_a_text_row_are_its_text():
    row = parse_text(0, line(b'say "hi"'))

    assert {name: bytes(value) for name, value in row.fields.items()} == {
        "prompt": b'"say \\"hi\\""',
        "text": b'"say \\"hi\\""',
    }
    assert row.extra is None


@given(st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_blank_a_prompt_unchanged_or_a_bad_line(text):
    row = parse_text(0, line(text))

    try:
        meant = text.decode()
    except UnicodeDecodeError:
        assert isinstance(row, BadRow)
        return
    if is_blank(line(text)):
        assert meant.strip() == ""
    elif "\0" in meant:
        assert isinstance(row, BadRow)
    else:
        assert isinstance(row, Row)
        assert row.prompt == meant.strip()


@given(
    st.binary(max_size=40)
    | st.text(alphabet="a \t\r\x0b\x0c\x1c\x1d\x1e\x1f\0\u00a0\u2028", max_size=9).map(str.encode)
)
def test_the_hash_of_a_line_is_that_of_its_row(text):
    assert hash_of_text(line(text)) == parse_text(0, line(text)).hash
