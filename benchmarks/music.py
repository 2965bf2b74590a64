"""Music under speech: what `music_ratio` finds of it, what it takes for music that is none.

A mixture is a clip of `data/asr` (2 to 30 s, no telephone) with a stretch of `data/noise/music` under all of it, at
a chosen ratio of the speech's power (10 ms frames within 30 dB of the loudest) to the music's; seeded. Each goes
through a working copy at 24 kHz, its track and the stage's own measure, as in a run. Recordings of `data/vad/tenvad`
are not among the clips of pure speech: what lies under their speech is not documented. The network hears music in
most of 3 of the 15 (01, 15, 27); the spectrogram of 15 has steady tones in the pauses, that of 27 gliding ones, that
of 01 neither for certain.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.inputs import REPO, data_root, read_all
from benchmarks.report import Table
from prep.audio import CopyWriter, Samples
from prep.clip import Clip, Source, WorkingCopy
from prep.measures import music
from prep.models.ear import ear_digest, open_ear
from prep.models.registry import cache_root
from prep.recordings import Recordings, View
from prep.span import Span
from prep.stages.listen import Listen, frame_levels_db
from prep.store import Store

RATE_HZ = 24_000
LEVELS_DB = (0, 5, 10, 15, 20)
LIMITS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
DEFAULT_LIMIT = 0.1
SINGING_LIMIT = 0.3
N_MIXTURES = 72
NOISES = ("ambient/rain.ogg", "ambient/train.ogg", "ambient/white-noise.ogg", "ambient/wind.ogg", "ambient/waves.ogg")
NOISES += ("home/doing_the_dishes.flac", "home/exercise_bike.flac", "ambient/fireplace.ogg", "animals/hens.ogg")
SAMPLES = ("music_under.opus", "talk.mp4", "phone.mp3", "one_side.wav", "two_voices.flac", "noisy_speech.flac")
SAMPLES += ("long_pauses.webm", "mandarin.m4a", "noise.flac")
FOLDERS = ("asr", "speakers/single", "speakers/verification", "speakers/diarization", "vad/pyaudio")
SUFFIXES = {".wav", ".flac", ".mp3", ".opus"}


class Ears:
    """Measures samples as a run would: a working copy on disk, its track, the clip in it."""

    def __init__(self, folder: Path) -> None:
        ear = open_ear(cache_root())
        self._folder = folder
        self._recordings = Recordings(Listen(lambda: ear, ear_digest()), Store(folder / "store"))

    def clip(self, samples: Samples, start_s: float = 0.0, stop_s: float | None = None) -> Clip:
        """A clip of a new working copy."""
        key = hashlib.sha256(samples.tobytes()).hexdigest()[:32]
        path = self._folder / f"{key}.flac"
        writer = CopyWriter(path, RATE_HZ)
        writer.write(np.clip(samples, -1, 1).astype(np.float32))
        writer.close()
        copy = WorkingCopy(Source("made", path, key * 2), key, path, "mono", Span(0, len(samples), RATE_HZ), {})
        stop = len(samples) if stop_s is None else int(stop_s * RATE_HZ)
        return Clip(copy, Span(int(start_s * RATE_HZ), stop, RATE_HZ), key)

    def hear(self, clip: Clip) -> tuple[float, float]:
        """Music and singing ratio."""
        found = music.measure(View(clip, self._recordings))
        return found["music_ratio"] or 0.0, found["singing_ratio"] or 0.0


def read(path: Path, longest_s: int = 30) -> Samples:
    return np.ascontiguousarray(read_all(path, RATE_HZ).mean(axis=1)[: longest_s * RATE_HZ], np.float32)


def files(folder: str) -> list[Path]:
    return sorted(path for path in (data_root() / folder).rglob("*") if path.suffix in SUFFIXES)


def speech_power(samples: Samples) -> float:
    levels = frame_levels_db(samples, RATE_HZ // 100)
    return float(np.mean(10 ** (levels[levels > levels.max() - 30].astype(np.float64) / 10)))


def under(speech: Samples, bed: Samples, ratio_db: float, at: int) -> Samples:
    """Speech with a stretch of the bed from sample `at` on, repeated where it is too short."""
    stretch = np.take(bed, np.arange(at, at + len(speech)), mode="wrap")
    gain = np.sqrt(speech_power(speech) / np.mean(np.square(stretch, dtype=np.float64))) * 10 ** (-ratio_db / 20)
    return np.asarray(speech + gain * stretch, np.float32)


def mixtures(ears: Ears) -> Iterator[tuple[str, int, float, float]]:
    """Name of the music, ratio in dB, `music_ratio` of the mixture alone, and with 2 s of the mixture around it."""
    rng = np.random.default_rng(4)
    clips = [x for path in files("asr") if "telephone" not in path.parts for x in [read(path)]]
    clips = [x for x in clips if len(x) >= 2 * RATE_HZ]
    beds = {path.name: read(path) for path in files("noise/music") if "singing" not in path.name}
    for i in range(N_MIXTURES):
        name = list(beds)[i % len(beds)]
        speech, other = clips[rng.integers(len(clips))], clips[rng.integers(len(clips))]
        at = int(rng.integers(len(beds[name])))
        joined = np.concatenate([other[-2 * RATE_HZ :], speech, other[: 2 * RATE_HZ]])
        for level in LEVELS_DB:
            mixed = under(joined, beds[name], level, at)
            stop_s = 2 + len(speech) / RATE_HZ
            alone = mixed[2 * RATE_HZ : 2 * RATE_HZ + len(speech)]
            yield name, level, ears.hear(ears.clip(alone))[0], ears.hear(ears.clip(mixed, 2.0, stop_s))[0]


def _share(values: Sequence[float], limit: float) -> str:
    return f"{100 * np.mean([v > limit for v in values]):.0f} %" if values else "-"


def _curve(found: Sequence[tuple[str, int, float, float]], pure: Sequence[float], noisy: Sequence[float]) -> Table:
    rows = []
    for limit in LIMITS:
        for way, at in (("alone", 2), ("in its recording", 3)):
            shares = [_share([f[at] for f in found if f[1] == level], limit) for level in LEVELS_DB]
            false = [f"{sum(v > limit for v in values)} of {len(values)}" for values in (pure, noisy)]
            rows.append((f"> {limit:g}", way, *shares, *(false if at == 2 else ["", ""])))
    return Table(
        f"Found by music_ratio, {N_MIXTURES} mixtures a level",
        ("limit", "clip", *(f"{level} dB" for level in LEVELS_DB), "pure speech flagged", "speech in noise flagged"),
        rows,
        f"Default limit: {DEFAULT_LIMIT:g}. In its recording: 2 s of another clip over the same music on either side. "
        f"Highest five: pure speech {_top(pure)}; speech in noise {_top(noisy)} (8 clips at 10 dB in each of "
        f"{', '.join(NOISES)}).",
    )


def _top(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.2f}" for v in sorted(values, reverse=True)[:5])


def _by_music(found: Sequence[tuple[str, int, float, float]]) -> Table:
    names = sorted({f[0] for f in found})
    rows = [
        (name, *(_share([f[3] for f in found if f[:2] == (name, level)], DEFAULT_LIMIT) for level in LEVELS_DB))
        for name in names
    ]
    return Table("By music, at the default limit, in its recording", ("music", *(f"{x} dB" for x in LEVELS_DB)), rows)


def _single(title: str, paths: Sequence[Path], ears: Ears, note: str = "") -> Table:
    rows = []
    for path in paths:
        musical, singing = ears.hear(ears.clip(read(path)))
        rows.append((path.name, f"{musical:.3f}", f"{singing:.3f}", "flagged" if musical > DEFAULT_LIMIT else "-"))
    return Table(title, ("file", "music_ratio", "singing_ratio", f"at {DEFAULT_LIMIT:g}"), rows, note)


def run() -> list[Table]:
    """All tables."""
    with tempfile.TemporaryDirectory() as name:
        ears = Ears(Path(name))
        clips = [path for folder in FOLDERS for path in files(folder)]
        pure = [ears.hear(ears.clip(read(path))) for path in clips]
        found = list(mixtures(ears))
        base = [read(path) for path in files("asr")[::10][:8]]
        beds = [read(data_root() / "noise" / noise) for noise in NOISES]
        noisy = [ears.hear(ears.clip(under(x, bed, 10, 0)))[0] for x in base for bed in beds]
        singing = [s for _, s in pure]
        other = [
            path for path in files("noise") + sorted((data_root() / "noise").rglob("*.ogg")) if "rir" not in path.parts
        ]
        names = ", ".join(sorted(str(path.relative_to(data_root())) for path in clips))
        return [
            _curve(found, [m for m, _ in pure], noisy),
            _by_music(found),
            _single(
                "No speech, or hardly any", other, ears, "Clips without speech are rejected as such; a flag is no harm."
            ),
            _single("sample_data", [REPO / "sample_data" / sample for sample in SAMPLES], ears),
            Table(
                "Singing heard in pure speech",
                ("limit", "flagged"),
                [
                    (f"> {x:g}", f"{sum(v > x for v in singing)} of {len(singing)}")
                    for x in (0.05, 0.1, 0.2, SINGING_LIMIT)
                ],
                f"Highest five: {_top(singing)}. Pure speech is, here and above: {names}.",
            ),
        ]
