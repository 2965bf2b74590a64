"""Signs of a wrong text, on texts whose answer is known."""

import pytest

from prep.witness import gzip_ratio, repeat_ratio, units_per_s, unsure, wrong_script_ratio


@pytest.mark.parametrize(
    ("text", "language", "ratio"),
    [
        ("the cat sat on the mat", "en", 0.0),
        ("very very good", "en", 0.0),  # twice is speech
        ("no no no", "en", 2 / 3),
        ("Thank you. Thank you. Thank you. Thank you.", "en", 6 / 8),
        ("so I said that that was it", "en", 0.0),
        ("well then one two one two one two", "en", 4 / 8),
        ("哈哈哈,真好", "zh", 0.0),
        ("谢谢大家谢谢大家谢谢大家", "zh", 8 / 12),
        ("", "en", 0.0),
        ("...", "en", 0.0),
    ],
)
def test_loops(text, language, ratio):
    assert repeat_ratio(text, language) == pytest.approx(ratio)


def test_a_loop_of_a_long_phrase_between_other_words():
    phrase = "and then we went to the market again "
    assert repeat_ratio("first " + phrase * 4 + "last", "en") == pytest.approx(24 / 34)


def test_compression_tells_loops_from_prose():
    prose = (
        "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness"
    )
    assert 1.0 < gzip_ratio(prose) < 2.0
    assert gzip_ratio("I'm going to go to the store. " * 12) > 2.4
    assert gzip_ratio("  ") == 0.0


@pytest.mark.parametrize(
    ("text", "language", "ratio"),
    [
        ("Guten Morgen", "de", 0.0),
        ("Привет, мир", "ru", 0.0),
        ("Привет, мир", "en", 1.0),
        ("今天用 Python 写", "zh", 0.0),
        ("hello there", "zh", 1.0),
        ("カタカナ語です", "ja", 0.0),
        ("안녕하세요", "ja", 1.0),
        ("abc где", "en", 0.5),
        ("123 !?", "zh", 0.0),
        ("", "en", 0.0),
        ("Zdravo, свете", "sr", 0.0),
    ],
)
def test_scripts(text, language, ratio):
    assert wrong_script_ratio(text, language) == pytest.approx(ratio)


def test_rate_counts_two_characters_as_a_word_where_words_are_not_set_off():
    assert units_per_s("one two three four", "en", 2.0) == 2.0
    assert units_per_s("今天天气很好啊", "zh", 2.0) == 1.75
    assert units_per_s("one", "en", 0.0) == 0.0


def test_words_that_a_second_hearing_does_not_confirm():
    words = [" The", " cat,", " sat", " --", " there."]
    assert unsure(words, "The bat sat there", "en") == {1}
    assert unsure(words, "the cat sat there", "en") == frozenset()
    assert unsure(words, "", "en") == {0, 1, 2, 4}
    assert unsure([], "something", "en") == frozenset()
    assert unsure(["今天", "天气"], "今天天汽", "zh") == {1}
