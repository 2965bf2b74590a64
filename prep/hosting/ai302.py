"""`ai302`: 302.AI's upload endpoint, which any vendor can read from.

Source: the 302.AI section of the project's vendor notes (several public clients, high confidence):
`POST /302/upload-file`, multipart part `file`, answer `{"code": 200, "data": "https://...", "message": ...}`.
Nothing is said of a deletion or of how long a file lives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import httpx

from prep.errors import ConfigError, ProviderError, ProviderFailure, Refused
from prep.hosting.base import Hosted, NotRemovable, checked_name, checked_url, new_name, without_query
from prep.providers.account import Account, Secret
from prep.providers.http import Backoff, VendorHttp, by_status, checked_base_url, json_object, open_client, vendor_words

KEY = "VOXPREP_AI302_API_KEY"
BASE_URL = "VOXPREP_AI302_BASE_URL"
DEFAULT_BASE_URL = "https://api.302.ai"
PATH = "/302/upload-file"
NO_MONEY = "-10006"
"""302.AI's code for a used-up quota, sent with HTTP 429: no later try helps."""


class Ai302Host:
    """302.AI's file space for one account; `prep.hosting.base.Host` says what each method promises."""

    removable = False
    spec = "ai302"
    promise = (
        "302.AI stores the clip, whoever has the link can read it, and 302.AI offers no way to delete it: "
        "how long it lives is theirs to say."
    )

    def __init__(self, account: Account, client: httpx.Client | None, backoff: Backoff) -> None:
        self._key = account.needed_key()
        self._client = client if client is not None else open_client(account.base_url)
        self._owns_client = client is None
        self._http = VendorHttp(account, self._client, backoff, _refusal)

    def place(self, data: bytes, suffix: str) -> str:
        """A fresh file name; the URL is known only after `put`, as the `key` of what it returns."""
        return new_name(suffix)

    def put(self, key: str, data: bytes, media_type: str) -> Hosted:
        """Upload; a repetition makes a second file at another URL, the first stays.

        Raises:
            ConfigError: the key was not made by `place`.
            Refused, Retryable: in 302.AI's own words.
        """
        files = {"file": (checked_name(key), data, media_type)}
        url = self._http.send("POST", PATH, self._parsed, files=files)
        return Hosted(self.spec, without_query(url), url, self.removable)

    def remove(self, key: str) -> None:
        """Refuse: no such call is known."""
        raise NotRemovable(f"{without_query(key)} cannot be deleted through 302.AI's API", "ask 302.AI's support")

    def close(self) -> None:
        """Close the connections, unless they are the caller's."""
        if self._owns_client:
            self._client.close()

    def _parsed(self, answer: httpx.Response) -> str:
        body = answer.json()
        if not isinstance(body, dict):
            raise ValueError("the answer is not a JSON object")
        if body.get("code") != 200:
            failure = _refusal(answer).failure  # a refusal within HTTP 200 does not pass VendorHttp's own blotting
            raise Refused(replace(failure, message=self._key.redact(failure.message)))
        url = body.get("data")
        if not isinstance(url, str):
            raise ValueError("the answer names no URL")
        try:
            checked_url(url, "the URL that 302.AI gave")
        except ConfigError as error:
            raise Refused(ProviderFailure("ai302", str(error), http_status=answer.status_code)) from error
        return url


def open_host(spec: str, environ: Mapping[str, str], client: httpx.Client | None, backoff: Backoff) -> Ai302Host:
    """Open `ai302`.

    Raises:
        ConfigError: more than the word, no key, or a base URL that cannot be used.
    """
    if spec != "ai302":
        raise ConfigError("--hosting ai302 takes nothing after the word")
    if not environ.get(KEY, "").strip():
        raise ConfigError(f"--hosting ai302 needs a key: set the environment variable {KEY}")
    base_url = checked_base_url(environ.get(BASE_URL, "").strip() or DEFAULT_BASE_URL)
    return Ai302Host(Account("ai302", base_url, Secret(environ[KEY], KEY), KEY), client, backoff)


def _refusal(answer: httpx.Response) -> ProviderError:
    message, code = _words(answer)
    failure = ProviderFailure("ai302", message, code, answer.status_code)
    return Refused(failure) if code == NO_MONEY else by_status(failure)


def _words(answer: httpx.Response) -> tuple[str, str]:
    body = json_object(answer)
    error = body.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or "no reason given")[:300], str(error.get("err_code") or "")
    if body.get("message"):
        return str(body["message"])[:300], str(body.get("code") or "")
    return vendor_words(answer)
