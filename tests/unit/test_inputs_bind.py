import json

import msgspec
import pytest

from arriero.config.settings import Settings
from arriero.core.outcome import Failure, FailureKind
from arriero.core.request import Message, Request, Unit
from arriero.errors import ConfigError
from arriero.inputs.bind import Binder
from arriero.inputs.binding import binding
from arriero.inputs.jsonl import parse_json
from arriero.inputs.lines import Line
from arriero.inputs.txt import parse_text


def settings(**changed):
    plain = Settings(
        input="a.jsonl", input_format="jsonl", output="r.json", output_format="json", journal="r.json.journal"
    )
    return msgspec.structs.replace(plain, **changed)


def row(*, templated=False, **fields):
    return parse_json(4, Line(9, 0, json.dumps(fields).encode()), templated=templated)


def bind(one, *, attempts_used=0, **changed):
    return Binder.of(settings(**changed)).request(one, batch=3, round_number=2, attempts_used=attempts_used)


def test_a_text_row_becomes_a_request_with_its_place_and_hash():
    one = parse_text(4, Line(9, 0, b"Tell me a Joke"))
    request = bind(one, models=("m",), system="be brief", attempts_used=1)

    assert isinstance(request, Request)
    assert (request.batch, request.position, request.line, request.id, request.round) == (3, 4, 9, "9", 2)
    assert (request.attempts_used, request.row_hash, request.unit) == (1, one.hash, Unit("m"))
    assert (request.content.prompt, request.content.system) == ("Tell me a Joke", "be brief")
    assert (request.content.endpoint, request.content.think, request.max_tokens) == ("/api/chat", None, None)
    assert request.size_chars == len("Tell me a Joke") + len("be brief")


def test_a_family_is_the_first_words_and_the_system_prompt_named_by_a_digest():
    def family(prompt, **changed):
        return bind(parse_text(4, Line(9, 0, prompt)), **changed).family

    assert family(b"Tell me a Joke") == family(b"tell  ME a story of two wolves")
    assert family(b"Tell me a Joke") != family(b"Tell me the time")
    assert family(b"Tell me a Joke") != family(b"Tell me a Joke", system="be brief")
    assert family(b"Tell me a Joke") == bind(row(messages=[{"role": "user", "content": "Tell me a Joke"}])).family
    assert "joke" not in family(b"Joke")
    assert "tell" not in family(b"Tell me a Joke")


def test_the_rows_own_settings_go_before_the_users():
    request = bind(
        row(
            prompt="p",
            model="own",
            system="own",
            options={"temperature": 0, "num_ctx": 512, "think": True},
            max_tokens=7,
            timeout_s=3,
            priority=5,
            format="json",
            images=["aGk="],
        ),
        models=("users",),
        system="users",
        options={"temperature": 1, "seed": 2, "num_ctx": 4096, "num_predict": 9},
        think=False,
        endpoint="/api/generate",
    )

    assert request.unit == Unit("own", (("num_ctx", 512),))
    assert request.content.options == {"temperature": 0, "seed": 2}
    assert (request.content.system, request.content.think, request.content.endpoint) == ("own", True, "/api/generate")
    assert (request.max_tokens, request.timeout_s, request.priority) == (7, 3.0, 5)
    assert (bytes(request.content.format), request.content.images) == (b'"json"', ("aGk=",))


def test_the_model_is_left_open_when_nobody_names_one():
    assert bind(row(prompt="p")).unit == Unit("")


def test_runner_options_are_sorted_into_the_unit_and_equal_units_are_one_object():
    binder = Binder.of(settings(models=("m",), options={"num_thread": 2, "num_ctx": 4096, "top_k": 5}))
    first = binder.request(row(prompt="a"), batch=1)
    second = binder.request(row(prompt="b", options={"num_ctx": 4096}), batch=1)

    assert first.unit.options == (("num_ctx", 4096), ("num_thread", 2))
    assert first.unit is second.unit
    assert first.content.options == {"top_k": 5}


def test_num_ctx_is_rounded_up_to_256_and_said_once():
    binder = Binder.of(settings(options={"num_ctx": 4000}))
    request = binder.request(row(prompt="a"), batch=1)
    binder.request(row(prompt="a", options={"num_ctx": 1}), batch=1)

    assert request.unit.options == (("num_ctx", 4096),)
    assert binder.notes == ["num_ctx 4000 is rounded up to 4096: servers load multiples of 256"]


@pytest.mark.parametrize(
    ("own", "users", "expected"),
    [
        ({}, {}, None),
        ({}, {"num_predict": 5}, 5),
        ({}, {"num_predict": -1}, None),
        ({"max_tokens": -1}, {"num_predict": 5}, None),
        ({"max_tokens": 3, "options": {"num_predict": 4}}, {"num_predict": 5}, 3),
        ({"options": {"num_predict": 4}}, {"num_predict": 5}, 4),
        ({"options": {"num_predict": -2}}, {"num_predict": 5}, None),
    ],
)
def test_the_bound_of_an_answer_is_positive_or_absent(own, users, expected):
    assert bind(row(prompt="a", **own), options=users).max_tokens == expected


