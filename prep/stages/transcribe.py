"""Language and text of clips, as cached stages over one loaded recogniser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from prep.audio import Samples, resample
from prep.clip import Clip, Word
from prep.models.whisper import RATE_HZ, Recogniser
from prep.recordings import Recordings
from prep.stage import Work
from prep.text import UNSPACED, units

Load = Callable[[], Recogniser]
"""Gives the recogniser, loading it the first time."""


def samples_16k(recordings: Recordings, clip: Clip) -> Samples:
    """A clip's samples as recognisers take them."""
    span = clip.span
    return resample(recordings.read(clip.copy, span.start, span.stop), span.rate_hz, RATE_HZ)


@dataclass(frozen=True)
class DetectLanguage:
    """Most probable language of a clip, with its probability; the best five are kept in the store."""

    load: Load = field(metadata={"key": False})
    recordings: Recordings = field(metadata={"key": False})
    weights: str = ""
    name: str = "language"
    version: str = "1"

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Loads the recogniser."""
        recogniser = self.load()

        def work(clips: Sequence[Clip]) -> list[dict[str, Any]]:
            found = [recogniser.languages(samples_16k(self.recordings, clip)) for clip in clips]
            return [dict(sorted(probs.items(), key=lambda item: -item[1])[:5]) for probs in found]

        yield work

    def merge(self, clip: Clip, result: dict[str, Any]) -> Clip:
        """The clip with its most probable language; the probability stands as `language_prob`."""
        best = max(result, key=lambda code: float(result[code]))
        return replace(clip, language=best).with_measures({"language_prob": float(result[best])})


@dataclass(frozen=True)
class Transcribe:
    """Text of a clip, decoded by itself.

    Args:
        language: code the recogniser knows.
        settings: what else changes its answer (`beam_size`, `compute_type`).
    """

    load: Load = field(metadata={"key": False})
    recordings: Recordings = field(metadata={"key": False})
    language: str
    settings: tuple[tuple[str, str], ...]
    weights: str = ""
    name: str = "transcribe"
    version: str = "1"

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Loads the recogniser."""
        recogniser = self.load()

        def work(clips: Sequence[Clip]) -> list[dict[str, Any]]:
            return [asdict(recogniser.hear(samples_16k(self.recordings, clip), self.language)) for clip in clips]

        yield work

    def merge(self, clip: Clip, result: dict[str, Any]) -> Clip:
        """The clip with text, words (source time) and the text measures."""
        zero_s = clip.span.start_s
        words = tuple(
            Word(w["word"], round(zero_s + w["start_s"], 3), round(zero_s + w["end_s"], 3), w["prob"])
            for w in result["words"]
        )
        seen = replace(clip, text=result["text"], words=words, language=result["language"])
        return seen.with_measures(text_measures(words, result["language"], result["avg_logprob"], clip))


def text_measures(words: Sequence[Word], language: str, avg_logprob: float, clip: Clip) -> dict[str, float | None]:
    """`text_confidence`: mean word probability 0..1 (0 for no words); `asr_logprob`; `words_per_s` of the clip.

    In languages written without spaces two characters count as a word. Lively speech stays under 5 words/s.
    """
    n_words = len(units("".join(word.word for word in words), language)) / (2 if language in UNSPACED else 1)
    confidence = sum(word.prob for word in words) / len(words) if words else 0.0
    return {
        "text_confidence": confidence,
        "asr_logprob": avg_logprob,
        "words_per_s": n_words / clip.span.duration_s,
    }
