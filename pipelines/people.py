"""Who is who across the recordings of a run, and whose clips a vendor's set is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.build import Session
from pipelines.config import SpeakersConfig
from pipelines.process import Recording, process
from pipelines.sources import expand, source_of
from prep.audio import write_wav16
from prep.clip import Clip, Reason, Source
from prep.errors import ConfigError
from prep.measures.voices import Talker, Voice, similarity, voices_of
from prep.stages.turns import Turns
from prep.store import write_atomic

Floats = npt.NDArray[np.float32]
SAMPLE_S = 5.0
LEAST_VOICE_S = 1.5
"""Who speaks less in a recording is not named as a voice: a cough, a word from the next room, a slip of the ear."""
FILE = "voices.json"


@dataclass(frozen=True)
class Wanted:
    """The voice `--speaker` names: where its print comes from, in words, and the print."""

    name: str
    print: Floats = field(repr=False)


@dataclass(frozen=True)
class People:
    """The voices of a run, whose each recording's speakers are, and whose clips are wanted.

    `wanted` is empty where nobody could be chosen; `problem` then says why (rule, measured, limit, unit, fix).
    `similarity` is that of the best voice to the one asked for; None where none was asked for.
    """

    voices: tuple[Voice, ...] = ()
    wanted: str = ""
    similarity: float | None = None
    problem: Mapping[str, Any] | None = None

    def voice_of(self, recording: str, number: int) -> str:
        """The voice of a recording's speaker."""
        return next(
            (v.id for v in self.voices for t in v.talkers if (t.recording, t.number) == (recording, number)), ""
        )


def people_of(recordings: Sequence[Recording], session: Session) -> People:
    """The voices of these recordings, the same bytes given twice heard once; none where turns are not asked for."""
    if not session.config.speakers.turns:
        return People()
    talkers = [
        Talker(key, number, float(found.speech_s[number]), found.centroids[number])
        for key, found in {r.copy.key: session.turns(r.copy) for r in recordings}.items()
        for number in range(found.n_speakers)
        if found.speech_s[number] >= LEAST_VOICE_S
    ]
    return People(voices_of(talkers, session.config.speakers.across))


def with_speakers(recording: Recording, session: Session, people: People) -> Recording:
    """The recording with each clip's voice: whoever speaks longest in it; empty where nobody does."""
    if not people.voices:
        return recording
    found = session.turns(recording.copy)
    names = [people.voice_of(recording.copy.key, number) for number in range(found.n_speakers)]
    clips = tuple(replace(clip, speaker=_speaker(clip, found, names)) for clip in recording.clips)
    return replace(recording, clips=clips)


def _speaker(clip: Clip, turns: Turns, names: Sequence[str]) -> str:
    shared = np.minimum(turns.stops, clip.span.stop) - np.maximum(turns.starts, clip.span.start)
    said = np.zeros(len(names))
    np.add.at(said, turns.speakers, np.maximum(shared, 0))
    said *= [bool(name) for name in names]
    return names[int(np.argmax(said))] if said.any() else ""


def chosen(people: People, wanted: Wanted | None, limits: SpeakersConfig) -> People:
    """Whose clips are to be used: the voice asked for, else the one that speaks most.

    A reference that no voice is like enough, and a near tie where nobody was named, choose nobody and say so.
    """
    if not people.voices:
        return people
    if wanted is not None:
        alike = [(similarity(voice.print, wanted.print), voice.id) for voice in people.voices]
        best, name = max(alike)
        if best >= limits.across:
            return replace(people, wanted=name, similarity=best)
        fix = f"{wanted.name} is not heard in these recordings; the most similar voice is {name}"
        return replace(people, similarity=best, problem=_problem("speaker", best, limits.across, "", fix))
    first, *others = people.voices
    rival = others[0].speech_s / first.speech_s if others and first.speech_s > 0 else 0.0
    if rival < limits.near_tie:
        return replace(people, wanted=first.id)
    fix = f"two voices speak about as much; say whose set it is to be: --speaker {first.id} or --speaker {others[0].id}"
    return replace(people, problem=_problem("main voice", round(rival, 2), limits.near_tie, "of the first", fix))


def told(people: People) -> str:
    """Who was heard, in one line."""
    if not people.voices:
        return "voices: not checked" if people.problem is None else "voices: nobody speaks"
    heard = ", ".join(f"{v.id} {v.speech_s / 60:.1f} min" + " *" * (v.id == people.wanted) for v in people.voices[:8])
    more = f" and {len(people.voices) - 8} more" if len(people.voices) > 8 else ""
    return f"voices: {heard}{more}" + (" (* whose clips are used)" if people.wanted else "")


def _problem(rule: str, measured: float, limit: float, unit: str, fix: str) -> dict[str, Any]:
    return {"rule": rule, "measured": round(measured, 3), "limit": limit, "unit": unit, "fix": fix}


