import unicodedata

import pytest

from arriero.monitor.safe import safe_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x9b31m", r"\x9b31m"),
        ("\x7f\x00\x08", r"\x7f\x00\x08"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("a\u2028b\u2029c\x85", r"a\u2028b\u2029c\x85"),
        ("mist\u200bral\ufeff", r"mist\u200bral\ufeff"),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_could_move_a_terminal_or_an_eye_is_shown_as_an_escape(text, shown):
    assert safe_text(text) == shown


@pytest.mark.parametrize("text", ["mistral:7b", "Größe 漢字 🦙", "שלום", r"C:\new", ""])
def test_ordinary_text_of_any_language_is_left_alone(text):
    assert safe_text(text) == text


def test_no_control_of_unicode_gets_through():
    everything = "".join(
        map(chr, (*range(0x3000), *range(0xD800, 0xE000), *range(0xFE00, 0x10000), *range(0xE0000, 0xE0200)))
    )
    left = {char for char in safe_text(everything) if unicodedata.category(char) in {"Cc", "Zl", "Zp", "Cs"}}
    bidi = {char for char in safe_text(everything) if unicodedata.bidirectional(char) in {"RLO", "LRO", "RLI", "PDF"}}

    assert left == set()
    assert bidi == set()


def test_a_long_text_is_cut_and_says_so():
    assert safe_text("abcdef", chars=3) == "abc..."
    assert safe_text("abc", chars=3) == "abc"
