"""Choose a vendor's set best first: hear only what may be chosen, keep only what passes as a finished file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from prep.clip import Clip, Word
from prep.stages.fit import Window
from prep.stages.render import Rendered
from prep.stages.verify import Verdict
from prep.text import trigrams

SENTENCE_END = (".", "!", "?", "\u3002", "\uff01", "\uff1f", "\u2026")
CLOSERS = "\"'\u201d\u2019)\u300d\u300f "


@dataclass(frozen=True)
class SetSpec:
    """How many files make a set.

    Args:
        wanted: aimed at; `least`: fewer is an unmet set.
        max_total_s: of all files together; None = no limit.
        max_tries: finished files made and judged before giving up.
        text: whether files carry a text.
        min_total_s: of all files together; less is an unmet set, and more files than wanted are taken to reach it.
        most: files of a set, however short they are together; None = any number.
    """

    wanted: int
    least: int
    max_total_s: float | None = None
    max_tries: int = 24
    text: bool = True
    min_total_s: float = 0.0
    most: int | None = None

    def full(self, n: int, total_s: float) -> bool:
        """Whether a set of `n` files of `total_s` seconds needs no further file."""
        long_enough = total_s >= self.min_total_s or (self.most is not None and n >= self.most)
        return n >= self.wanted and long_enough

    def met(self, n: int, total_s: float) -> bool:
        """Whether a set of `n` files of `total_s` seconds is one the vendor takes."""
        return n >= self.least and total_s >= self.min_total_s


@dataclass(frozen=True)
class Scored:
    """A window with its score in parts, each 0..1."""

    window: Window
    clips: tuple[Clip, ...]
    words: tuple[Word, ...]
    signal: float
    confidence: float = 0.0
    sentence: float = 0.0
    variety: float = 1.0

    @property
    def total(self) -> float:
        """Signal 0.5, text confidence 0.2, whole sentences 0.2, variety 0.1."""
        return 0.5 * self.signal + 0.2 * self.confidence + 0.2 * self.sentence + 0.1 * self.variety

    @property
    def text(self) -> str:
        """Exactly the words inside."""
        return "".join(word.word for word in self.words).strip()


@dataclass(frozen=True)
class Choice:
    """A window that passed as a finished file; `next_best` is the best candidate it kept out."""

    scored: Scored
    rendered: Rendered
    verdict: Verdict
    next_best: Scored | None = None


@dataclass
class Selection:
    """What was chosen, what was tried and why it failed, and every clip that was heard (by key)."""

    choices: list[Choice] = field(default_factory=list)
    failed: list[tuple[Scored, list[str]]] = field(default_factory=list)
    heard: dict[str, Clip] = field(default_factory=dict)

    @property
    def total_s(self) -> float:
        """Seconds of the chosen files together."""
        return sum(choice.scored.window.duration_s for choice in self.choices)


Listen = Callable[[Sequence[Clip]], list[Clip]]
"""Hear clips closely, transcribe them where the set carries text, and judge them."""
Finish = Callable[[Scored], tuple[Rendered, Verdict]]
"""Render a window and judge the file."""


def select(pool: Sequence[Window], spec: SetSpec, listen: Listen, finish: Finish) -> Selection:
    """Best-first selection of non-overlapping windows.

    The best window by signal is heard: its clips are closely measured, and transcribed where files carry a text. Among
    all windows wholly inside what has been heard, the best by signal, text confidence, sentence ends and variety is
    made into a file and judged; a file that fails is struck off with its reason. So the dear work is done only until
    the set is full.
    """
    state = Selection()
    shortest_s = min((window.duration_s for window in pool), default=0.0)
    live = sorted(pool, key=lambda window: (-window.score, window.speech))
    live = _short_enough(live, state, spec, shortest_s)
    alike: list[Window] = []  # much like one that failed: tried only when there is nothing else
    while (live or alike) and not spec.full(len(state.choices), state.total_s) and len(state.failed) < spec.max_tries:
        if not live:
            live = _short_enough([window for window in alike if _still_alive(window, state)], state, spec, shortest_s)
            alike = []
            continue
        if any(clip.key not in state.heard for clip in live[0].clips):
            _hear(live[0], state, listen)
            live = [window for window in live if _still_alive(window, state)]
            continue
        best, runner_up = _best(live, state, spec)
        live.remove(best.window)
        rendered, verdict = finish(best)
        if verdict.faults:
            state.failed.append((best, verdict.faults))
            alike += [window for window in live if _mostly_in(window, best.window)]
            live = [window for window in live if not _mostly_in(window, best.window)]
            continue
        state.choices.append(Choice(best, rendered, verdict, runner_up))
        live = [window for window in live if not window.overlaps(best.window)]
        alike = [window for window in alike if not window.overlaps(best.window)]
        live = _short_enough(live, state, spec, shortest_s)
    return state


def _mostly_in(window: Window, other: Window) -> bool:
    """Whether more than half of a window's speech is in another."""
    shared = window.speech & other.speech if window.overlaps(other) else None
    return shared is not None and 2 * shared.n_samples > window.speech.n_samples


