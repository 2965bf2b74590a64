"""The consent record: whose voice, who allowed what, for which vendors, until when.

A TOML file with `speaker, statement, given_by, date, purpose` and optionally `vendors`, `expires`,
`recording`. Nothing is uploaded without one. What travels on into ledgers and receipts is its id and a
summary.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from prep.errors import ConfigError

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Consent(BaseModel):
    """A consent record; unknown keys and empty answers are errors.

    `date` is the day it was given, `expires` the last day it holds. `vendors` None = any vendor.
    `recording` says where the spoken statement lies; an upload compares its voice and words, where it has one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    speaker: Words
    statement: Words
    given_by: Words
    date: datetime.date
    purpose: Words
    vendors: tuple[Words, ...] | None = None
    expires: datetime.date | None = None
    recording: Words | None = None

    @property
    def consent_id(self) -> str:
        """sha256 of the content, whatever the file's layout, order of keys or comments."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def summary(self) -> dict[str, str]:
        """What is kept beside an upload: id, speaker, who gave it, when, what for, until when."""
        facts = self.model_dump(mode="json", include={"speaker", "given_by", "date", "purpose", "expires"})
        return {"consent_id": self.consent_id} | {key: value for key, value in facts.items() if value is not None}

    def check(self, vendor: str, today: datetime.date) -> list[str]:
        """Why this consent allows no upload to `vendor` on `today`: one sentence each, none = allowed."""
        refused = []
        if self.date > today:
            refused.append(f"the consent of {self.speaker} is dated {self.date}, which is in the future")
        if self.expires is not None and self.expires < today:
            refused.append(f"the consent of {self.speaker} ended on {self.expires}; ask for a new one")
        if self.vendors is not None and vendor not in self.vendors:
            names = ", ".join(self.vendors) or "no vendor"
            refused.append(f"the consent of {self.speaker} covers {names}, not {vendor}")
        return refused

    def to_toml(self) -> str:
        """The record as a TOML document."""
        given = {key: value for key, value in self if value is not None}
        return "".join(f"{key} = {_toml(value)}\n" for key, value in given.items())


def _toml(value: object) -> str:
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    # JSON's string escapes are TOML's, but for DEL, which TOML wants escaped
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read(path: Path) -> Consent:
    """Read a consent file.

    Raises:
        ConfigError: missing, not TOML, a key missing, unknown or empty; names the file and the key.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        return Consent.model_validate(content)
    except OSError as error:
        hint = "make one with `voxprep consent new`"
        raise ConfigError(f"consent file {path} cannot be read ({error.strerror}); {hint}") from error
    except ValidationError as error:
        raise ConfigError(f"consent file {path}: {_words(error)}") from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError
        raise ConfigError(f"consent file {path} is not TOML in UTF-8: {error}") from error


def write(consent: Consent, path: Path) -> None:
    """Write a new consent file; ConfigError where one lies already: consent is not overwritten."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(consent.to_toml())
    except FileExistsError as error:
        raise ConfigError(f"{path} exists already; a consent file is not overwritten, name another") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from error


def new(answers: dict[str, object]) -> Consent:
    """A record from answers typed by a person; ConfigError names each answer that will not do."""
    try:
        return Consent.model_validate(answers)
    except ValidationError as error:
        raise ConfigError(f"consent: {_words(error)}") from error


def _words(error: ValidationError) -> str:
    known = ", ".join(Consent.model_fields)
    parts = [f"{'.'.join(str(step) for step in row['loc'])}: {row['msg']}" for row in error.errors()]
    return f"{'; '.join(parts)} (keys: {known})"
