"""Readers of inputs: no input is a crash, and what is accepted reaches the wire and the output as it was written."""

from __future__ import annotations

import json

from fuzzing import fuzzed, numbers, texts, told, values
from hypothesis import strategies as st
from input_rows import (
    accepted,
    blank,
    bound,
    check_wire,
    damage,
    damaged,
    exact,
    exact_options,
    messages,
    plain_rows,
    rows,
    sent,
    spelled,
    written,
)
from mutants import CANARY

from arriero.backends.ollama import Ollama
from arriero.backends.openai import OpenAI
from arriero.backends.wire import UnsupportedError
from arriero.errors import ConfigError
from arriero.inputs.lines import Line
from arriero.inputs.members import members
from arriero.inputs.options import bound_options
from arriero.inputs.row import BadLineError, Row
from arriero.inputs.sequence import row_of_item
from arriero.inputs.template import Template
from arriero.inputs.txt import parse_text


@fuzzed(
    300, given=st.one_of(rows, plain_rows, plain_rows), ascii_only=st.booleans(), plan=st.one_of(st.just([]), damage)
)
def test_a_row_of_json_reaches_the_wire_and_the_output_as_it_was_written(given, ascii_only, plan):
    line = damaged(json.dumps(given, ensure_ascii=ascii_only).encode(), plan)
    row = accepted(line)
    if row is None or row.is_batch_line:
        return
    seen = exact(line)
    if row.refusal is None:
        assert spelled(row.options or {}) == spelled(exact_options(line))
        check_wire(seen, row)
    else:
        assert CANARY not in row.refusal.detail


bodies = st.fixed_dictionaries(
    {},
    optional={
        "model": texts,
        "messages": messages,
        "prompt": st.one_of(texts, st.lists(texts, max_size=2)),
        "input": texts,
        "temperature": numbers,
        "top_p": numbers,
        "seed": numbers,
        "stop": st.one_of(texts, st.lists(texts, max_size=2)),
        "max_tokens": numbers,
        "max_completion_tokens": numbers,
        "n": st.sampled_from((1, 2, 1.0)),
        "stream": st.booleans(),
        "tools": st.sampled_from(([], [{}])),
        "options": st.dictionaries(texts, values, max_size=2),
        "response_format": st.one_of(
            st.just({"type": "json_object"}), st.dictionaries(st.sampled_from(("type", "x")), texts)
        ),
        "x" + CANARY: values,
    },
)
urls = st.sampled_from(
    (
        "/v1/chat/completions",
        "/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/v1/api/chat",
        "//evil.example/v1/chat/completions",
        "http://evil.example/api/chat",
        "",
        "/v1",
    )
)


@fuzzed(220, body=bodies, url=urls, own_id=st.one_of(texts, numbers), extra=values, plan=st.one_of(st.just([]), damage))
def test_an_openai_batch_line_is_sent_whole_or_refused(body, url, own_id, extra, plan):
    given = {"custom_id": own_id, "method": "POST", "url": url, "body": body, "note": extra}
    line = damaged(json.dumps(given).encode(), plan)
    row = accepted(line)
    if row is None:
        return
    seen = exact(line)
    assert row.own_id == (seen.get("custom_id", row.own_id))
    request = bound(row)
    if row.refusal is not None:
        assert request is None
        return
    if request is None or not row.is_batch_line:
        return
    asked = seen["body"]
    for dialect in (Ollama(), OpenAI()):
        try:
            body_sent = sent(request, dialect)
        except UnsupportedError:
            continue
        said = json.dumps(body_sent, ensure_ascii=False)
        for text in filter(None, [turn["content"] for turn in asked.get("messages") or ()]):
            assert json.dumps(text, ensure_ascii=False) in said
        options = body_sent.get("options", body_sent)
        for name in ("temperature", "top_p", "seed"):
            if asked.get(name) is not None and "/api/" not in seen["url"] and request.content.endpoint != "/api/embed":
                assert spelled(options[name]) == spelled(asked[name])


@fuzzed(150, text=st.one_of(st.binary(max_size=60), texts.map(str.encode)), number=st.integers(1, 3))
def test_a_line_of_text_is_its_prompt_or_a_bad_line(text, number):
    line = text.replace(b"\n", b"")
    if blank(line):
        return
    row = parse_text(0, Line(number, 0, line))
    if isinstance(row, Row):
        assert row.prompt == line.decode().strip()
        assert sent(bound(row))["messages"] == [{"role": "user", "content": row.prompt}]
        assert written(row)["prompt"] == row.prompt
    else:
        assert row.column >= 1


@fuzzed(
    150,
    template=st.one_of(texts, st.text("{}ab. '", max_size=12), st.just("{a.b} {{x}} {a}")),
    fields=st.dictionaries(st.sampled_from(("a", "b", "a.b")), values, min_size=1),
)
def test_a_template_puts_in_what_the_row_holds_and_nothing_else(template, fields):
    try:
        parsed = Template.parse(template)
    except ConfigError:
        return
    row = accepted(json.dumps(fields).encode(), templated=True)
    if row is None:
        return
    try:
        text = parsed.render(row.fields)
    except BadLineError as error:
        told(error.reason)
        return
    simple = {name: fields[name] for name in parsed.names if name in fields}
    if len(simple) == len(set(parsed.names)):
        filled = template.replace("{{", "\1").replace("}}", "\2")
        if "\1" not in template and "\2" not in template and "{" not in "".join(parsed.literals):
            for name, value in simple.items():
                shown = value if isinstance(value, str) else json.dumps(value)
                filled = filled.replace("{" + name + "}", shown.replace("{", "\3").replace("}", "\4"))
            assert text == filled.replace("\3", "{").replace("\4", "}").replace("\1", "{").replace("\2", "}")


@fuzzed(150, given=st.dictionaries(texts, values, max_size=4), plan=damage)
def test_members_keep_every_value_as_its_bytes_and_no_name_twice(given, plan):
    line = damaged(json.dumps(given).encode(), plan)
    try:
        line.decode()
        found = members(line)
    except (BadLineError, UnicodeDecodeError):
        return
    values = {name: json.loads(bytes(value)) for name, value in found.items()}  # in a value a name may stand twice
    assert spelled(values) == spelled(exact(line))


@fuzzed(
    100,
    options=st.dictionaries(
        st.one_of(st.sampled_from(("num_ctx", "num_predict", "think", "use_mmap", "num_gpu", "seed")), texts),
        values,
        max_size=4,
    ),
)
def test_options_are_sorted_and_none_is_lost(options):
    try:
        sorted_ = bound_options(options)
    except BadLineError as error:
        told(error.reason)
        return
    runner = dict(sorted_.runner)
    assert {*runner, *sorted_.sampling} == set(options) - {"num_predict", "think"}
    assert spelled(sorted_.sampling) == spelled({name: options[name] for name in sorted_.sampling})
    if "num_ctx" in runner:
        assert runner["num_ctx"] % 256 == 0
        assert 0 <= runner["num_ctx"] - options["num_ctx"] < 256
        assert (sorted_.rounded is None) == (runner["num_ctx"] == options["num_ctx"])


@fuzzed(60, item=st.one_of(texts, st.text(max_size=10), st.dictionaries(texts, values, max_size=3), rows))
def test_an_item_of_a_python_list_is_its_row_or_a_bad_row(item):
    row = row_of_item(0, item)
    if isinstance(row, Row) and row.refusal is None and row.prompt is not None:
        assert row.prompt == (item if isinstance(item, str) else item["prompt"])
        request = bound(row)
        if request is not None and not isinstance(item, dict):
            assert sent(request)["messages"][-1]["content"] == row.prompt
