"""One voice across recordings: who of this file is who of that one, by the cosine of their voiceprints."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Talker:
    """A speaker of one recording.

    Args:
        recording: its key; `number` is the speaker's number in it.
        speech_s: seconds they speak there.
        print: mean voiceprint, `(dims,)`, unit length; zeros where none could be taken.
    """

    recording: str
    number: int
    speech_s: float
    print: Floats = field(repr=False, compare=False)


@dataclass(frozen=True)
class Voice:
    """A person heard in one or more recordings.

    `id` is `A` for who speaks most, then `B`, ...; equal minutes are told apart by recording and number, so that the
    same recordings give the same ids in whatever order. `print` is the mean of the talkers' weighted by seconds.
    """

    id: str
    talkers: tuple[Talker, ...]
    print: Floats = field(repr=False, compare=False)

    @property
    def speech_s(self) -> float:
        """Seconds this person speaks in all."""
        return sum(talker.speech_s for talker in self.talkers)


def voices_of(talkers: Sequence[Talker], same_voice: float) -> tuple[Voice, ...]:
    """The persons behind the speakers of all recordings, the one who speaks most first.

    Average linkage on the cosine: two groups are one person where the mean cosine over their pairs is at least
    `same_voice`. Two speakers of one recording are never joined: its own turns were told apart in context. A speaker
    without a voiceprint is a person of their own.
    """
    groups = [[talker] for talker in sorted(talkers, key=_order)]
    while len(groups) > 1:
        best, i, j = max(
            ((_alike(a, b), -i, -j) for i, a in enumerate(groups) for j, b in enumerate(groups) if i < j),
            default=(-1.0, 0, 0),
        )
        if best < same_voice:
            break
        groups[-i] += groups.pop(-j)
    groups.sort(key=lambda group: (-sum(t.speech_s for t in group), _order(min(group, key=_order))))
    return tuple(Voice(name_of(n), tuple(sorted(group, key=_order)), _mean(group)) for n, group in enumerate(groups))


def name_of(number: int) -> str:
    """0 -> A, 25 -> Z, 26 -> AA, ..."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = string.ascii_uppercase[rest] + letters
    return letters


def similarity(one: Floats, other: Floats) -> float:
    """Cosine of two voiceprints, -1..1; 0 where either is missing."""
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size > 0 else 0.0


def _order(talker: Talker) -> tuple[str, int]:
    return talker.recording, talker.number


def _alike(one: Sequence[Talker], other: Sequence[Talker]) -> float:
    if {t.recording for t in one} & {t.recording for t in other}:
        return -1.0
    return float(np.mean([similarity(a.print, b.print) for a in one for b in other]))


def _mean(group: Sequence[Talker]) -> Floats:
    total = sum((talker.print * np.float32(talker.speech_s) for talker in group), np.zeros_like(group[0].print))
    size = float(np.linalg.norm(total))
    return np.asarray(total / size if size > 0 else total, np.float32)
