"""What is kept and shown: outcomes in the journal, outputs, text on a terminal, the state file, the child's line."""

from __future__ import annotations

import json
import time
import unicodedata

import msgspec
import pytest
from fuzzing import fuzzed, texts, values
from hypothesis import strategies as st

from arriero.backends.dialects import backend
from arriero.backends.frames import frames
from arriero.backends.refusals import retry_after_s
from arriero.backends.texts import meaning, prompt_tokens, words
from arriero.client.memory import Memory
from arriero.config.address import address
from arriero.config.bounds import timeout_rule
from arriero.config.quantities import duration_s
from arriero.config.ranges import expand
from arriero.core.fleet import Fleet
from arriero.core.instance import Concurrency, Instance
from arriero.core.outcome import Failure, FailureKind, Success, Timing, Usage
from arriero.core.policies.predict import Lengths
from arriero.errors import ConfigError
from arriero.inputs.jsonl import parse_json
from arriero.inputs.lines import Line
from arriero.inputs.row import BadRow, Row
from arriero.inputs.template import Template
from arriero.inputs.txt import is_blank, parse_text
from arriero.journal import outcome as journal
from arriero.journal.stored import StoredResult
from arriero.local.protocol import ChildOptions, ChildReady
from arriero.monitor.safe import safe_text
from arriero.outputs.export import export

counts = st.one_of(st.none(), st.integers(0, 1 << 53))
seconds = st.one_of(st.none(), st.floats(0, 1e9))
raws = st.one_of(st.none(), values.filter(lambda value: value is not None))
raws = raws.map(lambda value: None if value is None else msgspec.Raw(json.dumps(value, allow_nan=False).encode()))
successes = st.builds(
    Success,
    text=texts,
    finish_reason=st.sampled_from(("stop", "length")),
    usage=st.builds(Usage, counts, counts),
    timing=st.builds(Timing, st.floats(0, 1e9), seconds, seconds, seconds, seconds, seconds),
    model=texts,
    thinking=st.one_of(st.none(), texts.filter(bool)),
    logprobs=raws,
)
failures = st.builds(
    Failure,
    kind=st.sampled_from(FailureKind),
    detail=texts,
    own=st.booleans(),
    status=st.one_of(st.none(), st.integers(100, 599)),
    retry_after_s=st.one_of(st.none(), st.floats(0, 300)),
    crashed=st.booleans(),
    repeated=st.booleans(),
    began=st.booleans(),
    latency_s=st.floats(0, 1e9),
    n_prompt_tokens=counts,
)


@fuzzed(120, outcome=st.one_of(successes, failures))
def test_an_outcome_comes_back_from_the_journal_as_it_went_in(outcome):
    back = journal.either(journal.encode(outcome))

    assert back == outcome
    assert journal.encode(back) == journal.encode(outcome)


@fuzzed(60, text=st.text(max_size=30), failed=st.booleans())
def test_an_outcome_with_half_a_surrogate_is_kept_and_says_so(text, failed):
    if failed:
        outcome = Failure(kind=FailureKind.BAD_REPLY, detail=text)
    else:
        outcome = Success(text=text, finish_reason="stop", usage=Usage(), timing=Timing(0.5))
    back = journal.either(journal.encode(outcome))

    assert (back.detail if failed else back.text) == "".join(
        "?" if "\ud800" <= letter <= "\udfff" else letter for letter in text
    )


