"""The only module that touches codecs: open, decode, resample, read back, write.

Decoding goes packet by packet, because an error caught around PyAV's own frame generator ends it for good (a 60 s
MP3 with one bad stretch gave 17.9 s that way, 59.6 s this way), and frames are placed by their timestamps, because
several decoders drop damaged stretches without a word and only the timestamps show the hole.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from av.error import FFmpegError

from prep.errors import BadAudio
from prep.span import Span

Samples = npt.NDArray[np.float32]

DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,iff,matroska,webm,mov,mp4,m4a,3gp,"
    "3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,nistsphere,ogg,rm,sox,spdif,truehd,tta,voc,w64,wav,wv"
)
"""Containers that hold their own media. Playlists, concat scripts, image sequences and devices are not among them."""

BLOCK_S = 1.0
JITTER_S = 0.015
"""A frame this much late is jitter (containers stamp in ms; live recorders wobble); an Opus packet is 20 ms."""
MAX_GAP_S = 3600.0
"""A longer jump is a broken clock, not a pause: the audio runs on and the jump is counted."""
MAX_LISTED_GAPS = 2000
CLOCK_RESET_S = 1.0
"""A jump back by this much is a clock that began anew. Less is a sloppy stamp: ASF's wander by 50 ms, all early."""
MAX_CHANNELS = 64


@dataclass(frozen=True)
class Probe:
    """What the container says before anything is decoded.

    `declared_s` is None where it says nothing; `bit_depth` is of the samples as decoded, 0 for lossy codecs.
    """

    container: str
    codec: str
    native_rate_hz: int
    n_channels: int
    bit_depth: int
    declared_s: float | None
    n_audio_streams: int


@dataclass
class DecodeStats:
    """Counted while decoding. `gap_s` is silence put in for missing audio; `lead_s` precedes the first sample.

    `gaps` holds the first `MAX_LISTED_GAPS` as (start, length) in seconds of the timeline.
    """

    decoded_s: float = 0.0
    gap_s: float = 0.0
    n_gaps: int = 0
    gaps: list[tuple[float, float]] = field(default_factory=list)
    lead_s: float = 0.0
    decode_errors: int = 0
    timestamp_jumps: int = 0
    nonfinite_samples: int = 0
    format_changes: int = 0


@dataclass(frozen=True)
class Block:
    """Decoded samples, float32 `(n, channels)`, nominal range [-1, 1], in timeline order without holes."""

    samples: Samples
    rate_hz: int


def _refuse_nested(url: str, flags: int, options: dict[str, str]) -> Any:
    raise PermissionError(f"refused to open {url!r}: a recording may not read other files")


def _describe_open_error(error: Exception, head: bytes) -> str:
    if isinstance(error, PermissionError):
        return str(error)
    if isinstance(error, av.error.InvalidDataError) and head[4:8] == b"ftyp":
        return "an incomplete MP4: its index (moov) is missing; it was cut off, or is still being copied"
    if isinstance(error, av.error.InvalidDataError):
        kind = "it is plain text" if looks_like_text(head) else "no known container found in its bytes"
        return f"not audio or video that can be read ({kind})"
    if isinstance(error, (av.error.ArgumentError, ValueError)):
        return "not a container voxprep reads (playlists, scripts and pictures are refused)"
    return f"cannot be opened: {error}"


def looks_like_text(head: bytes) -> bool:
    """Whether the first bytes of a file are text: no NUL, and nearly all printable; empty counts as text."""
    odd = sum(byte < 9 or 13 < byte < 32 for byte in head)
    return b"\0" not in head and odd <= len(head) // 100