def _short_enough(live: list[Window], state: Selection, spec: SetSpec, shortest_s: float) -> list[Window]:
    """Windows that leave room for the files still wanted; the best of the others is struck off with that reason."""
    if spec.max_total_s is None or not live:
        return live
    n_wanted = min(spec.wanted, int(spec.max_total_s / shortest_s))
    kept_free_s = shortest_s * max(0, n_wanted - len(state.choices) - 1)
    room_s = spec.max_total_s - state.total_s - kept_free_s
    struck = next((window for window in live if window.duration_s > room_s), None)
    if struck is not None:
        taken = [choice.scored for choice in state.choices]
        reason = f"would make the set longer than {spec.max_total_s:g} s"
        state.failed.append((score(struck, state, taken, spec), [reason]))
    return [window for window in live if window.duration_s <= room_s]


def _hear(window: Window, state: Selection, listen: Listen) -> None:
    unheard = [clip for clip in window.clips if clip.key not in state.heard]
    state.heard.update({clip.key: clip for clip in listen(unheard)})


def _still_alive(window: Window, state: Selection) -> bool:
    return all(state.heard.get(clip.key, clip).alive for clip in window.clips)


def _best(live: Sequence[Window], state: Selection, spec: SetSpec) -> tuple[Scored, Scored | None]:
    """The best window among those heard, and the best that overlaps none of it or is left over."""
    ready = [w for w in live if all(clip.key in state.heard for clip in w.clips)]
    taken = [choice.scored for choice in state.choices]
    ranked = sorted((score(w, state, taken, spec) for w in ready), key=lambda s: (-s.total, s.window.speech))
    return ranked[0], next((s for s in ranked[1:] if not s.window.overlaps(ranked[0].window)), _first(ranked[1:]))


def _first(rest: Sequence[Scored]) -> Scored | None:
    return rest[0] if rest else None


def score(window: Window, state: Selection, taken: Sequence[Scored], spec: SetSpec) -> Scored:
    """A window's score with its text against what is already chosen."""
    clips = tuple(state.heard.get(clip.key, clip) for clip in window.clips)
    scored = Scored(window, clips, window.words(clips), window.score)
    if not spec.text or not scored.words:
        return scored
    language = clips[0].language
    own = trigrams(scored.text, language)
    known = frozenset().union(*(trigrams(other.text, language) for other in taken))
    return replace(
        scored,
        confidence=sum(word.prob for word in scored.words) / len(scored.words),
        sentence=sentence_ends(window, clips, scored.words),
        variety=1.0 - len(own & known) / len(own) if own else 0.0,
    )


def sentence_ends(window: Window, clips: Sequence[Clip], words: Sequence[Word]) -> float:
    """0, 0.5 or 1: whether the window begins at a sentence's beginning and stops at one's end."""
    before = [word for clip in clips for word in clip.words if word.end_s <= words[0].start_s]
    opens = _ends(before[-1]) if before else words[0].word.strip()[:1].isupper()
    return 0.5 * opens + 0.5 * _ends(words[-1])


def _ends(word: Word) -> bool:
    return word.word.rstrip(CLOSERS).endswith(SENTENCE_END)
