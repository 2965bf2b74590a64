"""Recordings the benchmarks run on: real speech, looped to length and encoded."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from benchmarks.report import Missing
from prep.audio import Decoder, Resampler, Samples

REPO = Path(__file__).parent.parent
TALK = REPO / "sample_data" / "talk.mp4"
SUFFIXES = {"aac": ".m4a", "libmp3lame": ".mp3"}
PAUSE_S = 1.0
ROOM_DBFS = -65.0


def data_root() -> Path:
    """The shared recordings.

    Raises:
        Missing: they are not beside the project.
    """
    root = Path(os.environ.get("VOXPREP_TEST_DATA") or REPO.parent / "shared" / "data")
    if not root.is_dir():
        raise Missing("needs the shared test recordings: name their folder in VOXPREP_TEST_DATA")
    return root


def talk() -> Path:
    """A minutes-long recording of one voice: a shared one where there is one, else the repo's own."""
    try:
        return data_root() / "long" / "columbia_2003.wma"
    except Missing:
        return TALK


def read_all(path: Path, rate_hz: int) -> Samples:
    """A whole file at a rate, float32 `(n, channels)`."""
    with Decoder(path) as decoder:
        blocks = list(decoder.blocks())
    resampler = Resampler(blocks[0].rate_hz, rate_hz, blocks[0].samples.shape[1])
    parts = [resampler.push(block.samples) for block in blocks]
    return np.concatenate([*parts, resampler.push(blocks[0].samples[:0], last=True)])


def looped(parts: Sequence[Samples], n_samples: int) -> Iterator[Samples]:
    """The parts over and over until there are `n_samples`."""
    left = n_samples
    for part in itertools.cycle(parts):
        if left <= 0:
            return
        yield part[:left]
        left -= len(part)


def with_channels(samples: Samples, n_channels: int) -> Samples:
    """`(n, n_channels)`: the first channels there are, or the first one repeated."""
    if samples.shape[1] >= n_channels:
        return samples[:, :n_channels]
    return np.repeat(samples[:, :1], n_channels, axis=1)


def room_tone(n_samples: int, n_channels: int) -> Samples:
    """Quiet noise, as a room makes it."""
    noise = np.random.default_rng(7).standard_normal((n_samples, n_channels)) * 10 ** (ROOM_DBFS / 20)
    return noise.astype(np.float32)


def with_pauses(parts: Iterable[Samples], rate_hz: int) -> list[Samples]:
    """Each part followed by a second of room tone."""
    pause_samples = int(PAUSE_S * rate_hz)
    return [piece for part in parts for piece in (part, room_tone(pause_samples, part.shape[1]))]


def encode(path: Path, blocks: Iterable[Samples], rate_hz: int, codec: str, bit_rate: int) -> Path:
    """Write `(n, channels)` blocks as a compressed file; the container follows the file's suffix."""
    block_iter = iter(blocks)
    first = next(block_iter)
    layout = "stereo" if first.shape[1] == 2 else "mono"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        stream.bit_rate = bit_rate
        at = 0
        for block in itertools.chain([first], block_iter):
            for begin in range(0, len(block), rate_hz):
                piece = block[begin : begin + rate_hz]
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece.T), "fltp", layout)
                frame.sample_rate, frame.pts = rate_hz, at
                at += len(piece)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def long_talk(folder: Path, minutes: float, codec: str, n_channels: int) -> Path:
    """A talk of `minutes` at 44.1 kHz, 64 kbit/s a channel; codec `aac` or `libmp3lame`."""
    rate_hz = 44_100
    speech = with_channels(read_all(talk(), rate_hz), n_channels)
    path = folder / f"talk{n_channels}{SUFFIXES[codec]}"
    blocks = looped([speech], int(minutes * 60 * rate_hz))
    return encode(path, blocks, rate_hz, codec, 64_000 * n_channels)


def long_reading(folder: Path, minutes: float) -> Path:
    """One reader after another with a second between the pieces, `minutes` in all: mono m4a, 24 kHz."""
    root, rate_hz = data_root(), 24_000
    files = [*sorted((root / "asr" / "long_read").iterdir()), root / "long" / "ljspeech_LJ001.flac"]
    parts = with_pauses((read_all(file, rate_hz)[:, :1] for file in files), rate_hz)
    return encode(folder / "reading.m4a", looped(parts, int(minutes * 60 * rate_hz)), rate_hz, "aac", 96_000)


def transcribed(folders: Sequence[str], every: int) -> list[tuple[Path, str]]:
    """English clips of the shared set with what is said in them: each `every`-th of the folders named."""
    root = data_root() / "asr"
    with open(root / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"].split("/")[0] in folders]
    return [(root / row["file"], row["transcript"]) for row in rows[::every]]
