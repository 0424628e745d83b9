import pytest

from arriero.core.outcome import Failure, FailureKind
from arriero.monitor.snapshot import Note
from arriero.monitor.words import (
    FAILURES,
    NOTES,
    duration_words,
    failure_words,
    note_words,
    number_words,
    short_duration,
)


@pytest.mark.parametrize(
    ("seconds", "words", "short"),
    [
        (0.0, "0.00 s", "0s"),
        (0.42, "0.42 s", "0s"),
        (3.94, "3.9 s", "4s"),
        (42.4, "42 s", "42s"),
        (59.7, "1 min 0 s", "1m0s"),
        (222, "3 min 42 s", "3m42s"),
        (4320, "1 h 12 min", "1h12m"),
        (183_600, "2 d 3 h", "2d3h"),
    ],
)
def test_durations_are_told_in_two_units_at_most(seconds, words, short):
    assert duration_words(seconds) == words
    assert short_duration(seconds) == short


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (0.524, "0.52"), (83.14, "83.1"), (4912.4, "4,912"), (10.0, "10")]
)
def test_numbers_are_told_with_the_digits_that_matter(value, words):
    assert number_words(value) == words


@pytest.mark.parametrize("code", [code for code in NOTES if code not in {"late", "empty_answer"}])
def test_every_known_note_has_a_sentence_that_names_the_instance(code):
    assert note_words(Note(code=code, instances=("gpu-01",))).startswith("gpu-01: ")
    assert note_words(Note(code=code)).startswith("an instance ")


def test_an_unknown_note_is_told_and_breaks_nothing():
    assert note_words(Note(code="brand_new\x1b", instances=("a\x1b",))) == r"a\x1b: brand new\x1b"
    assert note_words(Note(code="brand_new")) == "brand new"


def test_many_instances_are_counted_and_not_listed():
    note = Note(code="listing_missing", instances=tuple("abcde"))

    assert note_words(note).startswith("a, b, c and 2 more: ")


def test_late_answers_are_counted():
    assert note_words(Note(code="late", count=1)) == "1 second answer came after the request had ended and was dropped"
    assert note_words(Note(code="late", count=3)).startswith("3 second answers came")


def test_answers_without_a_word_are_counted_with_those_who_gave_them():
    assert note_words(Note(code="empty_answer", instances=("a", "b"), count=3)) == "3 answers without a word (a, b)"


def test_every_kind_has_words_of_its_own():
    assert set(FAILURES) == set(FailureKind)
    assert failure_words(Failure(kind=FailureKind.TIMEOUT)) == "timeout: no answer in time"
    assert failure_words(Failure(kind=FailureKind.REJECTED, detail="bad")) == "rejected: bad"