class Decoder:
    """One audio stream of one file, as a context manager.

    Args:
        path: a regular file.
        stream: which audio stream, from 0.
        name: what errors call it; the path when left out.

    Raises:
        BadAudio: unreadable, empty, not media, no audio stream, or absurd header facts.
    """

    def __init__(self, path: Path, stream: int = 0, name: str | None = None) -> None:
        self.name = name or str(path)
        self.stats = DecodeStats()
        self._file = _open_regular(path, self.name)
        try:
            self._container = self._open_container()
            self._stream = self._pick(stream)
            self.probe = self._probe()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close container and file; safe to call twice."""
        container = getattr(self, "_container", None)
        if container is not None:
            container.close()
        self._file.close()

    def _open_container(self) -> Any:
        # A Python file object, never a name: FFmpeg then has no protocol with which to reach anything else.
        try:
            return av.open(
                self._file,
                metadata_errors="replace",
                io_open=_refuse_nested,
                container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": "none"},
            )
        except (FFmpegError, PermissionError, ValueError) as error:
            self._file.seek(0)
            raise BadAudio(self.name, _describe_open_error(error, self._file.read(4096))) from error

    def _pick(self, stream: int) -> Any:
        audio = self._container.streams.audio
        if not audio:
            raise BadAudio(self.name, "has no audio track")
        if stream >= len(audio):
            raise BadAudio(self.name, f"has {len(audio)} audio track(s), number {stream} was asked for")
        return audio[stream]

    def _probe(self) -> Probe:
        codec = self._stream.codec_context
        if codec is None:
            raise BadAudio(self.name, "its audio codec is unknown")
        rate, channels = codec.sample_rate or 0, codec.channels or 0
        if not 0 <= channels <= MAX_CHANNELS:
            raise BadAudio(self.name, f"declares {channels} channels; at most {MAX_CHANNELS} are read")
        declared = _riff_declared_s(self._file) or _declared_s(self._container, self._stream)
        bits = int(codec.format.bits) if codec.format is not None and _is_pcm_like(codec.name) else 0
        return Probe(
            container=str(self._container.format.name),
            codec=str(codec.name),
            native_rate_hz=rate,
            n_channels=channels,
            bit_depth=bits,
            declared_s=declared,
            n_audio_streams=len(self._container.streams.audio),
        )

    def blocks(self) -> Iterator[Block]:
        """Decode everything as blocks of about `BLOCK_S`; damaged packets are counted and skipped.

        Raises:
            BadAudio: nothing at all could be decoded.
        """
        placer = _Placer(self.stats, _container_start_s(self._container))
        for frame in self._frames():
            yield from placer.place(frame)
        yield from placer.flush()
        if self.stats.decoded_s == 0:
            errors = f" ({self.stats.decode_errors} damaged packets)" if self.stats.decode_errors else ""
            raise BadAudio(self.name, f"holds no audio that can be decoded{errors}")

    def _frames(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (FFmpegError, PermissionError):  # the container itself breaks off here
                self.stats.decode_errors += 1
                packet = None
            try:
                frames = self._stream.decode(packet)
            except FFmpegError:
                self.stats.decode_errors += 1
                frames = []
            yield from frames
            if packet is None:
                return


class _Placer:
    """Puts frames on one timeline whose zero is the container's start; see `JITTER_S` and `MAX_GAP_S`.

    Frames are gathered in FFmpeg's own FIFO and turned into arrays a second at a time: 43 frames a second through
    numpy one by one cost four times the decoding itself.
    """

    def __init__(self, stats: DecodeStats, zero_s: float) -> None:
        self._stats = stats
        self._zero_s = zero_s
        self._at_s = 0.0  # end of what was placed, seconds on the timeline
        self._expected_s: float | None = None  # end of the last frame by its own timestamp
        self._fifo: Any = None
        self._rate_hz = 0
        self._tick_s = 0.0

    def place(self, frame: Any) -> Iterator[Block]:
        """Add one frame; yields blocks that are full."""
        n_samples = frame.samples
        if n_samples == 0 or frame.sample_rate <= 0:
            return
        if frame.sample_rate != self._rate_hz:
            yield from self._start(frame)
        pts, frame.pts = frame.pts, None
        hole_s = self._hole_s(pts, n_samples)
        if hole_s > 0:
            yield from self.flush()
            yield from self._fill(hole_s, frame.layout.nb_channels)
        try:
            self._fifo.write(frame)
        except ValueError:  # another sample format or channel layout than the frames before
            yield from self._start(frame)
            self._fifo.write(frame)
        self._at_s += n_samples / self._rate_hz
        self._stats.decoded_s += n_samples / self._rate_hz
        if self._fifo.samples >= self._rate_hz * BLOCK_S:
            yield from self.flush()

    def _start(self, frame: Any) -> Iterator[Block]:
        yield from self.flush()
        self._stats.format_changes += self._fifo is not None
        self._fifo = av.AudioFifo()
        self._rate_hz = frame.sample_rate
        self._tick_s = float(frame.time_base) if frame.time_base else 0.0

    def _hole_s(self, pts: int | None, n_samples: int) -> float:
        """Seconds of silence missing before this frame; updates the expectation for the next."""
        duration_s = n_samples / self._rate_hz
        if pts is None or not self._tick_s:
            self._expected_s = None if self._expected_s is None else self._expected_s + duration_s
            return 0.0
        time_s = pts * self._tick_s - self._zero_s
        expected_s = self._at_s if self._expected_s is None else self._expected_s
        late_s, jump_s = time_s - self._at_s, time_s - expected_s
        self._expected_s = time_s + duration_s
        if self._stats.decoded_s == 0:
            self._stats.lead_s = late_s if JITTER_S < late_s <= MAX_GAP_S else 0.0
            return self._stats.lead_s
        if not -CLOCK_RESET_S < jump_s < MAX_GAP_S:
            self._stats.timestamp_jumps += 1
            self._zero_s += late_s  # the clock was reset: run on from what we have
            self._expected_s = self._at_s + duration_s
            return 0.0
        # A clock that merely drifts is late without a jump; filling it would put clicks into speech.
        if late_s <= JITTER_S or jump_s <= JITTER_S / 2:
            return 0.0
        self._stats.n_gaps += 1
        self._stats.gap_s += late_s
        if len(self._stats.gaps) < MAX_LISTED_GAPS:
            self._stats.gaps.append((self._at_s, late_s))
        return late_s

    def _fill(self, hole_s: float, n_channels: int) -> Iterator[Block]:
        left = round(hole_s * self._rate_hz)
        self._at_s += left / self._rate_hz
        while left > 0:
            n = min(left, int(BLOCK_S * self._rate_hz) or 1)
            yield Block(np.zeros((n, n_channels), np.float32), self._rate_hz)
            left -= n

    def flush(self) -> Iterator[Block]:
        """Yield what is waiting, with NaN and infinities counted and set to 0."""
        if self._fifo is None or not self._fifo.samples:
            return
        samples = _to_float(self._fifo.read(0, True))
        with np.errstate(invalid="ignore", over="ignore"):  # +inf and -inf in one block
            finite = bool(np.isfinite(samples.sum()))
        if not finite:
            bad = ~np.isfinite(samples)
            self._stats.nonfinite_samples += int(bad.sum())
            samples = np.where(bad, np.float32(0), samples)
        yield Block(samples, self._rate_hz)


_SCALE = {"s16": 2.0**-15, "s32": 2.0**-31, "s64": 2.0**-63}


def _to_float(frame: Any) -> Samples:
    """Frame as float32 `(n, channels)`, full scale = 1."""
    name = frame.format.name.removesuffix("p")
    data = frame.to_ndarray()
    data = data.T if frame.format.is_planar else data.reshape(-1, frame.layout.nb_channels)
    if name == "u8":
        return np.asarray((data.astype(np.float32) - 128.0) / 128.0, np.float32)
    if name in _SCALE:
        return np.asarray(data * np.float32(_SCALE[name]), np.float32)
    return np.asarray(data, np.float32)


def _open_regular(path: Path, name: str) -> Any:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise BadAudio(name, "is not a regular file")
        if os.stat(path).st_size == 0:
            raise BadAudio(name, "is empty (0 bytes)")
        return open(path, "rb")
    except OSError as error:
        raise BadAudio(name, f"cannot be read: {error.strerror or error}") from error


def _riff_declared_s(file: Any) -> float | None:
    """Length by a plain WAV's own header: FFmpeg quietly corrects a data size larger than the file.

    None for other files, and for sizes that writers leave open (0, 0xFFFFFFFF).
    """
    at = file.tell()
    try:
        file.seek(0)
        head = file.read(4096)
    finally:
        file.seek(at)
    found = head.find(b"data", 12)
    if head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt " or found < 0:
        return None
    bytes_per_s = int.from_bytes(head[28:32], "little")
    size = int.from_bytes(head[found + 4 : found + 8], "little")
    return size / bytes_per_s if bytes_per_s and 0 < size < 0xFFFFFF00 else None


def _declared_s(container: Any, stream: Any) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration and container.duration > 0 else None


def _container_start_s(container: Any) -> float:
    """The earliest stream's start, seconds; cover pictures do not count."""
    starts = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
    if starts:
        return float(min(starts))
    return container.start_time / 1e6 if container.start_time else 0.0


