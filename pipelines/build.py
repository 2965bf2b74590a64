"""Config -> the things that do the work; the only place that knows their order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from pipelines.config import Config
from prep.audio import Samples
from prep.clip import Word
from prep.measures import clipping, edges, gaps, level, snr, speech
from prep.measures.base import Check
from prep.models import registry
from prep.models.vad import SileroStream, open_silero
from prep.models.whisper import Heard, Recogniser, Whisper
from prep.recordings import Recordings
from prep.stage import Stage, fingerprint
from prep.stages.listen import Listen
from prep.stages.transcribe import DetectLanguage, Transcribe
from prep.store import Store, digest

Fetching = Callable[[int, int | None, str], None]
"""Told while weights come: bytes so far, bytes in all, what."""


class Session:
    """One worker's store, models and open files; models load when first needed. A context manager.

    Args:
        config: merged and checked.
        cache: root of weights and results.
        fetching: told of weights being fetched.
    """

    def __init__(self, config: Config, cache: Path, fetching: Fetching | None = None) -> None:
        self.config = config
        self.store = Store(cache / "store")
        self._cache = cache
        self._fetching = fetching
        self._stack = ExitStack()
        self._recogniser: Recogniser | None = None
        silero = registry.weight("silero-vad-v6")
        self._silero_path = registry.ensure(silero, cache=cache, progress=fetching)
        self.listening = Listen(self._silero_path, silero.digest)
        self.recordings = self._stack.enter_context(Recordings(self.listening, self.store))

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def vad(self) -> SileroStream:
        """A fresh speech stream, for a finished file."""
        return SileroStream(open_silero(self._silero_path))

    def rounds(self) -> tuple[tuple[Stage, ...], ...]:
        """Measures in rounds, cheap before dear; clips that break a limit after a round skip the later ones."""
        made = [
            [Check("speech", "1", speech.measure, self.recordings)],
            [
                Check("gaps", "1", gaps.measure, self.recordings),
                Check("clipping", "1", clipping.measure, self.recordings),
                Check("snr", "2", snr.measure, self.recordings),
            ],
            [Check("level", "1", level.measure, self.recordings), Check("edges", "2", edges.measure, self.recordings)],
        ]
        return tuple(tuple(checks) for checks in made)

    def recogniser(self) -> Recogniser:
        """The recogniser, fetched and loaded the first time."""
        if self._recogniser is None:
            asr = self.config.asr
            folder = (
                Path(asr.path) if asr.path else registry.ensure(asr.model, cache=self._cache, progress=self._fetching)
            )
            self._recogniser = Whisper(folder, asr.device, asr.compute_type, asr.threads, asr.beam_size)
        return self._recogniser

    @property
    def asr_digest(self) -> str:
        """Which weights hear: the registry's digest, or the path the user named."""
        return self.config.asr.path or registry.weight(self.config.asr.model).digest

    def hear(self, samples: Samples, language: str, sha256: str) -> Heard:
        """Text of a finished file (16 kHz samples of the file with that digest), from the store where it has it."""
        key = digest("file", sha256, fingerprint(self.transcribe_stage(language)))
        known = self.store.get(key)
        if known is None:
            known = asdict(self.recogniser().hear(samples, language))
            self.store.put(key, known)
        return Heard(**{**known, "words": tuple(Word(**word) for word in known["words"])})

    def language_stage(self) -> DetectLanguage:
        """Language of a clip."""
        return DetectLanguage(self.recogniser, self.recordings, self.asr_digest)

    def transcribe_stage(self, language: str) -> Transcribe:
        """Text of a clip in a language."""
        asr = self.config.asr
        settings = (("beam_size", str(asr.beam_size)), ("compute_type", asr.compute_type))
        return Transcribe(self.recogniser, self.recordings, language, settings, self.asr_digest)


MEASURES_OF_STAGE = {
    "speech": ("speech_ratio", "speech_s"),
    "gaps": ("gap_ratio",),
    "clipping": ("clipped_ratio",),
    "snr": ("snr_db",),
    "level": ("lufs", "peak_dbfs"),
    "edges": ("edge_quiet_ms", "own_end_below_db", "edge_voiced_ratio"),
    "transcribe": (
        "text_confidence",
        "asr_logprob",
        "words_per_s",
        "repeat_ratio",
        "gzip_ratio",
        "wrong_script_ratio",
        "second_error",
    ),
    "voices": ("n_speakers",),
}
"""What each stage measures, so that a row can say what was never asked of it."""
