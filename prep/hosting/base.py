"""What a hosting place is to us: one frozen value, one protocol, and the checks all kinds share.

Some vendors take no bytes, only a URL. A host puts one finished clip where such a vendor can GET it without
credentials, and takes it away again where it can. It knows nothing of vendors, ledgers or the command line.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import NoReturn, Protocol
from urllib.parse import SplitResult, urlsplit, urlunsplit

from prep.errors import ConfigError, ProviderFailure, Refused

VENDOR = "hosting"
"""Stands where a failure names the vendor."""

KEY_BYTES = 16
"""128 random bits: whoever does not have the URL cannot guess it, and no two clips ever meet."""

_KEY = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}\.[a-z0-9]{{1,5}}")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")


@dataclass(frozen=True)
class Hosted:
    """A clip that was put somewhere.

    `spec` is the `--hosting` text, without secrets: with the environment it is enough to reopen the place and
    remove the clip. `key` is what removes it: an object key, a path below the folder, or the URL without its
    query. `url` is where the clip is seen; it may be presigned, so it is never logged or stored, and it is
    empty where the value was rebuilt from a ledger.
    """

    spec: str
    key: str
    url: str = field(repr=False)
    removable: bool


class Host(Protocol):
    """One opened hosting place; `promise` tells the user who can read a clip, how long, and how it goes away."""

    @property
    def spec(self) -> str:
        """The `--hosting` text, without secrets."""
        ...

    @property
    def removable(self) -> bool:
        """Whether `remove` deletes."""
        ...

    @property
    def promise(self) -> str:
        """One sentence for the user."""
        ...

    def place(self, data: bytes, suffix: str) -> str:
        """Choose a fresh key that cannot be guessed, for a file ending in `suffix` (`.wav`); sends nothing."""
        ...

    def put(self, key: str, data: bytes, media_type: str) -> Hosted:
        """Upload at that key; putting the same again changes nothing.

        Raises:
            ConfigError: the key was not made by `place`.
            Refused, Retryable: the place said no, or was out of reach after all tries.
        """
        ...

    def remove(self, key: str) -> None:
        """Delete; what is not there (any more) is fine.

        Raises:
            NotRemovable: this kind of place cannot delete.
            ConfigError: the key was not made by `place`.
            Refused, Retryable: as for `put`.
        """
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


class NotRemovable(Refused):
    """The place cannot delete; the failure's `fix` is the way by hand."""

    def __init__(self, message: str, by_hand: str) -> None:
        super().__init__(ProviderFailure(VENDOR, message, fix=by_hand))


def new_name(suffix: str) -> str:
    """A fresh file name of 32 random hex digits and the suffix in lower case.

    Raises:
        ConfigError: `suffix` is not a dot and 1 to 5 ASCII letters or digits.
    """
    suffix = suffix.lower()
    if not _SUFFIX.fullmatch(suffix):
        raise ConfigError(f"a file whose name ends in {suffix[:20]!r} cannot be hosted; give it an ending like .wav")
    return secrets.token_hex(KEY_BYTES) + suffix


def checked_name(name: str) -> str:
    """`name` if `new_name` can have made it: so a ledger's key never leads out of its folder or prefix.

    Raises:
        ConfigError: anything else.
    """
    if not _KEY.fullmatch(name):
        raise ConfigError(f"{name[:80]!r} is no file that this program has put there; it is left alone")
    return name


def without_query(url: str) -> str:
    """The URL as it may be shown and stored: a query can hold a signature, a user part a password.

    A text that is no URL is cut at its first `?` or `#`.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return re.split(r"[?#]", url, maxsplit=1)[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def shown(spec: str) -> str:
    """A `--hosting` text as it may be quoted in a message: without user part, query and fragment."""
    return re.sub(r"//[^/]*@", "//***@", re.split(r"[?#]", spec, maxsplit=1)[0])


def checked_url(url: str, what: str) -> SplitResult:
    """The parts of a URL that a vendor could be given.

    Raises:
        ConfigError: not ASCII, not http(s), no host, blanks, a fragment, or a user name in it; `what` names it.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        _no(what, url, "write it in plain ASCII, percent-encode other letters and blanks")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        _no(what, url, "write it like https://files.example.com/voices")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        _no(what, url, "write it like https://files.example.com/voices")
    if parts.username is not None or parts.password is not None or parts.fragment:
        _no(what, url, "leave out user name, password and #fragment: a vendor comes without credentials")
    return parts


def _no(what: str, url: str, fix: str) -> NoReturn:
    raise ConfigError(f"{what} {without_query(url)!r} cannot be used; {fix}")
