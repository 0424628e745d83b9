from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.config.quantities import count, duration_s, duration_text, size_bytes
from arriero.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), ("5s", 5), ("0", 0), ("2m", 120), ("1h30m", 5400), ("1.5h", 5400), ("500ms", 0.5), ("1d2h", 93600)],
)
def test_durations_are_read_in_their_exact_forms(text, seconds):
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5 s", "-5", "5x", "1m2m", "30m1h", "1e3", "inf", "5s5", "٥", "5\n6"])  # noqa: RUF001
def test_what_is_no_duration_is_refused_with_the_forms(text):
    with pytest.raises(ConfigError, match="duration") as error:
        duration_s(text)

    assert "1h30m" in error.value.hint


@given(st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000))
def test_a_duration_as_text_reads_back_as_itself(seconds):
    assert duration_s(duration_text(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("200MB", 200_000_000), ("16MiB", 16_777_216), ("1.5kB", 1500), ("2 gb", 2 * 10**9)],
)
def test_sizes_are_powers_of_1000_and_with_an_i_of_1024(text, size):
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1.5", "-1", "10XB", "1e6"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ConfigError):
        size_bytes(text)


def test_counts_take_k_and_m():
    assert [count("500"), count("10k"), count("1M")] == [500, 10_000, 1_000_000]


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5k", "5%"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(ConfigError):
        count(text)


def test_a_size_is_exact_beyond_what_a_float_holds():
    assert size_bytes("90071992.54740993GB") == 90071992547409930
