"""Settings: nothing a user writes is a crash, and what is accepted means what was written, to the last digit."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from fractions import Fraction

from fuzzing import ODD_NUMBERS, ODD_TEXTS, fuzzed, numbers, texts, told, values
from hypothesis import strategies as st

from arriero.config.address import address
from arriero.config.bounds import budget_text, error_budget, timeout_rule, timeout_text
from arriero.config.concurrency import concurrency, concurrency_text, instance_limit
from arriero.config.document import read_document
from arriero.config.fields import FIELDS
from arriero.config.formats import input_format, output_format, output_paths
from arriero.config.load import load
from arriero.config.options import checked_option, parse_option
from arriero.config.quantities import count, duration_s, duration_text, size_bytes
from arriero.config.ranges import INSTANCES_MOST, expand
from arriero.config.show import shown
from arriero.errors import ConfigError

SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": Fraction(1, 1000)}
DECIMAL = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
BYTES = {**DECIMAL, "kib": 2**10, "mib": 2**20, "gib": 2**30}

digits = st.one_of(
    st.integers(0, 10**9).map(str), st.sampled_from(("9007199254740993", "0.1", "0.29", "1.001", "1.", ".5"))
)
digits = st.one_of(
    digits, st.sampled_from(("007", "12.345678", "1e3", "٣", "+1", "-1", "999999999999999", "9" * 5000, "0"))
)
parts = st.lists(st.tuples(digits, st.sampled_from((*SECONDS, "", "x", "S"))), min_size=1, max_size=3)
free = st.one_of(texts, st.text("0123456789.dhmsxkMGBi%+-/c auto:", max_size=14))


def read(parse, text):
    """What a form reads, or None for an error of ours that repeats at most what was written."""
    try:
        return parse(text)
    except ConfigError as error:
        told(error.message)
        return None


def joined(pairs):
    return "".join(f"{number}{unit}" for number, unit in pairs)


@fuzzed(150, text=st.one_of(parts.map(joined), free))
def test_a_duration_is_the_sum_of_its_parts_or_refused(text):
    found = read(duration_s, text)
    if found is None:
        return
    written = re.findall(r"([0-9.]+)(ms|[dhms])?", text.strip())
    exact = sum(Fraction(number) * SECONDS[unit or "s"] for number, unit in written)
    assert math.isclose(found, float(exact), rel_tol=1e-15, abs_tol=0)
    if found < 10**9:
        assert math.isclose(duration_s(duration_text(found)), found, rel_tol=1e-12, abs_tol=1e-9)


@fuzzed(100, number=digits, unit=st.sampled_from((*BYTES, "KB", "Gib", "x", " mb", "  mb")))
def test_a_size_is_exactly_the_bytes_that_were_written(number, unit):
    found = read(size_bytes, number + unit)
    if found is not None:
        assert found == Fraction(number) * BYTES[unit.strip().lower()]


@fuzzed(100, number=digits, unit=st.sampled_from(("", "k", "m", "K", "M", "g", "%")))
def test_counts_and_shares_are_those_that_were_written_and_can_be_shown(number, unit):
    found = read(count, number + unit)
    if found is not None:
        assert found == int(number) * {"": 1, "k": 10**3, "m": 10**6}[unit.lower()]
    budget = read(error_budget, number + unit)
    if budget is not None and (budget.count or 0) < 10**15:
        assert error_budget(budget_text(budget)) == budget
        if unit == "%":
            assert math.isclose(budget.fraction, float(Fraction(number) / 100), rel_tol=1e-15)


@fuzzed(
    100,
    text=st.one_of(
        free,
        st.builds(
            lambda *bits: "".join(bits),
            st.sampled_from(("", "auto:", "AUTO")),
            digits,
            st.sampled_from(("", "x", "-8-64", "+1/100c")),
        ),
    ),
)
def test_concurrency_limits_and_timeouts_read_back_what_they_show(text):
    found = read(concurrency, text)
    if found is not None:
        assert concurrency(concurrency_text(found)) == found
        assert found.total is None or str(found.total) in text
    limit = read(instance_limit, text)
    if limit is not None:
        assert 1 <= limit.least <= limit.start <= limit.most
        assert {str(limit.least), str(limit.start), str(limit.most)} == set(text.strip().split("-"))
    rule = read(timeout_rule, text)
    if rule is not None and rule.base_s < 10**9:
        again = timeout_rule(timeout_text(rule))
        assert again.kind == rule.kind
        assert math.isclose(again.base_s, rule.base_s, rel_tol=1e-12, abs_tol=1e-9)
        assert math.isclose(again.per_char_s, rule.per_char_s, rel_tol=1e-6, abs_tol=1e-9)


@fuzzed(
    100,
    pieces=st.lists(
        st.one_of(
            st.tuples(st.integers(0, 30), st.integers(0, 30), st.booleans()),
            st.sampled_from(("a", "{", "}", "..", "")),
            st.just((0, 10**6, False)),
        ),
        max_size=4,
    ),
)
def test_a_range_makes_the_numbers_between_its_bounds(pieces):
    text = "-".join(
        piece if isinstance(piece, str) else f"{{{piece[0]:0{2 * piece[2]}d}..{piece[1]}}}" for piece in pieces
    )
    found = read(expand, text)
    ranges = [piece for piece in pieces if not isinstance(piece, str)]
    if found is None or not ranges:
        assert found in (None, [text])
        return
    assert 1 <= len(found) == ranges[0][1] - ranges[0][0] + 1 <= INSTANCES_MOST
    assert len(set(found)) == len(found)
    shape = "-".join(re.escape(piece) if isinstance(piece, str) else r"(\d+)" for piece in pieces)
    for step, one in enumerate(found):
        assert [int(number) for number in re.fullmatch(shape, one).groups()] == [first + step for first, _, _ in ranges]


@fuzzed(
    100,
    name=st.one_of(st.sampled_from(("seed", "num_ctx", "temperature", "stop", "use_mmap", "x")), texts),
    value=values,
)
def test_an_option_is_the_json_that_was_written_or_refused(name, value):
    checked = read(lambda given: checked_option(name, given), value)
    if checked is not None:
        assert checked == value
    text = f"{name}={value}"
    parsed = read(parse_option, text)
    if parsed is not None:
        assert parsed[0] == text.partition("=")[0].strip()


@fuzzed(
    100,
    text=st.one_of(texts, st.sampled_from(ODD_TEXTS), st.text("ab./-", max_size=8)),
    suffix=st.sampled_from(("", ".txt", ".jsonl", ".json", ".csv", ".JSONL")),
)
def test_formats_and_addresses_never_crash(text, suffix):
    path = text + suffix
    assert read(input_format, path) in (None, "txt", "jsonl")
    form = read(output_format, path)
    assert form in (None, "json", "jsonl")
    if form and path != "-" and text.strip("./"):
        assert len(set(output_paths(path, "openai"))) == 2
    place = read(address, text)
    if place is not None:
        assert address(place.url).url == place.url


words = st.one_of(
    free, digits, st.sampled_from(("true", "mistral:7b", "http://h:1", "seed=1", "@", "@@x", "/api/chat", "-"))
)
anything = st.one_of(words, numbers, values, st.lists(words, max_size=2).map(tuple))
names = st.sampled_from([field.name for field in FIELDS])


def loaded(flags, env, folder):
    try:
        return load(flags, env, folder)
    except ConfigError as error:
        told(error.message)
        return None


@fuzzed(
    120, folder=True, flags=st.dictionaries(names, anything, max_size=3), env=st.dictionaries(names, words, max_size=2)
)
def test_flags_and_environment_are_settings_or_an_error_that_names_them(folder, flags, env):
    (folder / "arriero.toml").unlink(missing_ok=True)
    given = {f"ARRIERO_{name.upper()}": value for name, value in env.items()}
    settings = loaded({"input": "rows.txt", **flags}, given, folder)
    if settings is None:
        return
    assert all(isinstance(line, str) for line in shown_lines(settings))
    for name in ("system", "prompt"):
        written = flags.get(name, env.get(name) or None)
        if isinstance(written, str) and not written.startswith("@"):
            assert getattr(settings, name) == written


def shown_lines(settings):
    return [str(line) for line in shown(settings)]


scalars = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(
        ("true", "nan", "inf", "1979-05-27", "0x1f", "1_000", "[]", "{}", "9" * 5000, "[" * 2000 + "]" * 2000)
    ),
)
quoted = st.one_of(texts, words).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
)
keys = st.one_of(
    names,
    st.sampled_from(
        (
            "name",
            "url",
            "limit",
            "stream",
            "kind",
            "backend",
            "endpoint",
            "headers_env",
            "api_key",
            "api_key_env",
            "ca_file",
            "x",
        )
    ),
)
headers = st.sampled_from(
    (
        "[defaults]",
        "[[instance]]",
        "[[instance]]",
        "[instance]",
        "[defaults.options]",
        "[tool.arriero]",
        "[",
        "'''",
        '"""',
        "# x",
    )
)
toml_lines = st.lists(
    st.one_of(headers, st.builds(lambda key, value: f"{key} = {value}", keys, st.one_of(scalars, quoted))), max_size=7
)
good = st.sampled_from(
    (["[[instance]]", 'name = "g-{01..03}"', 'url = "http://h:{1..3}"'], ["[defaults]", 'model = "m"', 'system = "s"'])
)


