import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.outcome import FailureKind
from arriero.core.request import Message
from arriero.inputs.jsonl import own_id_of, parse_json
from arriero.inputs.lines import Line
from arriero.inputs.row import BadRow, Row, row_hash


def parse(text, *, templated=False):
    raw = text if isinstance(text, bytes) else text.encode()
    return parse_json(0, Line(5, 0, raw), templated=templated)


def good(text, **options):
    row = parse(text, **options)
    assert isinstance(row, Row), row
    return row


def bad(text, **options):
    row = parse(text, **options)
    assert isinstance(row, BadRow), row
    return row


def test_every_field_of_a_row_is_read():
    row = good(
        '{"prompt": "hi", "id": "a", "model": "m", "system": "s", "options": {"seed": 1}, "format": {"type": "object"},'
        ' "images": ["aGk="], "max_tokens": 5, "timeout_s": 2.5, "priority": -3}'
    )

    assert (row.prompt, row.id, row.model, row.system) == ("hi", "a", "m", "s")
    assert (row.options, bytes(row.format), row.images) == ({"seed": 1}, b'{"type": "object"}', ("aGk=",))
    assert (row.max_tokens, row.timeout_s, row.priority) == (5, 2.5, -3)
    assert row.extra is None


def test_the_line_number_is_the_id_of_a_row_without_one():
    assert good('{"prompt": "hi"}').id == "5"
    assert good('{"prompt": "hi", "id": null}').id == "5"


def test_the_hash_covers_the_bytes_of_the_line():
    assert good('{"prompt": "hi"}').hash == row_hash(b'{"prompt": "hi"}')
    assert good('{"prompt":"hi"}').hash != good('{"prompt": "hi"}').hash


def test_other_fields_pass_through_byte_for_byte():
    big = "1" * 30
    row = good('{"prompt": "hi", "n": ' + big + ', "nested": {"a" : [1.50, null]}, "na\\u006de": "\\u0041"}')

    assert bytes(row.extra) == b'{"n":' + big.encode() + b',"nested":{"a" : [1.50, null]},"name":"\\u0041"}'


def test_an_escaped_nul_is_kept():
    assert good('{"prompt": "a\\u0000b"}').prompt == "a\0b"


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ('{"prompt": "a", "prompt": "b"}', 2, "the name 'prompt' stands twice"),
        ('{"prompt": "a:b", "x:y": 1, "x:y": 2}', 19, "the name 'x:y' stands twice"),
        ('{"prompt": "a", "x": {"b": 1}, "\\u0078": ":"}', 17, "the name 'x' stands twice"),
        ('{"prompt": "a", "x": NaN}', 22, "not JSON"),
        ('{"prompt": "\u00e9", "x": nan}', 23, "not JSON"),
        ('{"prompt": "a", "x": Infinity}', 22, "not JSON"),
        ('{"prompt": "\\ud800"}', 13, "not JSON: half of a surrogate pair"),
        ('{"prompt": "\\ud800x"}', 13, "not JSON"),
        ('{"prompt": "a", "x": "\\ud800\\u0041"}', 35, "not JSON"),
        ('{"prompt": "a"', 15, "not JSON: it ends too early"),
        ('{"prompt": "a"} {}', 18, "not JSON"),
        ("[1]", 1, "expected a JSON object, got array"),
        ('"hi"', 1, "expected a JSON object, got str"),
        ('{"prompt": "a\tb"}', 14, "not JSON"),
        ('{"prompt": 5}', 2, "prompt: Expected str, got int"),
        ('{"prompt": ""}', 2, "prompt is empty"),
        ('{"prompt": " \\n"}', 2, "prompt is empty"),
        ("{}", 1, "no prompt, messages or body; the fields are: none"),
        ('{"text": "a"}', 1, "no prompt, messages or body; the fields are: 'text'"),
        ('{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}', 17, "prompt and messages; give one"),
        ('{"messages": []}', 2, "messages is empty"),
        ('{"messages": [{"role": "user"}]}', 2, "message 1: content is missing"),
        ('{"messages": [{"content": "a"}]}', 2, "message 1 has no role"),
        ('{"messages": [{"role": "user", "content": "a"}, 7]}', 2, "message 2: expected a JSON object, got int"),
        ('{"messages": "a"}', 2, "messages: Expected array, got str"),
        ('{"messages": [{"role": "user", "content": "a"}], "images": ["aGk="]}', 50, "images beside messages"),
        ('{"prompt": "a", "id": 7.5}', 17, "id: Expected str, got float; write it in quotes"),
        ('{"prompt": "a", "id": ""}', 17, "id must have 1 to 65536 characters"),
        ('{"prompt": "a", "id": "' + "x" * 65_537 + '"}', 17, "id must have 1 to 65536 characters"),
        ('{"prompt": "a", "id": "b", "custom_id": "c"}', 17, "id and custom_id differ; give one"),
        ('{"prompt": "a", "custom_id": null}', 17, "custom_id must have 1 to 65536 characters"),
        ('{"custom_id": "c"}', 1, "custom_id without body"),
        ('{"prompt": "a", "max_tokens": 0}', 17, "max_tokens must be positive"),
        ('{"prompt": "a", "max_tokens": true}', 17, "max_tokens: Expected int"),
        ('{"prompt": "a", "max_tokens": 1.5}', 17, "max_tokens: Expected int"),
        ('{"prompt": "a", "timeout_s": 0}', 17, "timeout_s must be a positive number of seconds"),
        ('{"prompt": "a", "timeout_s": 1e999}', 17, "timeout_s: Number out of range"),
        ('{"prompt": "a", "priority": "high"}', 17, "priority: Expected int, got str"),
        ('{"prompt": "a", "format": "xml"}', 17, 'format must be "json" or a JSON schema'),
        ('{"prompt": "a", "images": "x"}', 17, "images: Expected array, got str"),
        ('{"prompt": "a", "options": [1]}', 17, "options: Expected object, got array"),
    ],
)
def test_a_malformed_row_is_a_bad_line_with_column_and_reason(text, column, reason):
    row = bad(text)

    assert row.line == 5
    assert row.reason.startswith(reason)
    assert row.column == column
    assert row.hash == row_hash(text.encode())


