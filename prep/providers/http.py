"""HTTP towards vendors: one place that knows httpx, retries, and whether an answer was lost.

    never left this machine (connection refused, DNS, TLS)   Retryable
    429                                                      Retryable: the request was not carried out
    408, 5xx, read timeout, cut or unreadable answer         a create: OutcomeUnknown; else: Retryable
    other 4xx, 3xx                                           Refused

`Retryable` is tried again here; `OutcomeUnknown` never is: the caller looks the voice up first. Rule from
the fact sheet's cross-provider section: start 1 s, factor 2, cap 60 s, full jitter, 5 tries, `Retry-After`
honoured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import httpx
import tenacity

from prep.errors import ConfigError, OutcomeUnknown, ProviderError, ProviderFailure, Refused, Retryable
from prep.providers.account import Account, Secret

T = TypeVar("T")

TIMEOUT = httpx.Timeout(connect=10.0, read=180.0, write=180.0, pool=10.0)
"""Seconds. Long reads, since a synchronous create trains before it answers."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_UNUSABLE = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)


@dataclass(frozen=True)
class Backoff:
    """When to try again: full jitter below `start_s * factor**n`, at most `cap_s`, `tries` in all.

    A vendor that asks for a longer pause than `patience_s` is not waited for. `settle_s` is how long a create whose
    answer was lost may still be on its way at the vendor: so long it is looked for before it is sent again. `sleep`
    is there for tests.
    """

    start_s: float = 1.0
    factor: float = 2.0
    cap_s: float = 60.0
    tries: int = 5
    patience_s: float = 300.0
    settle_s: float = 30.0
    sleep: Callable[[float], None] = time.sleep

    def retrying(self, *on: type[ProviderError]) -> tenacity.Retrying:
        """Call something again while it raises one of `on`; the last error is raised as it is."""
        jitter = tenacity.wait_random_exponential(self.start_s, max=self.cap_s, exp_base=self.factor)

        def wait(state: tenacity.RetryCallState) -> float:
            wish = _wish_s(state.outcome.exception() if state.outcome else None)
            return jitter(state) if wish is None else wish

        def again(error: BaseException) -> bool:
            return isinstance(error, on) and (_wish_s(error) or 0.0) <= self.patience_s

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(again),
            wait=wait,
            stop=tenacity.stop_after_attempt(self.tries),
            sleep=self.sleep,
            reraise=True,
        )


def _wish_s(error: BaseException | None) -> float | None:
    return error.retry_after_s if isinstance(error, Retryable) else None


def open_client(base_url: str, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """A client that follows no redirects, and uses no proxy towards this machine itself."""
    local = (urlsplit(base_url).hostname or "") in LOOPBACK
    return httpx.Client(timeout=TIMEOUT, follow_redirects=False, transport=transport, trust_env=not local)


def checked_base_url(url: str) -> str:
    """The URL without a trailing slash.

    Raises:
        ConfigError: not http(s), no host, a query or user name in it, or plain http to another machine,
        which would
            send the key in the clear.
    """
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"base URL {url!r}: {error}") from error
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
        raise ConfigError(f"base URL {url!r} must look like https://api.example.com, without query or user name")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ConfigError(f"base URL {url!r} would send the key in the clear; use https (http only for 127.0.0.1)")
    return url.strip().rstrip("/")


