"""Texts compared in one normal form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prep.text import error_rate, same_ends, trigrams, units


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Hello, World!", "en", ["hello", "world"]),
        ("don't \u2014 can\u2019t", "en", ["dont", "cant"]),
        ("'quoted' rock 'n' roll", "en", ["quoted", "rock", "n", "roll"]),
        ("well-known", "en", ["well", "known"]),
        ("snake_case", "en", ["snake", "case"]),
        ("\uff28\uff25\uff2c\uff2c\uff2f \uff11\uff12", "en", ["hello", "12"]),  # full width
        ("Stra\u00dfe", "de", ["strasse"]),
        ("cafe\u0301", "fr", ["caf\u00e9"]),  # combining accent
        ("\u4f60\u597d\uff0c \u4e16\u754c\u3002", "zh", ["\u4f60", "\u597d", "\u4e16", "\u754c"]),
        ("\uc548\ub155 \ud558\uc138\uc694", "ko", ["\uc548", "\ub155", "\ud558", "\uc138", "\uc694"]),
        ("?!... \u2014", "en", []),
        ("", "zh", []),
    ],
)
def test_units(text, language, expected):
    assert units(text, language) == expected


@pytest.mark.parametrize(
    ("reference", "heard", "language", "expected"),
    [
        ("the cat sat down", "the cat sat down", "en", 0.0),
        ("The cat, sat DOWN.", "the cat sat down", "en", 0.0),
        ("the cat sat down", "the bat sat down", "en", 0.25),  # substitution
        ("the cat sat down", "the cat sat", "en", 0.25),  # deletion
        ("the cat sat down", "well the cat sat down now", "en", 0.5),  # insertions
        ("one", "two three four", "en", 3.0),  # may exceed 1
        ("don't go", "dont go", "en", 0.0),
        ("\u4eca\u5929\u5929\u6c14\u5f88\u597d", "\u4eca\u5929\u5929\u5668\u5f88\u597d\u3002", "zh", 1 / 6),
        ("\u4eca\u5929 \u5929\u6c14", "\u4eca\u5929\u5929\u6c14", "zh", 0.0),  # spaces do not count
        ("\u4eca\u5929 \u5929\u6c14", "\u4eca\u5929\u5929\u6c14", "en", 1.0),  # but do for languages with words
        ("", "", "en", 0.0),
        ("", "something", "en", 1.0),
        ("...", "something", "en", 1.0),
        ("something", "", "en", 1.0),
    ],
)
def test_error_rate(reference, heard, language, expected):
    assert error_rate(reference, heard, language) == pytest.approx(expected)


@given(st.text(), st.sampled_from(["en", "zh"]))
def test_a_text_agrees_with_itself_in_capitals_and_quotes(text, language):
    assert error_rate(text, f"\u201c{text}\u201d", language) == 0


@given(st.lists(st.sampled_from("abc"), min_size=1), st.lists(st.sampled_from("abc"), min_size=1))
def test_edits_are_the_same_both_ways(a, b):
    forth, back = error_rate(" ".join(a), " ".join(b), "en"), error_rate(" ".join(b), " ".join(a), "en")
    assert forth * len(a) == pytest.approx(back * len(b))


def test_same_ends():
    assert same_ends("The cat sat.", "the dog, sat", "en")
    assert not same_ends("The cat sat.", "cat sat", "en")
    assert not same_ends("The cat sat.", "the cat", "en")
    assert not same_ends("", "", "en")
    assert not same_ends("...", "a", "en")


def test_trigrams():
    assert trigrams("Ab, cd", "en") == {"ab ", "b c", " cd"}
    assert trigrams("ab", "en") == frozenset()