def test_bytes_that_are_not_utf8_are_found_inside_values_too():
    row = bad(b'{"prompt": "a", "x": "\xff"}')

    assert (row.column, row.reason) == (23, "not UTF-8; save the file as UTF-8")


def test_a_raw_nul_is_a_bad_line():
    assert bad(b'{"prompt": "a\0"}').reason == "a NUL byte"


def test_nesting_of_200_000_is_a_bad_line():
    assert bad('{"prompt": "a", "x": ' + "[" * 200_000 + "]" * 200_000 + "}").reason == "JSON nested too deep"
    assert bad('{"prompt": ' + "[" * 200_000 + "]" * 200_000 + "}").reason == "JSON nested too deep"


def test_a_reason_never_holds_the_prompt():
    for text in ('{"prompt": "canary", "x": }', '{"prompt": ["canary"]}', '{"prompt": "canary", "options": "canary"}'):
        assert "canary" not in bad(text).reason


def test_a_bad_row_keeps_an_id_that_could_be_read():
    assert bad('{"id": "a", "prompt": ""}').id == "a"
    assert bad('{"id": "a", "prompt": ').id == "5"


def test_messages_are_read_in_both_dialects():
    row = good(
        json.dumps(
            {
                "messages": [
                    {"role": "developer", "content": "be brief", "name": "boss"},
                    {"role": "user", "content": "look", "images": ["aGk="]},
                    {"role": "assistant", "content": "yes", "tool_calls": [], "refusal": None},
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "and"},
                            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                            {"type": "text", "text": "this"},
                        ],
                    },
                ]
            }
        )
    )

    assert row.messages == (
        Message(role="system", content="be brief"),
        Message(role="user", content="look", images=("aGk=",)),
        Message(role="assistant", content="yes"),
        Message(role="user", content="and\nthis", images=("QUJD",)),
    )


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"role": "tool", "content": "a"}, FailureKind.UNSUPPORTED),
        ({"role": "assistant", "content": "a", "tool_calls": [{"id": "1"}]}, FailureKind.UNSUPPORTED),
        ({"role": "user", "content": [{"type": "input_audio"}]}, FailureKind.UNSUPPORTED),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.b/c"}}]},
            FailureKind.REJECTED,
        ),
        ({"role": "user", "content": "a", "images": ["https://a.b/c"]}, FailureKind.REJECTED),
        ({"role": "user", "content": "a", "images": ["data:image/png,raw"]}, FailureKind.REJECTED),
    ],
)
def test_what_no_instance_is_sent_is_refused_and_no_bad_line(message, kind):
    row = good(json.dumps({"id": "a", "messages": [message]}))

    assert (row.id, row.refusal.kind) == ("a", kind)
    assert "a.b" not in row.refusal.detail


