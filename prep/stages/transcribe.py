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
from prep.text import error_rate
from prep.witness import gzip_ratio, repeat_ratio, units_per_s, unsure, wrong_script_ratio

SURE = 0.85
"""Mean word probability at which one hearing is enough."""
UNSURE_PROB = 0.5
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
    version: str = "2"

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Loads the recogniser."""
        recogniser = self.load()

        def work(clips: Sequence[Clip]) -> list[dict[str, Any]]:
            return [self._heard(recogniser, samples_16k(self.recordings, clip)) for clip in clips]

        yield work

    def _heard(self, recogniser: Recogniser, samples: Samples) -> dict[str, Any]:
        """What was heard, and, where that is not sure, what a second hearing made of it."""
        first = recogniser.hear(samples, self.language)
        sure = text_confidence(first.words) >= SURE
        second = None if sure else recogniser.hear(samples, self.language, again=True).text
        return {**asdict(first), "second": second}

    def merge(self, clip: Clip, result: dict[str, Any]) -> Clip:
        """The clip with text, words (source time; unsure ones marked) and the text measures."""
        zero_s, language, second = clip.span.start_s, result["language"], result["second"]
        heard = [w["word"] for w in result["words"]]
        doubted = unsure(heard, second, language) if second is not None else frozenset()
        words = tuple(
            Word(
                w["word"],
                round(zero_s + w["start_s"], 3),
                round(zero_s + w["end_s"], 3),
                w["prob"],
                w["prob"] < UNSURE_PROB or i in doubted,
            )
            for i, w in enumerate(result["words"])
        )
        seen = replace(clip, text=result["text"], words=words, language=language)
        measures = text_measures(seen, result["avg_logprob"])
        if second is not None:
            measures["second_error"] = error_rate(result["text"], second, language)
        return seen.with_measures(measures)


def text_confidence(words: Sequence[Word]) -> float:
    """Mean word probability, 0..1; 0 for no words."""
    return sum(word.prob for word in words) / len(words) if words else 0.0


def text_measures(clip: Clip, avg_logprob: float) -> dict[str, float | None]:
    """What a clip's text says of itself.

    `text_confidence` (0..1), `asr_logprob` (mean log probability per token), `words_per_s` of its speech (of the
    clip where that was not measured; lively speech stays under 5), `repeat_ratio`, `gzip_ratio` and
    `wrong_script_ratio` (see `prep.witness`; good is under 0.3, 2.4 and 0.3).
    """
    text, language = "".join(word.word for word in clip.words).strip(), clip.language
    speech_s = clip.measures.get("speech_s") or clip.span.duration_s
    return {
        "text_confidence": text_confidence(clip.words),
        "asr_logprob": avg_logprob,
        "words_per_s": units_per_s(text, language, speech_s),
        "repeat_ratio": repeat_ratio(text, language),
        "gzip_ratio": gzip_ratio(text),
        "wrong_script_ratio": wrong_script_ratio(text, language),
    }