@fuzzed(
    200,
    folder=True,
    lines=st.one_of(toml_lines, st.builds(lambda head, tail: head + tail, good, toml_lines)),
    damage=st.one_of(st.none(), st.none(), st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=2))),
)
def test_a_file_is_settings_or_an_error_that_names_the_file(folder, lines, damage):
    data = "\n".join(lines).encode()
    if damage is not None:
        at = int(damage[0] * len(data))
        data = data[:at] + damage[1] + data[at + 1 :]
    path = folder / "arriero.toml"
    path.write_bytes(data)
    try:
        settings = load({"input": "rows.txt"}, {}, folder)
    except ConfigError as error:
        told(error.message)
        return
    tables = tomllib.loads(data.decode())
    for name in ("system", "model"):
        written = tables.get("defaults", {}).get(name)
        if isinstance(written, str) and not written.startswith("@"):
            assert (settings.models[0] if name == "model" else settings.system) == written
    assert len({config.instance.url for config in settings.instances}) == len(settings.instances)


@fuzzed(80, folder=True, lines=toml_lines)
def test_a_document_knows_the_line_of_every_key_that_it_places(folder, lines):
    path = folder / "any.toml"
    text = "\n".join(lines)
    path.write_bytes(text.encode())
    document = read(lambda name: read_document(path, name), "any.toml")
    if document is None:
        return
    assert all(1 <= number <= len(text.splitlines()) for number in document.lines.values())
    for key in itertools.islice(document.tables, 3):
        assert document.where(key).startswith("any.toml")


def test_the_numbers_that_are_odd_are_odd_for_a_float():
    assert any(isinstance(number, int) and float(number) != number for number in ODD_NUMBERS)