@fuzzed(60, data=st.one_of(st.binary(max_size=30), values.map(lambda value: json.dumps(value).encode())))
def test_a_damaged_outcome_is_an_error_that_the_journal_knows(data):
    try:
        journal.either(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert isinstance(json.loads(data), dict)


def stored(row, outcome):
    place = {"batch": 1, "position": row.position, "round": 0, "id": row.id, "row_hash": row.hash}
    sending = {"model": "m", "instance": "a", "attempts": 1, "attempt": 1, "session": "s", "ended_at": 0.0}
    return StoredResult(outcome=outcome, **place, **sending)


rows = st.dictionaries(
    st.one_of(st.sampled_from(("id", "status", "response", "prompt", "input", "note", "error")), texts),
    values,
    max_size=4,
)
rows = st.one_of(rows, texts.map(lambda text: {"prompt": text}))
written = st.lists(st.tuples(st.one_of(rows, texts), st.one_of(successes, failures)), max_size=4)


def row_of(position, given):
    """A row of JSON, or of text where it is none; a blank text has no row."""
    if isinstance(given, dict):
        return parse_json(position, Line(position + 1, 0, json.dumps(given).encode()))
    line = Line(position + 1, 0, given.replace("\n", " ").encode())
    return parse_json(position, line) if is_blank(line) else parse_text(position, line)


@fuzzed(100, folder=True, given=written, form=st.sampled_from(("json", "jsonl", "openai")), complete=st.booleans())
def test_any_text_comes_back_from_any_output_through_a_standard_parser(folder, given, form, complete):
    made = [row_of(position, row) for position, (row, _) in enumerate(given)]
    results = [stored(row, outcome) for row, (_, outcome) in zip(made, given, strict=True)]
    path = folder / ("out.json" if form == "json" else "out.jsonl")
    for old in folder.iterdir():
        old.unlink()
    files = export(str(path), form, made, results, complete=complete).paths
    data = [file.read_bytes() for file in files]
    records = (
        json.loads(data[0])
        if form == "json"
        else [json.loads(line) for file in data for line in file.split(b"\n")[:-1]]
    )
    answers = [outcome.text for _, outcome in given if isinstance(outcome, Success)]
    if form != "openai":
        assert [record["response"] for record in records if record["status"] == "success"] == answers
        assert [record["id"] for record in records] == [row.id for row in made]
        prompts = [row.prompt if isinstance(row, Row) else None for row in made]
        assert [record["prompt"] for record in records] == prompts
        details = [outcome.detail for _, outcome in given if isinstance(outcome, Failure)]
        failed = [record["failure"].get("detail", "") for record in records if record["status"] == "failed"]
        assert failed == details
    else:
        whole = [
            line["response"]["body"]["choices"][0]
            for line in records
            if (line["response"] or {}).get("status_code") == 200
        ]
        assert [choice["message"]["content"] for choice in whole] == answers
        assert sorted(line["custom_id"] for line in records) == sorted(row.id for row in made)


HARMLESS = {"Cc": False, "Cs": False, "Zl": False, "Zp": False}


@fuzzed(
    120,
    text=st.one_of(
        st.text(max_size=30), st.text("\x00\x07\x1b\x7f\x9b\x9d\u202e\u2066\ufeff\u200b\ud800a[]m;", max_size=12)
    ),
    chars=st.one_of(st.none(), st.integers(0, 40)),
)
def test_nothing_that_a_terminal_obeys_is_left_in_safe_text(text, chars):
    safe = safe_text(text, chars=chars)

    assert all(HARMLESS.get(unicodedata.category(letter), True) for letter in safe)
    assert not set(safe) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\ufeff")
    assert "\x1b" not in safe
    safe.encode()
    kept = [letter for letter in text if letter.isascii() and letter.isprintable()]
    if chars is None:
        remaining = iter(safe)
        assert all(letter in remaining for letter in kept)


LEARNED = {
    "version": 1,
    "served": [
        [
            "http://a",
            {"unit": {"model": "m", "options": [["num_ctx", 256]]}, "slots": 4, "tested": True, "token_s": 0.1},
        ]
    ],
    "sizes": [{"unit": {"model": "m"}, "digest": "d", "levels": []}],
}


@fuzzed(
    100,
    folder=True,
    at=st.floats(0, 1),
    to=st.floats(0, 1),
    piece=st.one_of(st.binary(max_size=4), values.map(lambda value: json.dumps(value).encode()), st.just(b"[" * 3000)),
    key=st.sampled_from(("slots", "token_s", "load_s", "model", "levels", "unit", "version")),
    value=values,
)
def test_a_state_file_of_any_bytes_is_as_good_as_none_or_sane(folder, at, to, piece, key, value):
    data = json.dumps(LEARNED).encode()
    start, end = sorted((int(at * len(data)), int(to * len(data))))
    changed = json.loads(data)
    for holder in (changed, changed["served"][0][1], changed["served"][0][1]["unit"], changed["sizes"][0]):
        if key in holder:
            holder[key] = value
    path = folder / "learned.json"
    for one in (data[:start] + piece + data[end:], json.dumps(changed).encode()):
        path.write_bytes(one)
        memory = Memory(path)
        (served,) = memory.instances([Instance(name="a", url="http://a")])
        assert all(1 <= known.slots <= 65_536 and known.token_s >= 0 for known in served)
        memory.recall(Fleet(Concurrency()), Lengths())
        assert memory.known <= 1


@fuzzed(40, line=st.one_of(st.binary(max_size=40), values.map(lambda value: json.dumps({"url": value}).encode())))
def test_a_line_of_the_child_is_its_address_or_no_line_of_it(line):
    try:
        ready = msgspec.json.decode(line, type=ChildReady)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert ready.url == json.loads(line)["url"]


@fuzzed(40, path=texts, name=texts, slots=st.integers(1, 64), tokens=st.integers(1, 1 << 20))
def test_what_the_child_is_told_arrives_as_it_was_said(path, name, slots, tokens):
    told = ChildOptions(model=path, name=name, slots=slots, context_tokens=tokens, threads=1)

    assert msgspec.json.decode(msgspec.json.encode(told), type=ChildOptions) == told


def refused(parse):
    def attempt(text):
        try:
            parse(text)
        except ConfigError:
            return

    return attempt


BACKENDS = {name: backend(name) for name in ("ollama", "openai")}
SLOW = {
    "a piece of blanks behind a quote": (lambda n: b'a"' + b" " * n, BACKENDS["ollama"].began),
    "a piece of quotes": (lambda n: b'a"' * n, BACKENDS["ollama"].began),
    "keys and blanks": (
        lambda n: b'"tool_calls"' + b" " * n + b":" + b" " * n + b"[" + b" " * n,
        BACKENDS["openai"].began,
    ),
    "keys without values": (lambda n: b'"content" : ' * (n // 8), BACKENDS["openai"].began),
    "events": (lambda n: b"data: \n" * (n // 8), frames),
    "a refusal that says model": (lambda n: "model " * (n // 6), meaning),
    "a refusal that says timed out": (lambda n: "timed out waiting for " * (n // 22), meaning),
    "a refusal of numbers": (lambda n: "n_prompt_tokens" + "(9" * (n // 2), prompt_tokens),
    "an error text": (lambda n: b'{"error":"' + b"x" * n + b'"}', words),
    "a moment": (lambda n: "Mon, " + "1 " * (n // 2), retry_after_s),
    "a line of names": (
        lambda n: b'{"prompt":"x","a:b":"' + b"\\\\" * n + b'"}',
        lambda text: parse_json(0, Line(1, 0, text)),
    ),
    "a line of brackets": (lambda n: b'{"prompt":"' + b"[" * n + b'"}', lambda text: parse_json(0, Line(1, 0, text))),
    "a line of quotes": (lambda n: b'{"prompt":"' + b'[\\"' * n + b'"}', lambda text: parse_json(0, Line(1, 0, text))),
    "a template of braces": (lambda n: "{a" * (n // 2), refused(Template.parse)),
    "a duration": (lambda n: "1" * n, refused(duration_s)),
    "a duration of parts": (lambda n: "1h" * n, refused(duration_s)),
    "a timeout": (lambda n: "1+" * n, refused(timeout_rule)),
    "a range": (lambda n: "{1..1}" * (n // 6), refused(expand)),
    "an address": (lambda n: "http://h" + "a." * n, refused(address)),
    "a terminal": (lambda n: "\x1b" * n, safe_text),
}
"""What could take time with the square of its length, and what reads it."""


def cpu_s(read, text):
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        read(text)
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize("name", SLOW)
def test_the_time_to_read_a_hostile_text_grows_with_its_length_and_not_its_square(name):
    build, read = SLOW[name]
    short = cpu_s(read, build(4_000))
    long = cpu_s(read, build(32_000))

    assert long < 0.02 + 24 * short, "8 times the length took more than 24 times the time"


def test_a_bad_row_is_what_a_blank_text_of_the_tests_becomes():
    assert isinstance(row_of(0, " "), BadRow)
