"""Comparing texts: one normal form, and word or character error rate."""

from __future__ import annotations

import re
import unicodedata

from rapidfuzz.distance import Levenshtein

UNSPACED = frozenset({"zh", "ja", "ko", "yue"})
"""Languages compared by character: their words are not set off by spaces (Korean's are, unreliably)."""


def units(text: str, language: str) -> list[str]:
    """The comparable units of a text: lower case, no punctuation, NFKC; words, or characters for `UNSPACED`.

    Apostrophes inside words are dropped ("don't" = "dont"). Empty or punctuation-only text gives no units.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = re.sub(r"(?<=\w)['\u2019\u02bc](?=\w)", "", plain)
    plain = re.sub(r"[^\w]+|_", " ", plain)
    return [c for c in plain if c != " "] if language in UNSPACED else plain.split()


def error_rate(reference: str, heard: str, language: str) -> float:
    """WER (CER for `UNSPACED`): edits / units of the reference; may exceed 1. Both empty: 0; empty reference: 1."""
    a, b = units(reference, language), units(heard, language)
    if not a:
        return 1.0 if b else 0.0
    return Levenshtein.distance(a, b) / len(a)


def same_ends(reference: str, heard: str, language: str) -> bool:
    """Whether both texts begin and end with the same unit; False when either is empty."""
    a, b = units(reference, language), units(heard, language)
    return bool(a and b) and a[0] == b[0] and a[-1] == b[-1]


def trigrams(text: str, language: str) -> frozenset[str]:
    """Character trigrams of the normal form: a cheap stand-in for its variety of sounds."""
    plain = " ".join(units(text, language))
    return frozenset(plain[i : i + 3] for i in range(len(plain) - 2))
