"""What a vendor is to us: frozen values and one protocol.

A provider turns an `EnrolRequest` into a `Voice`. It knows its vendor's wire format and nothing of configs,
ledgers or the command line; the vendor's limits are handed to it. Every remote step runs inside
`journal.step(...)`, so that whoever keeps the journal can write it down before and after it happens; a
provider with several steps (slot, train) opens one per step, and asks the journal what earlier ones gave.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from prep.errors import ProviderFailure, Refused

Value = float | str | None
"""A measured value or a limit: a number in the stated unit, a word, or None where there is none."""


@dataclass(frozen=True)
class Capabilities:
    """What a vendor takes and offers.

    Args:
        delivery: how audio may travel, the preferred way first.
        options: the vendor's own fields a user may set, each with one line of help; `say_options`: those of
            speech.
        lookup: how a voice whose answer was lost is found again: by a `token` that only this enrolment has,
            by its `name`, which others may have chosen too, or not at all (`none`).
        repeat_is_refused: the vendor itself refuses a second create of the same name or token.
        regions: region -> base URL; the first one is the default.
        key_variables: the vendor's own names of the environment variable with the key.
        settings: what of the wire format a user may set otherwise (VOXPREP_<VENDOR>_<NAME>), with help.
        instead_of_set: an option that stands for the samples (Kling: a video of its own), or empty.
        shaping: options that make another voice of the same samples.
        keeps_voices: False where the outcome is a piece of speech, not a voice (302.AI).
        can_delete, can_say: False goes with a sentence in `delete_by_hand`, `say_by_hand`.
    """

    delivery: tuple[Literal["multipart", "url", "data_url"], ...]
    options: Mapping[str, str]
    lookup: Literal["token", "name", "none"]
    regions: Mapping[str, str]
    repeat_is_refused: bool = False
    say_options: Mapping[str, str] = field(default_factory=dict)
    key_variables: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    instead_of_set: str = ""
    shaping: tuple[str, ...] = ()
    keeps_voices: bool = True
    can_list: bool = True
    can_list_presets: bool = False
    can_say: bool = True
    say_by_hand: str = ""
    can_delete: bool = True
    delete_by_hand: str = ""

    @property
    def needs_url(self) -> bool:
        """Whether the vendor takes samples only by URL."""
        return set(self.delivery) == {"url"}


@dataclass(frozen=True)
class Poll:
    """When to ask how training goes: `start_s` apart, growing by half up to `cap_s`, for `deadline_s`."""

    start_s: float = 2.0
    cap_s: float = 15.0
    deadline_s: float = 300.0
    factor: float = 1.5


@dataclass(frozen=True)
class SampleFile:
    """One finished audio file and the words in it; `data` is exactly what will be sent.

    Args:
        duration_s, sample_rate, channels: measured on `data` where it can be read as audio (s, Hz), else None.
        text_confidence: how sure the text is, 0..1; None where nobody said.
        longest_pause_s, longest_speech_s: seconds of the longest pause inside and of the longest stretch of
            speech without one; None where nobody listened.
        url: where a vendor can fetch it; empty until it is hosted. May be presigned: never shown.
    """

    path: Path
    text: str
    duration_s: float | None
    sample_rate: int | None
    channels: int | None
    sha256: str
    n_bytes: int
    encoding: str = ""
    data: bytes = field(default=b"", repr=False)
    text_confidence: float | None = None
    longest_pause_s: float | None = None
    longest_speech_s: float | None = None
    url: str = field(default="", repr=False)

    @classmethod
    def of(cls, path: Path, data: bytes, text: str = "") -> SampleFile:
        """Measure `data`; `encoding` becomes e.g. `WAV PCM_16`, or empty where the bytes are not audio."""
        from prep.audio import read_header  # heavy: loads the codecs

        digest = hashlib.sha256(data).hexdigest()
        try:
            header = read_header(data)
        except ValueError:
            return cls(path, text, None, None, None, digest, len(data), "", data)
        facts = (header.duration_s, header.rate_hz, header.channels)
        return cls(path, text, *facts, digest, len(data), f"{header.container} {header.subtype}", data)


@dataclass(frozen=True)
class EnrolRequest:
    """A voice to make: its name as the user gave it, its samples in order, and the vendor's own fields.

    `token` is this enrolment's own mark, hex digits that no other enrolment and no other attempt has; empty
    while nothing is being enrolled. `by_url`: the samples are, or will be, hosted, and only their URLs sent.
    """

    name: str
    samples: tuple[SampleFile, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    token: str = ""
    by_url: bool = False


@dataclass(frozen=True)
class Voice:
    """A voice as the vendor tells of it.

    Args:
        voice_id: what speech requests name; empty where training has not given it yet.
        name: as the vendor has it.
        status: `failed` goes with the vendor's words in `reason`.
        handle: what `Provider.status` asks by (a task, a slot); by default the voice's id.
        detail: the vendor's own fields; `url` among them, where there is one, is a sound to listen to.
    """

    voice_id: str
    name: str
    status: Literal["ready", "training", "failed"]
    detail: Mapping[str, str] = field(default_factory=dict)
    handle: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.handle:
            object.__setattr__(self, "handle", self.voice_id)


@dataclass(frozen=True)
class Speech:
    """Audio as the vendor sent it."""

    data: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True)
class RuleCheck:
    """One rule, what was measured, and the fix, which is dropped where the rule is kept.

    `where` names the file, or is empty for the request as a whole. An `advised` rule that is broken warns
    and does not stop an upload. `source` says who set the limit and when.
    """

    rule: str
    ok: bool
    measured: Value
    limit: Value
    unit: str = ""
    fix: str = ""
    where: str = ""
    advised: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        if self.ok:
            object.__setattr__(self, "fix", "")

    @property
    def blocks(self) -> bool:
        """Broken, and not merely advice."""
        return not self.ok and not self.advised

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        where = f"{self.where}: " if self.where else ""
        if self.unit == "sha256":  # two digests side by side say nothing to anybody
            head = f"{where}{self.rule}: {'same' if self.ok else 'another'} sha256"
        else:
            head = f"{where}{self.rule}: {_shown(self.measured)}{unit}, limit {self.limit}{unit}"
        return f"{head}. Fix: {self.fix}" if self.fix else head


def _shown(value: Value) -> str:
    return f"{value:.10g}" if isinstance(value, float) else "none" if value in ("", None) else str(value)


class Journal(Protocol):
    """Where remote steps are written down."""

    def step(self, name: str, *, creates: bool = False) -> AbstractContextManager[dict[str, str]]:
        """Write `name` down before and after the body runs.

        The body may put facts worth keeping (remote ids, never keys) into the dict. `creates` marks a step
        whose repetition could make a second voice.
        """
        ...

    def recall(self, fact: str) -> str:
        """The newest value a step of this attempt kept under this name, or empty."""
        ...

    def is_open(self, step: str) -> bool:
        """Whether the newest step of this name in this attempt was begun and never answered."""
        ...


class Provider(Protocol):
    """One vendor, opened for one account."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    @property
    def poll(self) -> Poll:
        """How to wait for training."""
        ...

    def sent_name(self, request: EnrolRequest) -> str:
        """The name the vendor will see: the user's, or one made from it where the vendor's rules forbid that."""
        ...

    def validate(self, request: EnrolRequest) -> tuple[RuleCheck, ...]:
        """Hold the request against every rule of the vendor; sends nothing, needs no key."""
        ...

    def plan(self, request: EnrolRequest) -> tuple[str, ...]:
        """The requests an upload would send, in order, in words; sends nothing."""
        ...

    def find(self, request: EnrolRequest, journal: Journal) -> Voice | None:
        """Find what this request has made so far, or what stands in its way; None only if surely nothing.

        Raises:
            ProviderError: the vendor could not be asked, or its answer does not settle the question.
        """
        ...

    def enrol(self, request: EnrolRequest, journal: Journal) -> Voice:
        """Make the voice, or set its training off; goes on where an earlier call of this attempt stopped.

        Raises:
            Refused, Retryable: surely no voice was made, nor is one being made.
            OutcomeUnknown: it may or may not have been made; `find` tells.
        """
        ...

    def status(self, voice: Voice) -> Voice:
        """Ask once how a voice in training is doing."""
        ...

    def clean(self, request: EnrolRequest, journal: Journal) -> str:
        """Remove what an enrolment that failed has left at the vendor; may be called again.

        Returns what stays there because no call removes it, as a sentence with the way by hand; empty = nothing.
        """
        ...

    def list(self, presets: bool = False) -> tuple[Voice, ...]:
        """List all voices this account made or may use; with `presets` the vendor's own.

        Raises:
            NotOffered: the vendor has no such list.
        """
        ...

    def show(self, voice_id: str) -> Voice:
        """Show one voice; `Refused` where there is none of that id."""
        ...

    def say(self, voice_id: str, text: str, options: Mapping[str, str]) -> Speech:
        """Speak `text` with the voice; `NotOffered` where the vendor has no call that does."""
        ...

    def say_call(self, voice: Voice) -> str:
        """Give a shell command that speaks with the voice; the key is a variable in it, never its value."""
        ...

    def delete(self, voice_id: str) -> bool:
        """Remove the voice: True removed, False it was not there; `NotOffered` where there is no such call."""
        ...

    def ping(self) -> str:
        """Make a call that costs nothing and changes nothing; says in words what was learned.

        Raises:
            ProviderError, ConfigError: the key, the region or the address will not do.
        """
        ...


class NotOffered(Refused):
    """The vendor has no call for this; the failure's `fix` is the way by hand."""

    def __init__(self, vendor: str, what: str, by_hand: str) -> None:
        super().__init__(ProviderFailure(vendor, f"{what} is not offered by the API", fix=by_hand))
