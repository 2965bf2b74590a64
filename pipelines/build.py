"""Config -> the things that do the work; the only place that knows their order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from types import TracebackType

from threadpoolctl import threadpool_limits

from pipelines.config import Config
from prep.audio import Samples
from prep.clip import Measures, Word, WorkingCopy
from prep.measures import bandwidth, clipping, dc, edges, gaps, hum, level, music, purity, reverb, snr, speech
from prep.measures.base import Check
from prep.measures.mos import Mos
from prep.models import campplus, pyannote_segmentation, registry
from prep.models.ear import WEIGHTS as EAR_WEIGHTS
from prep.models.ear import Ear, ear_digest, open_ear
from prep.models.whisper import Heard, Recogniser, Whisper
from prep.parallel import n_threads
from prep.recordings import Recordings, View
from prep.stage import Stage, fingerprint, settings_of
from prep.stages.diarize import Turning, turns
from prep.stages.listen import Listen
from prep.stages.transcribe import DetectLanguage, Transcribe
from prep.stages.turns import Turns
from prep.store import Store, digest, file_sha256

WEIGHTS = (*EAR_WEIGHTS, "faster-whisper-base", "pyannote-segmentation-3.0", "campplus-zh-en")
"""What `prepare` needs, as it is configured by default."""
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
        self._turns: tuple[str, Turns] | None = None
        self.threads = n_threads(config.run.threads)
        # Python's threads do the sharing out: a BLAS that starts its own for each small product only gets in their way
        self._stack.enter_context(threadpool_limits(1, "blas"))
        self.listening = Listen(lambda: self.ear, ear_digest(), self.threads)
        self.recordings = self._stack.enter_context(Recordings(self.listening, self.store))

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    @cached_property
    def ear(self) -> Ear:
        """Hears speech, singing and music."""
        return open_ear(self._cache, self._fetching)

    def turns(self, copy: WorkingCopy) -> Turns:
        """Who speaks when in a working copy."""
        if self._turns is None or self._turns[0] != copy.key:
            self._turns = (copy.key, turns(copy, self.turning, self.store))
        return self._turns[1]

    @cached_property
    def turning(self) -> Turning:
        """Settings of finding the turns."""
        speakers = self.config.speakers
        digests = (self.networks.segmentation_digest, self.networks.embedding_digest)
        return Turning(self.networks, *digests, speakers.same_voice, threads=self.threads)

    @cached_property
    def networks(self) -> Networks:
        """The speaker networks."""
        return Networks(self._cache, self.config.speakers.model, self._fetching, self.threads)

    def rounds(self) -> tuple[tuple[Stage, ...], ...]:
        """Measures in rounds, cheap before dear; clips that break a limit after a round skip the later ones.

        Those of the second round cost less together than reading a clip again for each.
        """
        signal = {
            "gaps": ("1", gaps.measure),
            "clipping": ("2", clipping.measure),
            "snr": ("2", snr.measure),
            "dc": ("1", dc.measure),
            "music": ("2", music.measure),
            "level": ("1", level.measure),
            "edges": ("2", edges.measure),
            "bandwidth": ("1", bandwidth.measure),
            "hum": ("1", hum.measure),
            "reverb": ("2", reverb.measure),
        }
        made: list[list[Stage]] = [
            [Check("speech", "1", speech.measure, self.recordings), *self._who()],
            [Check(name, version, measure, self.recordings) for name, (version, measure) in signal.items()],
            self._mos(),
        ]
        return tuple(tuple(checks) for checks in made if checks)

    def _who(self) -> list[Stage]:
        """Who talks in a clip, by its recording's turns."""
        return self._of_turns("turns", lambda view, found: purity.by_turns(view.clip.span, found))

    def purity(self) -> list[Stage]:
        """Whether a clip's own sound is of one voice; dear, since all of it is embedded three times over."""
        return self._of_turns("purity", lambda view, found: purity.measure(view, found, self.networks.embedder))

    def _of_turns(self, name: str, measure: Callable[[View, Turns], Measures]) -> list[Stage]:
        """A measure that looks at the recording's turns; none where these are not asked for."""
        if not self.config.speakers.turns:
            return []
        key = digest(settings_of(self.turning))
        return [Check(name, "1", lambda view: measure(view, self.turns(view.clip.copy)), self.recordings, key)]

    def _mos(self) -> list[Stage]:
        """Predicted opinion scores, where they are asked for."""
        if not self.config.mos.on:
            return []
        return [Mos(self.recordings, self.dnsmos_folder(), registry.weight("dnsmos").digest)]

    def dnsmos_folder(self) -> Path:
        """Where the DNSMOS networks lie, fetched the first time."""
        return registry.ensure("dnsmos", cache=self._cache, progress=self._fetching)

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


class Networks:
    """The speaker networks, opened when first needed; their digests are known without.

    Args:
        cache: root of weights.
        model: a speaker network of the user's own, or empty.
        fetching: told of weights being fetched.
        threads: that embed the windows of one clip.
    """

    def __init__(self, cache: Path, model: str, fetching: Fetching | None, threads: int = 1) -> None:
        self._cache, self._model, self._fetching, self._threads = cache, model, fetching, threads

    @property
    def segmentation_digest(self) -> str:
        """Of the segmentation network."""
        return pyannote_segmentation.RECIPE.digest

    @property
    def embedding_digest(self) -> str:
        """Of the speaker network."""
        return file_sha256(Path(self._model)) if self._model else campplus.RECIPE.digest

    @cached_property
    def segmenter(self) -> pyannote_segmentation.Segmenter:
        """Who speaks when in 10 s."""
        return pyannote_segmentation.open_segmentation(self._cache, progress=self._fetching)

    @cached_property
    def embedder(self) -> campplus.Embedder:
        """Which voice it is."""
        path = Path(self._model) if self._model else None
        return campplus.open_campplus(self._cache, path=path, progress=self._fetching, threads=self._threads)


MEASURES_OF_STAGE = {
    "speech": ("speech_ratio", "speech_s"),
    "gaps": ("gap_ratio",),
    "clipping": ("clipped_ratio", "flat_top_ratio"),
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
    "turns": ("n_speakers", "overlap_ratio", "speaker_purity"),
    "dc": ("dc_offset",),
    "bandwidth": ("bandwidth_hz",),
    "hum": ("hum_db", "hum_dbfs"),
    "reverb": ("c50_db",),
    "music": ("music_ratio", "singing_ratio"),
    "purity": ("speaker_agreement", "speaker_margin"),
    "mos": ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808"),
}
"""What each stage measures, so that a row can say what was never asked of it."""
