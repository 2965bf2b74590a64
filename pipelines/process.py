"""The one road from a source to judged clips, used by every verb and every engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from pipelines.build import MEASURES_OF_STAGE, Session
from prep.clip import Clip, Reason, Source, WorkingCopy
from prep.errors import BadAudio
from prep.span import Span, samples_of
from prep.stage import apply, apply_all, settings_of
from prep.stages.ingest import ingest
from prep.stages.segment import merge, tile
from prep.stages.turns import speaker_changes
from prep.store import digest

N_LANGUAGE_CLIPS = 3
ONE_CHANGE_S = 0.5
SURE_LANGUAGE = 0.8
"""One clip decides when it is this sure: each one asked costs as much as transcribing it."""
Done = Callable[[str], None]


@dataclass(frozen=True)
class Recording:
    """One working copy and its clips, tiling it in order."""

    copy: WorkingCopy
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class SourceResult:
    """What became of one source: its recordings, or why there are none."""

    name: str
    source: Source | None
    recordings: tuple[Recording, ...] = ()
    error: str | None = None
    skipped: bool = False


def process(source: Source, session: Session, done: Done | None = None) -> SourceResult:
    """Decode, listen, segment, measure and judge one source; bad audio becomes its result, not an exception."""
    say = done or (lambda _: None)
    try:
        copies = ingest(source, session.config.ingesting, session.store)
    except BadAudio as error:
        return SourceResult(source.name, source, error=error.cause)
    say("decoded")
    recordings = []
    for copy in copies:
        clips = judged(segmented(copy, session), session)
        recordings.append(Recording(copy, tuple(clips)))
        say("measured")
    return SourceResult(source.name, source, tuple(recordings))


def segmented(copy: WorkingCopy, session: Session) -> list[Clip]:
    """The tiles of a working copy as clips; none spans a change of speaker."""
    settings = session.config.segmenting
    changes, listened = _changes(copy, session)
    key = digest(copy.key, asdict(settings), session.listening.weights_sha256, *listened)
    wished = copy.source.part
    part = (
        None if wished is None else (samples_of(wished[0], copy.span.rate_hz), samples_of(wished[1], copy.span.rate_hz))
    )
    clips = []
    for piece in tile(session.recordings.track(copy), settings, part, changes):
        span = Span(piece.start, piece.stop, copy.span.rate_hz)
        clip = Clip(copy, span, digest(key, piece.start, piece.stop), stages=("ingest@1", "listen@1", "segment@1"))
        clips.append(clip.with_measures({"forced_cut": float(piece.forced)}))
    return [_outside(clip) for clip in clips]


def _changes(copy: WorkingCopy, session: Session) -> tuple[list[tuple[int, int]], list[str]]:
    """Where the speaker changes, and what the answer depends on; nothing where that is not asked for."""
    if not session.config.speakers.turns:
        return [], []
    stretches = [(change.earliest, change.latest) for change in speaker_changes(session.turns(copy))]
    # where a voice takes over without a pause, segmentation sees both for a moment: two changes, one turn
    near = int(ONE_CHANGE_S * copy.span.rate_hz)
    return merge(stretches, near), [digest(settings_of(session.turning))]


def _outside(clip: Clip) -> Clip:
    """A clip that leaves the part of the source asked for (`file@12:31-14:00`) says so."""
    part = clip.copy.source.part
    if part is None or (part[0] <= clip.span.start_s and clip.span.end_s <= part[1]):
        return clip
    early = clip.span.start_s < part[0]
    reason = Reason("part", clip.span.start_s if early else clip.span.end_s, part[0] if early else part[1], "s")
    return clip.with_reasons((reason,))


def judged(clips: Sequence[Clip], session: Session) -> list[Clip]:
    """Every round of measures, a gate after each."""
    out = list(clips)
    for stages in session.rounds():
        out = session.config.gate.judge_all(apply_all(stages, out, session.store, threads=session.threads))
    return out


def closely_heard(clips: Sequence[Clip], session: Session) -> list[Clip]:
    """Clips after the checks that are too dear for every second of an archive, judged again."""
    return session.config.gate.judge_all(apply_all(session.purity(), clips, session.store))


def transcribed(clips: Sequence[Clip], language: str, session: Session, done: Done | None = None) -> list[Clip]:
    """Clips closely heard and with text, judged by the text limits too."""
    say = done or (lambda _: None)
    checked = closely_heard(clips, session)
    out = apply(session.transcribe_stage(language), checked, session.store, lambda clip: say("transcribed"))
    return session.config.gate.judge_all(out)


def language_of(recording: Recording, session: Session) -> str:
    """The recording's language: set by the user, else the vote of its longest usable clips; "" when it has none."""
    if session.config.asr.language:
        return session.config.asr.language
    alive = [clip for clip in recording.clips if clip.alive]
    best = sorted(alive, key=lambda clip: -(clip.measures.get("speech_s") or 0.0))[:N_LANGUAGE_CLIPS]
    votes: dict[str, float] = {}
    for clip in best:
        (heard,) = apply(session.language_stage(), [clip], session.store)
        sure = heard.measures["language_prob"] or 0.0
        votes[heard.language] = votes.get(heard.language, 0.0) + sure
        if sure >= SURE_LANGUAGE:
            break
    return max(votes, key=lambda code: votes[code]) if votes else ""


def with_clips(recording: Recording, new: Sequence[Clip]) -> Recording:
    """The recording with some of its clips replaced (by key)."""
    known = {clip.key: clip for clip in new}
    return replace(recording, clips=tuple(known.get(clip.key, clip) for clip in recording.clips))


def not_run(clip: Clip) -> list[str]:
    """Measures never asked of a clip, in the order of the stages."""
    names = (name for names in MEASURES_OF_STAGE.values() for name in names)
    return [name for name in names if name not in clip.measures]