def only(recording: Recording, voice: str) -> Recording:
    """The recording as a set of one voice may use it: clips of others that hold speech are out of bounds."""
    if not voice:
        return recording
    out = (Reason("other_voice", None, None),)
    clips = tuple(
        clip if clip.speaker in ("", voice) or not clip.alive else clip.with_reasons(out) for clip in recording.clips
    )
    return replace(recording, clips=clips)


def reference(text: str, out: Path, session: Session, say: Callable[[str], None]) -> Wanted:
    """The voice that `--speaker` names: a file, a part of one (`file@12:31-12:41`), or a voice of a run in `out`.

    Raises:
        ConfigError: no such file or voice, or nobody speaks in it.
    """
    known = _earlier(out).get(text)
    if known is not None:
        return Wanted(f"voice {text} of the earlier run", np.array(known, np.float32))
    try:
        given = expand([text])
    except ConfigError as error:
        voices = ", ".join(_earlier(out)) or "none there"
        raise ConfigError(
            f"--speaker {text}: no such file, nor a voice of an earlier run in {out} ({voices})"
        ) from error
    source = source_of(given[0])
    if not isinstance(source, Source):
        raise ConfigError(f"--speaker {text}: {source.error}")
    say(f"listening to {text}")
    result = process(source, session)
    spoken = [(clip, recording) for recording in result.recordings for clip in recording.clips]
    prints = [_print_of(clip, recording, session) for clip, recording in spoken if _inside(clip, source)]
    total = sum(prints, np.zeros(192, np.float32)) if prints else np.zeros(192, np.float32)
    if not total.any():
        raise ConfigError(f"--speaker {text}: {result.error or 'nobody speaks there'}")
    return Wanted(text, np.asarray(total / np.linalg.norm(total), np.float32))


def _inside(clip: Clip, source: Source) -> bool:
    part = source.part
    return part is None or (part[0] <= clip.span.start_s and clip.span.end_s <= part[1])


def _print_of(clip: Clip, recording: Recording, session: Session) -> Floats:
    """Sum of the voiceprints taken inside a clip, of the one who speaks most there; zeros where there are none."""
    found = session.turns(recording.copy)
    middle = (found.piece_starts + found.piece_stops) // 2
    inside = (middle >= clip.span.start) & (middle < clip.span.stop) & (found.piece_speakers >= 0)
    if not inside.any():
        return np.zeros(found.pieces.shape[1], np.float32)
    main = int(np.bincount(found.piece_speakers[inside]).argmax())
    return np.asarray(found.pieces[inside & (found.piece_speakers == main)].sum(axis=0), np.float32)


def _earlier(out: Path) -> dict[str, list[float]]:
    path = out / FILE
    if not path.is_file():
        return {}
    try:
        return {row["voice"]: row["print"] for row in json.loads(path.read_text("utf-8"))}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: is not a list of voices ({error})") from error


def write_voices(out: Path, people: People, recordings: Sequence[Recording], session: Session) -> list[dict[str, Any]]:
    """`voices.json` (voiceprints included: they are personal data) and 5 s of each voice under `voices/`.

    Returns the rows without the prints.
    """
    folder = out / "voices"
    for old in folder.glob("*.wav") if folder.is_dir() else ():
        old.unlink()
    rows = [_row(voice, people, recordings, session, folder) for voice in people.voices]
    prints = [
        {**row, "print": [round(float(x), 5) for x in voice.print]}
        for row, voice in zip(rows, people.voices, strict=True)
    ]
    write_atomic(out / FILE, (json.dumps(prints, ensure_ascii=False) + "\n").encode())
    return rows


def _row(
    voice: Voice, people: People, recordings: Sequence[Recording], session: Session, folder: Path
) -> dict[str, Any]:
    named = {r.copy.key: r.copy.source.name for r in recordings}
    sample = _sample(voice, recordings, session, folder)
    return {
        "voice": voice.id,
        "speech_s": round(voice.speech_s, 1),
        "wanted": voice.id == people.wanted,
        "recordings": sorted({named[t.recording] for t in voice.talkers}),
        "sample": f"voices/{sample.name}" if sample else None,
    }


def _sample(voice: Voice, recordings: Sequence[Recording], session: Session, folder: Path) -> Path | None:
    """Up to 5 s of the voice's longest clip, so that a person can tell who it is."""
    spoken = [clip for recording in recordings for clip in recording.clips if clip.speaker == voice.id]
    if not spoken:
        return None
    clip = max(spoken, key=lambda c: (c.alive, c.measures.get("speech_s") or 0.0))
    stop = min(clip.span.stop, clip.span.start + int(SAMPLE_S * clip.span.rate_hz))
    samples = session.recordings.read(clip.copy, clip.span.start, stop)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{voice.id}.wav"
    write_wav16(path, samples, clip.span.rate_hz)
    return path
