"""What a vendor is to us: frozen values and one protocol.

A provider turns an `EnrolRequest` into a `Voice`. It knows its vendor's wire format and nothing of configs,
ledgers or the command line. Every remote step runs inside `journal.step(...)`, so that whoever keeps the
journal can write it down before and after it happens; a provider with several steps (slot, train, poll)
opens one per step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from prep.errors import ConfigError, ProviderFailure, Refused

Value = float | str | None
"""A measured value or a limit: a number in the stated unit, a word, or None where there is none."""


@dataclass(frozen=True)
class Capabilities:
    """What a vendor takes and offers.

    `delivery` lists how audio may travel, the preferred way first. `options` maps the vendor's own fields
    that a user may set to one line of help each. `can_delete=False` goes with a sentence in
    `delete_by_hand`.
    """

    clips_min: int
    clips_max: int
    takes_text: Literal["required", "optional", "no"]
    delivery: tuple[Literal["multipart", "url", "data_url"], ...]
    options: Mapping[str, str]
    can_list: bool = True
    can_say: bool = True
    can_delete: bool = True
    delete_by_hand: str = ""


@dataclass(frozen=True)
class SampleFile:
    """One finished audio file and the words in it; `data` is exactly what will be sent.

    `duration_s`, `sample_rate` (Hz) and `channels` are measured on `data` where it can be read as audio,
    else None.
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
    """A voice to make: its name, its samples in order, and the vendor's own fields as the user typed them."""

    name: str
    samples: tuple[SampleFile, ...]
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Voice:
    """A voice as the vendor tells of it: `voice_id` is what speech requests name, `detail` its own fields."""

    voice_id: str
    name: str
    status: Literal["ready", "training", "failed"]
    detail: Mapping[str, str] = field(default_factory=dict)


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
        measured = f"{self.measured:g}" if isinstance(self.measured, float) else str(self.measured)
        head = f"{where}{self.rule}: {measured}{unit}, limit {self.limit}{unit}"
        return f"{head}. Fix: {self.fix}" if self.fix else head


class Journal(Protocol):
    """Where remote steps are written down."""

    def step(self, name: str, *, creates: bool = False) -> AbstractContextManager[dict[str, str]]:
        """Write `name` down before and after the body runs.

        The body may put facts worth keeping (remote ids, never keys) into the dict. `creates` marks a step
        whose repetition could make a second voice.
        """
        ...


class Provider(Protocol):
    """One vendor, opened for one account."""

    name: ClassVar[str]
    default_base_url: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def validate(self, request: EnrolRequest) -> tuple[RuleCheck, ...]:
        """Hold the request against every rule of the vendor; sends nothing, needs no key."""
        ...

    def find(self, request: EnrolRequest, journal: Journal) -> Voice | None:
        """Find the voice this request would have made, or that stands in its way; None only if surely absent.

        Raises:
            ProviderError: the vendor could not be asked, or its answer does not settle the question.
        """
        ...

    def enrol(self, request: EnrolRequest, journal: Journal) -> Voice:
        """Make the voice.

        Raises:
            Refused, Retryable: surely nothing was made.
            OutcomeUnknown: it may or may not have been made; `find` tells.
        """
        ...

    def list(self) -> tuple[Voice, ...]:
        """List all voices this account sees."""
        ...

    def show(self, voice_id: str) -> Voice:
        """Show one voice; `Refused` where there is none of that id."""
        ...

    def say(self, voice_id: str, text: str, options: Mapping[str, str]) -> Speech:
        """Speak `text` with the voice."""
        ...

    def say_call(self, voice_id: str) -> str:
        """Give a shell command that speaks with the voice; the key is a variable in it, never its value."""
        ...

    def delete(self, voice_id: str) -> None:
        """Remove the voice; `NotOffered` where the vendor has no such call."""
        ...


class NotOffered(Refused):
    """The vendor has no call for this; the failure's `fix` is the way by hand."""

    def __init__(self, vendor: str, what: str, by_hand: str) -> None:
        super().__init__(ProviderFailure(vendor, f"{what} is not offered by the API", fix=by_hand))


class Secret:
    """A key that shows itself only when asked: `repr`, `str`, pickling and formatting never give it away.

    Raises:
        ConfigError: empty, or with characters that cannot stand in an HTTP header; the message names
        `variable`.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, variable: str = "the key") -> None:
        text = value.strip()
        if not text or not all("!" <= letter <= "~" for letter in text):
            raise ConfigError(f"{variable} is empty or holds blanks or letters that no key has; copy the key again")
        self._value = text

    def reveal(self) -> str:
        """The key itself: only for the Authorization header and for hashing."""
        return self._value

    def redact(self, text: str) -> str:
        """`text` with every occurrence of the key blotted out (vendors echo keys in refusals)."""
        return text.replace(self._value, "***")

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not written anywhere")


@dataclass(frozen=True)
class Account:
    """Where and as whom to speak to a vendor; without a key only `validate` works."""

    vendor: str
    base_url: str
    key: Secret | None
    key_variable: str

    def needed_key(self) -> Secret:
        """The key, or ConfigError that names the variable to set."""
        if self.key is None:
            raise ConfigError(f"{self.vendor} needs a key: set the environment variable {self.key_variable}")
        return self.key

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell accounts apart and do not give the key away (salted with vendor, host)."""
        text = "\0".join(("voxprep account", self.vendor, self.base_url, self.needed_key().reveal()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]
