"""Write sample files: PyAV for what is coded, soundfile for WAV and FLAC; no system FFmpeg is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile as sf
from av.codec.context import Flags

Audio = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

BIT_EXACT = {"fflags": "+bitexact"}  # no version strings or random serial numbers in the container
PICTURES_PER_S = 5


def write_pcm(path: Path, audio: Audio, rate_hz: int) -> None:
    """Write 16-bit WAV or FLAC; `audio` is `(samples,)` or `(samples, channels)`."""
    sf.write(path, audio, rate_hz, subtype="PCM_16")


def write_coded(path: Path, audio: Audio, rate_hz: int, codec: str, bits_per_s: int) -> None:
    """Write mono audio with an FFmpeg encoder; the container follows from the file's name."""
    with av.open(str(path), "w", options=BIT_EXACT) as container:
        stream = add_audio(container, rate_hz, codec, bits_per_s)
        for frame in audio_frames(audio, rate_hz, rate_hz):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_video(path: Path, audio: Audio, rate_hz: int, bits_per_s: int) -> None:
    """Write an MP4 of AAC and a small moving picture, one second of each at a time."""
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w", options=BIT_EXACT) as container:
        video = container.add_stream(codec, rate=PICTURES_PER_S, width=160, height=120, pix_fmt="yuv420p")
        video.codec_context.flags |= Flags.bitexact
        video.codec_context.thread_count = 1
        video.options = {"crf": "38", "preset": "medium"} if codec == "libx264" else {}
        sound = add_audio(container, rate_hz, "aac", bits_per_s)
        for second, frame in enumerate(audio_frames(audio, rate_hz, rate_hz)):
            pictures = range(second * PICTURES_PER_S, (second + 1) * PICTURES_PER_S)
            for index in pictures[: frame.samples * PICTURES_PER_S // rate_hz]:
                container.mux(video.encode(video_frame(index)))
            container.mux(sound.encode(frame))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def add_audio(container: av.container.OutputContainer, rate_hz: int, codec: str, bits_per_s: int) -> av.AudioStream:
    """Add a mono audio stream."""
    stream = container.add_stream(codec, rate=rate_hz, layout="mono")
    stream.bit_rate = bits_per_s
    stream.codec_context.flags |= Flags.bitexact
    return stream


def audio_frames(audio: Audio, rate_hz: int, block: int) -> Iterator[av.AudioFrame]:
    """Cut audio into frames of `block` samples, with timestamps."""
    for start in range(0, len(audio), block):
        samples = np.ascontiguousarray(audio[None, start : start + block], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        frame.sample_rate = rate_hz
        frame.pts = start
        yield frame


def video_frame(index: int) -> av.VideoFrame:
    """Draw one picture: a light disc that wanders over a dusk sky."""
    frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
    frame.pts = index
    return frame


def draw(index: int) -> Picture:
    y, x = np.mgrid[0:120, 0:160]
    sky = np.stack([40 + y // 2, 50 + y // 4, 90 - y // 4], axis=-1)
    centre = 80 + 55 * np.sin(index / 20), 60 + 30 * np.sin(index / 13)
    disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 18**2
    return np.where(disc[..., None], (240, 220, 170), sky).astype(np.uint8)


def cut_in_half(path: Path) -> None:
    """Keep the first half of a file's bytes."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def decoded_s(path: Path) -> float:
    """Seconds of audio that can be decoded, packet by packet, passing over damaged ones; 0 for nothing."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            return sum(map(n_decoded, container.demux(stream))) / stream.rate
    except av.error.InvalidDataError:
        return 0.0


def n_decoded(packet: av.Packet) -> int:
    """Samples in one packet; 0 when it is damaged."""
    try:
        return sum(frame.samples for frame in packet.decode())
    except av.error.InvalidDataError:
        return 0
