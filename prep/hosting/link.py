"""`url:https://...`: a link the user made; nothing is uploaded, `prep.hosting.check` compares its bytes."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from prep.errors import ConfigError
from prep.hosting.base import Hosted, NotRemovable, checked_url, without_query
from prep.providers.http import Backoff


class LinkHost:
    """One link; its query stays in memory, as it may hold a signature.

    `prep.hosting.base.Host` says what each method promises.
    """

    removable = False

    def __init__(self, url: str) -> None:
        self._url = url
        self._shown = without_query(url)
        self.spec = f"url:{self._shown}"

    def __repr__(self) -> str:
        return f"LinkHost({self._shown!r})"

    @property
    def promise(self) -> str:
        """Who can read a clip, how long, and how it goes away."""
        return (
            f"The clip stays where you put it ({self._shown}): who can read it, and for how long, is up to you, "
            "and you remove it yourself."
        )

    def place(self, data: bytes, suffix: str) -> str:
        """The link itself, without its query."""
        return self._shown

    def put(self, key: str, data: bytes, media_type: str) -> Hosted:
        """Upload nothing and name the link.

        Raises:
            ConfigError: `key` is another link.
        """
        if key != self._shown:
            raise ConfigError(f"{without_query(key)!r} is not the link of --hosting {self.spec}")
        return Hosted(self.spec, self._shown, self._url, self.removable)

    def remove(self, key: str) -> None:
        """Refuse: the file is the user's own."""
        raise NotRemovable(f"{without_query(key)} is your own link", "delete the file where you put it")

    def close(self) -> None:
        """Nothing to give back."""


def open_host(spec: str, environ: Mapping[str, str], client: httpx.Client | None, backoff: Backoff) -> LinkHost:
    """Open `url:https://...`.

    Raises:
        ConfigError: not a URL that a vendor could be given.
    """
    url = spec.partition(":")[2]
    if not url:
        raise ConfigError("--hosting url: is not complete; write --hosting url:https://files.example.com/clip.wav")
    checked_url(url, "the link of --hosting url:")
    return LinkHost(url)