@pytest.mark.parametrize(
    "options",
    [
        {"num_predict": 0},
        {"num_predict": 1.5},
        {"num_ctx": 0},
        {"num_ctx": "big"},
        {"num_gpu": True},
        {"use_mmap": 1},
        {"think": 1},
    ],
)
def test_an_option_no_server_takes_is_refused_for_the_user_and_ends_a_row(options):
    with pytest.raises(ConfigError, match="-O"):
        Binder.of(settings(options=options))
    failure = bind(row(prompt="a", options=options))

    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.REJECTED
    assert next(iter(options)) in failure.detail


def test_a_template_makes_the_prompt_and_names_the_family():
    one = row(text="good", templated=True)
    request = bind(one, prompt="Sentiment of: {text}")

    assert request.content.prompt == "Sentiment of: good"
    assert request.family == bind(row(text="bad", templated=True), prompt="Sentiment of: {text}").family
    assert request.family != bind(one, prompt="Mood of: {text}").family


def test_a_row_the_template_cannot_be_filled_from_is_a_problem_and_a_failure():
    binder = Binder.of(settings(prompt="{text}"))
    missing, empty = row(title="a", templated=True), row(text=" ", templated=True)

    assert "'text'; the fields are: 'title'" in binder.problem(missing).reason
    assert binder.request(missing, batch=1).kind is FailureKind.REJECTED
    assert binder.problem(empty).reason == "prompt is empty"
    assert binder.request(empty, batch=1).kind is FailureKind.REJECTED


def test_the_users_system_prompt_stays_away_from_a_chat_that_has_one():
    own = row(messages=[{"role": "system", "content": "own"}, {"role": "user", "content": "hi there"}])
    without = row(messages=[{"role": "user", "content": "hi there"}])

    assert bind(own, system="users").content.system is None
    request = bind(without, system="users")
    assert request.content.system == "users"
    assert request.content.messages == (Message(role="user", content="hi there"),)
    assert request.size_chars == len("hi there") + len("users")


def test_bad_refused_and_impossible_rows_are_failures_and_never_exceptions():
    refused = row(messages=[{"role": "tool", "content": "x"}])

    assert bind(parse_text(0, Line(2, 0, b"\xff"))) == Failure(
        kind=FailureKind.REJECTED, detail="bad line 2, column 1: not UTF-8; save the file as UTF-8"
    )
    assert bind(refused).kind is FailureKind.UNSUPPORTED
    chat = row(messages=[{"role": "user", "content": "x"}])
    assert bind(chat, endpoint="/api/embed").kind is FailureKind.UNSUPPORTED


def test_an_unsent_row_has_place_and_hash_and_no_content():
    bad = parse_text(4, Line(9, 0, b"\xff"))
    request = Binder.of(settings(models=("m",))).unsent(bad, batch=3, round_number=1)

    assert (request.position, request.id, request.row_hash, request.round) == (4, "9", bad.hash, 1)
    assert (request.content.prompt, request.unit.model) == ("", "m")


def test_what_decides_answers_is_binding_and_what_does_not_is_not():
    plain = binding(settings())

    assert plain == binding(settings(retries=9, on_bad_line="fail", first=3, force=True, origins={"a": "b"}))
    for changed in (
        {"prompt": "{x}"},
        {"system": "s"},
        {"models": ("m",)},
        {"options": {"seed": 1}},
        {"options": {"num_predict": 1}},
        {"endpoint": "/api/generate"},
        {"think": True},
        {"input_format": "txt"},
    ):
        assert binding(settings(**changed)) != plain, changed


def test_binding_spells_equal_settings_equally_and_hides_long_ones():
    one, other = {"seed": 1, "num_ctx": 4000}, {"num_ctx": 4096, "seed": 1}

    assert binding(settings(options=one)) == binding(settings(options=other))
    assert binding(settings(endpoint="/api/chat")) == binding(settings())
    long = binding(settings(system="canary " * 100))["system"]
    assert long.startswith("blake2b:")
    assert "canary" not in long


def test_a_row_with_images_needs_a_model_that_sees():
    turns = [{"role": "user", "content": "What is this?", "images": ["aGk="]}]

    assert bind(row(prompt="p", images=["aGk="]), models=("m",)).needs_vision
    assert bind(row(messages=turns), models=("m",)).needs_vision
    assert not bind(row(prompt="p"), models=("m",)).needs_vision


def test_rows_with_other_runner_options_are_of_another_unit_though_one_binder_binds_them():
    binder = Binder.of(settings(models=("m",)))
    units = [binder.request(row(prompt="q", options={"num_ctx": size}), batch=1).unit for size in (4096, 8192, 4096)]

    assert units == [Unit("m", (("num_ctx", 4096),)), Unit("m", (("num_ctx", 8192),)), Unit("m", (("num_ctx", 4096),))]


def test_an_empty_system_prompt_of_a_row_says_that_it_has_none():
    assert bind(row(prompt="q", system=""), system="be brief").content.system is None