def _is_pcm_like(codec: str) -> bool:
    return codec.startswith("pcm_") or codec in {"flac", "alac", "wavpack", "tta", "ape", "truehd"}


class Resampler:
    """Streamed soxr HQ: `(n, channels)` in, `(m, channels)` out; chunked equals whole, bit for bit.

    Total output length is `rescale(total_in, from_hz, to_hz)`. Aliases stay below -100 dB, loss at 0.9 of the new
    Nyquist below 0.1 dB (benchmarks/results/decode.md).
    """

    def __init__(self, from_hz: int, to_hz: int, n_channels: int) -> None:
        self._same = from_hz == to_hz
        self._n_channels = n_channels
        self._stream = (
            None if self._same else soxr.ResampleStream(from_hz, to_hz, n_channels, dtype="float32", quality="HQ")
        )

    def push(self, samples: Samples, last: bool = False) -> Samples:
        """Resample a chunk; `last=True` once, at the end, gives the tail."""
        if self._stream is None:
            return samples
        out = self._stream.resample_chunk(np.ascontiguousarray(samples, np.float32), last=last)
        return np.asarray(out, np.float32).reshape(-1, self._n_channels)


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Whole mono signal `(n,)` to another rate with soxr HQ; length `rescale(n, from_hz, to_hz)`."""
    if from_hz == to_hz:
        return samples
    return np.asarray(soxr.resample(samples, from_hz, to_hz, quality="HQ"), np.float32)


class CopyWriter:
    """Writes a mono working copy: 24-bit FLAC in blocks (a one-call write of long audio has crashed libsndfile)."""

    def __init__(self, path: Path, rate_hz: int) -> None:
        self._file = soundfile.SoundFile(
            path, "w", samplerate=rate_hz, channels=1, subtype="PCM_24", format="FLAC", compression_level=0.0
        )
        self.n_samples = 0
        self.n_overs = 0

    def write(self, samples: Samples) -> None:
        """Append `(n,)` float32; what exceeds full scale is counted, then clipped."""
        if len(samples) and float(np.abs(samples).max()) > 1.0:
            self.n_overs += int((np.abs(samples) > 1.0).sum())
            samples = np.clip(samples, -1.0, 1.0)
        for at in range(0, len(samples), 65536):
            self._file.write(samples[at : at + 65536])
        self.n_samples += len(samples)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class CopyReader:
    """Random access to a mono file on disk, open once; a context manager."""

    def __init__(self, path: Path) -> None:
        self._file = soundfile.SoundFile(path)
        self.rate_hz = int(self._file.samplerate)
        self.n_samples = int(self._file.frames)

    def __enter__(self) -> CopyReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def read(self, start: int, stop: int) -> Samples:
        """Samples `[start, stop)` clamped to the file, float32 `(n,)`."""
        start, stop = max(0, start), min(stop, self.n_samples)
        if stop <= start:
            return np.zeros(0, np.float32)
        if self._file.tell() != start:
            self._file.seek(start)
        return np.asarray(self._file.read(stop - start, dtype="float32"), np.float32)

    def blocks(self, block_s: float = 30.0) -> Iterator[Samples]:
        """The whole file in order, `(n,)` each."""
        n = int(block_s * self.rate_hz)
        for at in range(0, self.n_samples, n):
            yield self.read(at, at + n)


def read_span(path: Path, span: Span) -> Samples:
    """Samples of a span of a file at the span's own rate, float32 `(n,)`.

    Raises:
        ValueError: the file's rate is not the span's.
    """
    with CopyReader(path) as reader:
        if reader.rate_hz != span.rate_hz:
            raise ValueError(f"{path} is at {reader.rate_hz} Hz, the span at {span.rate_hz} Hz")
        return reader.read(span.start, span.stop)


def write_wav16(path: Path, samples: Samples, rate_hz: int) -> None:
    """Write mono PCM16 WAV, full scale = 1."""
    soundfile.write(path, samples, rate_hz, subtype="PCM_16", format="WAV")


def write_flac16(path: Path, samples: Samples, rate_hz: int) -> None:
    """Write mono 16-bit FLAC, full scale = 1."""
    soundfile.write(path, samples, rate_hz, subtype="PCM_16", format="FLAC")


@dataclass(frozen=True)
class Header:
    """Container, sample format, rate, channels and length of a finished file."""

    container: str
    subtype: str
    rate_hz: int
    channels: int
    duration_s: float


def read_header(data: bytes) -> Header:
    """What a finished audio file's bytes say of themselves.

    Raises:
        ValueError: not audio that libsndfile reads.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            seconds = sound.frames / sound.samplerate
            return Header(sound.format, sound.subtype, int(sound.samplerate), int(sound.channels), seconds)
    except soundfile.LibsndfileError as error:
        raise ValueError(str(error)) from error


def read_mono(file: Path | bytes) -> tuple[Samples, int]:
    """A finished clip (a path, or its bytes), whole: float32 `(n,)` (first channel) and its rate."""
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    data, rate_hz = soundfile.read(source, dtype="float32", always_2d=True)
    return np.ascontiguousarray(data[:, 0]), int(rate_hz)
