"""faster-whisper behind our own protocol: samples in, words with times and probabilities out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from prep.audio import Samples
from prep.clip import Word

RATE_HZ = 16_000
SIMPLIFIED = "t2s"
SHIFT_S = 0.3


@dataclass(frozen=True)
class Heard:
    """What a recogniser made of one stretch; times in seconds from its start.

    Args:
        words: in order; their `word`s joined (with their own spaces) give `text`.
        avg_logprob: mean log probability per token, weighted by segment length; 0 for no text.
        no_speech_prob: the largest of the segments', 0..1.
    """

    text: str
    words: tuple[Word, ...]
    language: str
    avg_logprob: float
    no_speech_prob: float


class Recogniser(Protocol):
    """Speech to text."""

    def hear(self, samples: Samples, language: str, again: bool = False) -> Heard:
        """Words in `(n,)` float32 at 16 kHz; empty audio gives empty text.

        `again`: another way of hearing the same, as a second witness; times are those of `samples` all the same.
        """
        ...

    def languages(self, samples: Samples) -> dict[str, float]:
        """Probability per language code, of the first 30 s."""
        ...


class Whisper:
    """A loaded faster-whisper model; Chinese comes out in simplified characters (OpenCC).

    Args:
        folder: with the CTranslate2 weights.
        device: `cpu`, `cuda` or `auto`.
        compute_type: CTranslate2's; on a CPU `int8` took 3.0 s for a 15 s clip where float32 took 4.9, its WER within a
            point on 205 words of read speech (benchmarks/results/asr.md).
        threads: per call.
        beam_size: 5 is the model's own evaluation setting.

    Decoding is at temperature 0 only: the model's fallback samples at random, and two runs would differ. A second
    hearing is greedy and shifted by 0.3 s of silence, so that its frames fall otherwise.
    """

    def __init__(self, folder: Path, device: str, compute_type: str, threads: int, beam_size: int) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(
            str(folder), device=device, compute_type=compute_type, cpu_threads=threads, local_files_only=True
        )
        self._beam_size = beam_size
        self._simplify: Any = None

    def hear(self, samples: Samples, language: str, again: bool = False) -> Heard:
        """See `Recogniser.hear`."""
        if len(samples) < RATE_HZ // 10:
            return Heard("", (), language, 0.0, 0.0)
        shift_s = SHIFT_S if again else 0.0
        silence = np.zeros(int(shift_s * RATE_HZ), np.float32)
        found, _ = self._model.transcribe(
            np.concatenate([silence, np.asarray(samples, np.float32), silence]),
            language=language,
            beam_size=1 if again else self._beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        segments = list(found)
        words = tuple(self._word(word, language, shift_s) for segment in segments for word in segment.words or ())
        text = "".join(word.word for word in words).strip()
        seconds = sum(s.end - s.start for s in segments)
        logprob = sum(s.avg_logprob * (s.end - s.start) for s in segments) / seconds if seconds > 0 else 0.0
        no_speech = max((s.no_speech_prob for s in segments), default=0.0)
        return Heard(text, words, language, float(logprob), float(no_speech))

    def languages(self, samples: Samples) -> dict[str, float]:
        """See `Recogniser.languages`."""
        _, _, found = self._model.detect_language(np.ascontiguousarray(samples, np.float32))
        return {code: float(prob) for code, prob in found}

    def _word(self, word: Any, language: str, shift_s: float) -> Word:
        text = self._simplified(word.word) if language == "zh" else word.word
        start_s, end_s = (max(0.0, round(float(at) - shift_s, 3)) for at in (word.start, word.end))
        return Word(text, start_s, end_s, round(float(word.probability), 3))

    def _simplified(self, text: str) -> str:
        if self._simplify is None:
            import opencc

            self._simplify = opencc.OpenCC(SIMPLIFIED)
        return str(self._simplify.convert(text))