class VendorHttp:
    """Authorised requests to one vendor.

    Args:
        read_refusal: turns an answer that is not a success into `Refused` or `Retryable` with the vendor's
            own words.
        is_success: tells a success; by default HTTP 2xx. Its ValueError means an unreadable answer.
        token: what stands behind `Bearer`; by default the account's key. Asked for every request.
    """

    def __init__(
        self,
        account: Account,
        client: httpx.Client,
        backoff: Backoff,
        read_refusal: Callable[[httpx.Response], ProviderError],
        is_success: Callable[[httpx.Response], bool] = lambda answer: answer.is_success,
        token: Callable[[], Secret] | None = None,
    ) -> None:
        self._account = account
        self._client = client
        self._backoff = backoff
        self._read_refusal = read_refusal
        self._is_success = is_success
        self._token = token or account.needed_key

    def send(
        self,
        method: str,
        path: str,
        parse: Callable[[httpx.Response], T],
        *,
        creates: bool = False,
        **content: Any,
    ) -> T:
        """Send, retry what may be retried, and parse the success.

        `parse` reads the answer; its ValueError means an unreadable one, so an unknown outcome for a create.
        `creates` says that a repetition could make a second voice. `content` is httpx's own `json=`, `data=`,
        `files=`.

        Raises:
            ConfigError: no key, or the URL cannot be used.
            Retryable, Refused, OutcomeUnknown: see the table on top.
        """
        result: T = self._backoff.retrying(Retryable)(self._once, method, path, parse, creates, content)
        return result

    def _once(
        self,
        method: str,
        path: str,
        parse: Callable[[httpx.Response], T],
        creates: bool,
        content: dict[str, Any],
    ) -> T:
        token = self._token()
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        with foreign_errors(self._account.vendor, creates):
            answer = self._client.request(method, self._account.base_url + path, headers=headers, **content)
            if self._is_success(answer):
                return parse(answer)
        self._raise_refusal(_redacted(answer, (token, *self._account.secrets)), creates)

    def _raise_refusal(self, answer: httpx.Response, creates: bool) -> NoReturn:
        error = self._read_refusal(answer)
        failure = error.failure
        if creates and _may_be_carried_out(answer.status_code, error):
            raise OutcomeUnknown(failure)
        if isinstance(error, Retryable):
            raise Retryable(failure, retry_after_s(answer))
        raise Refused(failure)


def _redacted(answer: httpx.Response, secrets: Iterable[Secret]) -> httpx.Response:
    """The answer with every key in it blotted out, before anybody cuts or quotes it."""
    text = answer.text
    for secret in secrets:
        text = secret.redact(text)
    kept = {name: answer.headers[name] for name in ("content-type", "retry-after") if name in answer.headers}
    return httpx.Response(answer.status_code, headers=kept, content=text.encode(), request=answer.request)


def _may_be_carried_out(status: int, error: ProviderError) -> bool:
    """Whether a create may have been carried out though its answer is a failure (429 and 4xx say it was not)."""
    passing_in_the_body = isinstance(error, Retryable) and status < 400
    return status == 408 or status >= 500 or passing_in_the_body


@contextmanager
def foreign_errors(vendor: str, creates: bool) -> Iterator[None]:
    """Map every httpx error, and an unreadable answer, to ours; see the table on top."""
    try:
        yield
    except _UNUSABLE as error:
        raise ConfigError(f"{vendor}: the address cannot be used: {error}") from error
    except _NOT_SENT as error:
        fix = "check the network and the base URL; nothing was sent"
        raise Retryable(ProviderFailure(vendor, f"cannot be reached ({_words(error)})", fix=fix)) from error
    except (httpx.HTTPError, httpx.StreamError, ValueError, RecursionError) as error:
        failure = ProviderFailure(vendor, f"the answer was lost or unreadable ({_words(error)})")
        if creates:
            raise OutcomeUnknown(failure) from error
        raise Retryable(failure) from error


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}".rstrip(": ")


def retry_after_s(answer: httpx.Response, now: datetime | None = None) -> float | None:
    """Seconds the vendor asks to wait (`Retry-After` as a number or HTTP date), or None; never negative."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def by_status(failure: ProviderFailure) -> ProviderError:
    """`Retryable` for 408, 429 and 5xx, else `Refused`: where a vendor's codes say nothing finer."""
    passing = failure.http_status in (408, 429) or failure.http_status >= 500
    return Retryable(failure) if passing else Refused(failure)


def json_object(answer: httpx.Response) -> dict[str, Any]:
    """The body of a refusal, where it is a JSON object; empty for anything else a server may say."""
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def vendor_words(answer: httpx.Response) -> tuple[str, str]:
    """Message and code from `{"error": {"message", "code"}}` or `{"detail"}`, else what came, cut short."""
    body = json_object(answer)
    error = body.get("error", body.get("detail"))
    if isinstance(error, dict) and error.get("message"):
        return str(error["message"]), str(error.get("code") or "")
    return str(error or answer.text[:300].strip() or answer.reason_phrase), ""
