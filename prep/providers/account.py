"""Keys that do not show themselves, and the account they open."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from prep.errors import ConfigError


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
    """Where and as whom to speak to a vendor; without a key only `validate` and `plan` work.

    Args:
        key: the API key, or None.
        key_variable: the environment variable to name where it is missing.
        pair: access key and secret key, where the vendor signs its own tokens (Kling) and no key was given.
        wire: what of the vendor's wire format the user has set otherwise, by name.
    """

    vendor: str
    base_url: str
    key: Secret | None
    key_variable: str
    pair: tuple[Secret, Secret] | None = None
    wire: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_key(self) -> bool:
        """Whether there is anything to speak with."""
        return self.key is not None or self.pair is not None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All that must never be shown."""
        return (*((self.key,) if self.key else ()), *(self.pair or ()))

    def needed_key(self) -> Secret:
        """The key, or ConfigError that names the variable to set."""
        if self.key is None:
            raise ConfigError(f"{self.vendor} needs a key: set the environment variable {self.key_variable}")
        return self.key

    def seconds(self, setting: str, default: float) -> float:
        """A setting of the wire in seconds, above 0; ConfigError where it is no such number."""
        text = self.wire.get(setting, "")
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0.0 < value < 86_400.0:
            raise ConfigError(f"{self.vendor}: {setting} must be a number of seconds above 0, not {text!r}")
        return value

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell accounts apart and do not give the key away (salted with vendor, host).

        Of a pair only the access key counts: it names the account, and the secret may be renewed.
        """
        named = self.pair[0] if self.key is None and self.pair else self.needed_key()
        text = "\0".join(("voxprep account", self.vendor, self.base_url, named.reveal()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]