def test_a_template_needs_no_prompt_and_makes_body_a_field_like_any_other():
    row = good('{"custom_id": "a", "body": "text", "url": "http://x", "method": 3}', templated=True)

    assert (row.id, row.prompt, row.endpoint) == ("a", None, "")
    assert bytes(row.fields["body"]) == b'"text"'
    assert bytes(row.extra) == b'{"body":"text","url":"http://x","method":3}'


@pytest.mark.parametrize("text", ['{"id": "a"}', '{"custom_id": "a"}', '{"id": 7}', '{"x": "id"}', "{", "[]", "\xff"])
def test_the_quick_look_at_an_id_agrees_with_the_whole_parse(text):
    assert own_id_of(text.encode("latin-1")) == parse(text.encode("latin-1"), templated=True).own_id


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["prompt", "id", "x", "a:b", "options", "model", "priority"]) | st.text(max_size=4)


@given(st.dictionaries(names, json_values, max_size=5), st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=50, deadline=None)
def test_a_prompt_that_is_accepted_is_what_json_says_and_nothing_is_dropped(fields, ascii_only, indent):
    fields = {"prompt": "p", **fields}
    text = json.dumps(fields, ensure_ascii=ascii_only, indent=indent).replace("\n", " ")
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    row = parse(text)

    if isinstance(row, Row) and row.refusal is None and row.prompt is not None:
        assert row.prompt == json.loads(text)["prompt"]
        assert json.loads(bytes(row.extra or b"{}")) == {
            name: value for name, value in fields.items() if name in {"x", "a:b"} or name not in known
        }


known = {
    *("prompt", "messages", "id", "custom_id", "model", "system"),
    *("options", "format", "images", "max_tokens", "timeout_s", "priority"),
}


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\ud8prompt01e.-', max_size=40).map(str.encode))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_row_that_json_accepts_or_a_bad_line(text):
    row = parse(text, templated=True)

    if isinstance(row, Row):
        assert isinstance(json.loads(text), dict)


@given(st.lists(st.tuples(st.sampled_from(["a", "b:", ":", '"', "c"]), st.sampled_from(["1", '":"', '{"a":":"}']))))
@settings(max_examples=60, deadline=None)
def test_a_name_is_refused_exactly_when_it_stands_twice(pairs):
    text = "{" + " , ".join(f"{json.dumps(name)} :{value}" for name, value in pairs) + "}"

    twice = any(count > 1 for count in Counter(name for name, _ in pairs).values())
    assert isinstance(parse(text, templated=True), BadRow) == twice


@pytest.mark.parametrize("number", ["7", "-1", "0", "123456789012345678901234567890"])
def test_an_integer_id_is_its_digits_whether_the_row_is_read_or_only_its_id(number):
    text = f'{{"prompt": "a", "id": {number}}}'

    assert parse(text).id == number
    assert own_id_of(text.encode()) == number


@pytest.mark.parametrize("value", ["true", "7.0", "1e3", "[7]", "null"])
def test_no_other_value_is_an_id(value):
    assert own_id_of(f'{{"prompt": "a", "id": {value}}}'.encode()) is None


@pytest.mark.parametrize("depth", [200, 201, 990])
def test_nesting_is_a_bad_line_long_before_a_decoder_gives_up(depth):
    text = '{"prompt":"x","a:b":' + "[" * depth + "]" * depth + "}"

    assert isinstance(parse(text), Row) == (depth < 200)
    assert isinstance(parse('{"prompt":"' + "[" * depth + '"}'), Row)


def test_a_number_of_5000_digits_beside_a_name_with_a_colon_passes_through():
    digits = "9" * 5000

    assert bytes(parse(f'{{"prompt":"x","a:b":{digits}}}').extra) == f'{{"a:b":{digits}}}'.encode()


def test_an_option_that_stands_twice_is_a_bad_line():
    assert parse('{"prompt":"x","options":{"seed":1,"seed":2}}').reason == "the name 'seed' stands twice"
