"""A vendor's limits as data: each value with who said so, when, and how sure that is.

What a limit is about is one of `RULES`; the values live in `configs/vendors/*.toml` and are handed in, so a
changed limit needs no code.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, model_validator

Rule = Literal[
    "clips",  # files of a set
    "clip_s",  # seconds of one file
    "total_s",  # seconds of all files together
    "best_s",  # seconds of one file said to work best; a wish for what is made, never a check of what is sent
    "best_total_s",  # the same of all files together
    "speech_s",  # seconds of the longest stretch of speech without a pause over half a second, in one file
    "pause_s",  # seconds of the longest pause inside one file
    "sample_rate",  # Hz
    "channels",
    "format",  # container, as `prep.audio.read_header` names it: WAV, MP3, ...
    "encoding",  # of samples, as there: PCM_16, ...
    "bytes",  # of one file
    "base64_bytes",  # of one file once encoded for a data URL, its `data:...;base64,` head included
    "total_bytes",  # of all files together
    "name_chars",  # code points of the voice name as sent
    "name_pattern",  # regular expression the whole voice name matches
    "text_chars",  # code points of the text of one file
    "say_chars",  # code points of a text to be spoken
]
RULES: tuple[str, ...] = get_args(Rule)


class VendorLimit(BaseModel):
    """One limit, bounds inclusive.

    `min` and `max` are numbers in `unit`; `one_of` lists what is allowed, numbers or words; `pattern` is a
    regular expression. `kind`: `hard`, the vendor refuses or fails what breaks it; `advised`, it does not.
    `stops`: whether voxprep refuses to send what breaks it; by default what is hard. `note` says why an
    advice stops, or what else is to be known. `date` is the day the source was read.

    Raises:
        ValidationError: no bound at all, an unknown rule or key, a pattern that is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Rule
    min: float | None = None
    max: float | None = None
    one_of: tuple[float | str, ...] = ()
    pattern: str = ""
    unit: str = ""
    kind: Literal["hard", "advised"]
    stops: bool | None = None
    source: str
    date: str
    confidence: Literal["documented", "high", "medium", "low", "assumed"]
    note: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> VendorLimit:
        if self.min is None and self.max is None and not self.one_of and not self.pattern:
            raise ValueError(f"the limit on {self.rule} has neither min, max, one_of nor pattern")
        re.compile(self.pattern)
        return self

    @property
    def blocks(self) -> bool:
        """Whether an upload stops where this is broken."""
        return self.kind == "hard" if self.stops is None else self.stops

    def allows(self, value: float | str | None) -> bool:
        """Whether a value keeps this limit; unknown (None) does not."""
        if value is None:
            return False
        if isinstance(value, str):
            listed = not self.one_of or value in self.one_of
            return listed and (not self.pattern or re.fullmatch(self.pattern, value) is not None)
        low = self.min is None or value >= self.min
        high = self.max is None or value <= self.max
        return low and high and (not self.one_of or value in self.one_of)

    @property
    def words(self) -> str:
        """The limit in words: `2 to 3 files`, `at least 10 s`, `16000 or 24000 Hz`."""
        unit = f" {self.unit}" if self.unit else ""
        if self.pattern:
            return f"matches {self.pattern}"
        if self.one_of:
            return " or ".join(_figure(value) for value in self.one_of) + unit
        if self.min is not None and self.max is not None:
            both = _figure(self.min) if self.min == self.max else f"{_figure(self.min)} to {_figure(self.max)}"
            return both + unit
        if self.min is not None:
            return f"at least {_figure(self.min)}{unit}"
        return f"at most {_figure(self.max)}{unit}"


def _figure(value: float | str | None) -> str:
    return f"{value:.12g}" if isinstance(value, float | int) else str(value)


def lowest(limits: tuple[VendorLimit, ...], rule: Rule) -> float | None:
    """The tightest lower bound on a rule, advice included; None = none known."""
    return max((limit.min for limit in limits if limit.rule == rule and limit.min is not None), default=None)


def highest(limits: tuple[VendorLimit, ...], rule: Rule) -> float | None:
    """The tightest upper bound on a rule, advice included; None = none known."""
    return min((limit.max for limit in limits if limit.rule == rule and limit.max is not None), default=None)
