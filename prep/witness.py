"""Signs that a recogniser's text is not what was said: loops, the wrong script, too much or too little of it.

Whisper's own failures are known: it repeats itself, it answers in another script, it goes on talking over silence
(Radford et al. 2022, section 4.5; its decoder drops text whose gzip ratio is over 2.4). These are measures, without
limits; limits stand in the configuration.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from prep.text import UNSPACED, units

LOOP_TIMES = 3
"""A phrase said this often in a row is a loop: people stop at two."""
LONGEST_PHRASE = 8
SCRIPTS: dict[str, frozenset[str]] = {
    "zh": frozenset({"CJK"}),
    "yue": frozenset({"CJK"}),
    "ja": frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}),
    "ko": frozenset({"HANGUL", "CJK"}),
    **dict.fromkeys(("ru", "uk", "be", "bg", "mk", "kk", "mn", "tg", "tt", "ba"), frozenset({"CYRILLIC"})),
    "sr": frozenset({"CYRILLIC", "LATIN"}),
    **dict.fromkeys(("ar", "fa", "ur", "ps", "sd"), frozenset({"ARABIC"})),
    **dict.fromkeys(("hi", "mr", "ne", "sa"), frozenset({"DEVANAGARI"})),
    **dict.fromkeys(("he", "yi"), frozenset({"HEBREW"})),
    "el": frozenset({"GREEK"}),
    "th": frozenset({"THAI"}),
    "bn": frozenset({"BENGALI"}),
    "ta": frozenset({"TAMIL"}),
    "te": frozenset({"TELUGU"}),
    "ka": frozenset({"GEORGIAN"}),
    "hy": frozenset({"ARMENIAN"}),
}
"""Scripts a language is written in, by the first word of its letters' Unicode names; all others in Latin."""


def repeat_ratio(text: str, language: str) -> float:
    """Share of a text's words (characters, for unspaced languages) that only repeat a phrase over and over, 0..1.

    A phrase of up to eight units that stands three or more times in a row counts all but once. 0 for no text.
    """
    found = units(text, language)
    looped, at = 0, 0
    while at < len(found):
        n_units = max((_loop(found, at, length) for length in range(1, LONGEST_PHRASE + 1)), default=0)
        looped += n_units
        at += max(1, n_units)
    return looped / len(found) if found else 0.0


def _loop(found: list[str], at: int, length: int) -> int:
    """Units beyond the first saying of the phrase of `length` at `at`; 0 where it is not said three times in a row."""
    phrase, times = found[at : at + length], 1
    if len(phrase) < length:
        return 0
    while found[at + times * length : at + (times + 1) * length] == phrase:
        times += 1
    # one letter thrice is no loop where characters are units: 哈哈哈 is laughter
    least = LOOP_TIMES + 2 * (length == 1 and len(phrase[0]) == 1)
    return (times - 1) * length if times >= least else 0


def gzip_ratio(text: str) -> float:
    """Bytes of a text over bytes once compressed (zlib): prose stays under 2, loops reach 2.4 and more; 0 for none."""
    data = text.strip().encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def wrong_script_ratio(text: str, language: str) -> float:
    """Share of a text's letters in a script the language is not written in, 0..1; 0 for no letters.

    Latin letters are at home in every text, as names and loan words; a text in nothing but Latin letters is wrong for a
    language with another script.
    """
    scripts = Counter(_script(letter) for letter in text if letter.isalpha())
    total, own = scripts.total(), SCRIPTS.get(language, frozenset({"LATIN"}))
    if not total:
        return 0.0
    at_home = sum(scripts[name] for name in own)
    return (total - at_home - (scripts["LATIN"] if "LATIN" not in own else 0)) / total if at_home else 1.0


def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0].removesuffix("S") if letter else ""


def units_per_s(text: str, language: str, speech_s: float) -> float:
    """Words per second of speech (two characters count as a word in unspaced languages); 0 where there is no speech."""
    n_words = len(units(text, language)) / (2 if language in UNSPACED else 1)
    return n_words / speech_s if speech_s > 0 else 0.0


def unsure(words: Sequence[str], second: str, language: str) -> frozenset[int]:
    """Which words (by index) a second hearing of the same audio does not confirm; words without letters never."""
    owners, mine = [], []
    for i, word in enumerate(words):
        for unit in units(word, language):
            owners.append(i)
            mine.append(unit)
    changes = Levenshtein.opcodes(mine, units(second, language))
    doubted = (owner for op in changes if op.tag != "equal" for owner in owners[op.src_start : op.src_end])
    return frozenset(doubted)
