"""Retries, the meaning of a lost answer, redaction, addresses: all through an injected transport."""

import pickle
from datetime import UTC, datetime

import httpx
import pytest

from prep.errors import ConfigError, OutcomeUnknown, ProviderFailure, Refused, Retryable
from prep.providers.account import Account, Secret
from prep.providers.http import (
    Backoff,
    VendorHttp,
    by_status,
    checked_base_url,
    foreign_errors,
    retry_after_s,
    vendor_words,
)

KEY = "sk-very-secret-1234"


def refusal(answer):
    message, code = vendor_words(answer)
    return by_status(ProviderFailure("acme", message, code, answer.status_code))


class Line:
    """A transport that gives the next of `answers` to each request, and the pauses taken between them."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.slept = []

    def handle(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def send(self, *, creates=False, key=KEY, **backoff):
        account = Account("acme", "https://api.acme.example", Secret(key) if key else None, "VOXPREP_ACME_API_KEY")
        with httpx.Client(transport=httpx.MockTransport(self.handle)) as client:
            http = VendorHttp(account, client, Backoff(sleep=self.slept.append, **backoff), refusal)
            return http.send("POST", "/v1/x", lambda answer: answer.json()["ok"], creates=creates, json={})


def ok():
    return httpx.Response(200, json={"ok": 7})


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_trouble_is_tried_again(status):
    line = Line(httpx.Response(status), httpx.Response(status), ok())
    assert line.send() == 7
    assert len(line.requests) == 3


def test_pauses_grow_within_full_jitter_and_the_cap():
    line = Line(*[httpx.Response(503) for _ in range(8)])
    with pytest.raises(Retryable):
        line.send(tries=8, start_s=1.0, factor=2.0, cap_s=10.0)
    assert len(line.slept) == 7
    bounds = [1, 2, 4, 8, 10, 10, 10]
    assert all(0 <= slept <= bound for slept, bound in zip(line.slept, bounds, strict=True))


def test_five_tries_and_no_more():
    line = Line(*[httpx.Response(503, json={"error": {"message": "busy", "code": "b"}}) for _ in range(9)])
    with pytest.raises(Retryable, match=r"acme: busy \(HTTP 503, code b\)"):
        line.send()
    assert len(line.requests) == 5


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 409, 413, 422])
def test_a_no_is_not_tried_again(status):
    line = Line(httpx.Response(status, json={"error": {"message": "no"}}))
    with pytest.raises(Refused, match="no"):
        line.send()
    assert line.slept == []


def test_retry_after_is_honoured_and_not_beyond_patience():
    line = Line(httpx.Response(429, headers={"Retry-After": "17"}), ok())
    assert line.send() == 7
    assert line.slept == [17.0]
    line = Line(httpx.Response(429, headers={"Retry-After": "3600"}))
    with pytest.raises(Retryable) as caught:
        line.send()
    assert caught.value.retry_after_s == 3600
    assert line.slept == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        ("Fri, 02 Jan 2026 00:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        ("²", None),
        ("9" * 400, 999999999.0),
    ],
)
def test_retry_after_values(value, seconds):
    answer = httpx.Response(429, headers={"Retry-After": value.encode()} if value else {})
    assert retry_after_s(answer, datetime(2026, 1, 2, tzinfo=UTC)) == seconds


LOST = [
    httpx.ReadTimeout("t"),
    httpx.ReadError("r"),
    httpx.WriteError("w"),
    httpx.WriteTimeout("w"),
    httpx.RemoteProtocolError("cut"),
    httpx.Response(500),
    httpx.Response(503),
    httpx.Response(408),
    httpx.Response(200, content=b'{"ok": '),
    httpx.Response(200, content=b"[" * 100_000),
]


@pytest.mark.parametrize("answer", LOST, ids=repr)
def test_a_create_whose_answer_is_lost_is_never_sent_again_here(answer):
    line = Line(answer)
    with pytest.raises(OutcomeUnknown):
        line.send(creates=True)
    assert len(line.requests) == 1


@pytest.mark.parametrize("answer", [httpx.ReadTimeout("t"), httpx.RemoteProtocolError("cut"), LOST[-2]], ids=repr)
def test_a_lost_answer_to_a_question_is_asked_again(answer):
    assert Line(answer, ok()).send() == 7


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x")])
def test_what_was_never_sent_may_be_sent_again_even_a_create(error):
    line = Line(error, error, ok())
    assert line.send(creates=True) == 7


def test_a_429_to_a_create_was_not_carried_out():
    assert Line(httpx.Response(429), ok()).send(creates=True) == 7


def subclasses(kind):
    return {kind, *(deep for sub in kind.__subclasses__() for deep in subclasses(sub))}


KINDS = sorted(subclasses(httpx.HTTPError) | {httpx.InvalidURL}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("creates", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_httpx_is_mapped(kind, creates):
    error = kind.__new__(kind)
    Exception.__init__(error, "words")
    with (
        pytest.raises((ConfigError, Retryable, OutcomeUnknown), match="words"),
        foreign_errors("acme", creates),
    ):
        raise error


def test_the_key_is_in_the_header_and_nowhere_else():
    line = Line(httpx.Response(401, json={"error": {"message": f"wrong key {KEY}", "code": KEY}}))
    with pytest.raises(Refused) as caught:
        line.send()
    assert line.requests[0].headers["authorization"] == f"Bearer {KEY}"
    shown = f"{caught.value} {caught.value!r} {caught.value.failure}"
    assert KEY not in shown
    assert "wrong key ***" in shown


def test_a_secret_keeps_itself():
    secret = Secret(f" {KEY}\n")
    assert secret.reveal() == KEY
    assert KEY not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    account = Account("acme", "https://a.example", secret, "V")
    assert KEY not in repr(account)
    assert len(account.fingerprint) == 16


@pytest.mark.parametrize("value", ["", "  ", "sk-a b", "sk-ä", "sk-\x00", "sk-a\nsk-b"])
def test_a_key_that_cannot_be_one(value):
    with pytest.raises(ConfigError, match="VOXPREP_ACME_API_KEY") as caught:
        Secret(value, "VOXPREP_ACME_API_KEY")
    assert value.strip() == "" or value not in str(caught.value)


def test_without_a_key_the_variable_is_named_and_nothing_sent():
    line = Line(ok())
    with pytest.raises(ConfigError, match="VOXPREP_ACME_API_KEY"):
        line.send(key=None)
    assert line.requests == []


@pytest.mark.parametrize(
    "url", ["https://api.x.example/", "http://127.0.0.1:80/qhaigc", "http://localhost", "http://[::1]:9"]
)
def test_addresses_that_will_do(url):
    assert checked_base_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["", "api.x.example", "ftp://x", "https://", "http://api.x.example", "https://a?b=c", "https://u:p@a", "http://[",
     "https://a:99999"],
)  # fmt: skip
def test_addresses_that_will_not_do(url):
    with pytest.raises(ConfigError, match="base URL"):
        checked_base_url(url)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "m", "code": "c"}}', ("m", "c")),
        (b'{"error": "plain"}', ("plain", "")),
        (b'{"detail": "Not Found"}', ("Not Found", "")),
        (b"<html>gone</html>", ("<html>gone</html>", "")),
        (b"[1]", ("[1]", "")),
        (b"", ("Bad Gateway", "")),
    ],
)
def test_whatever_a_vendor_says_is_shown(body, words):
    assert vendor_words(httpx.Response(502, content=body)) == words


def test_a_key_across_the_place_where_long_answers_are_cut_is_blotted_out_whole():
    """The words of an answer are cut at 300 letters; the key was looked for only after that."""
    line = Line(httpx.Response(400, text="x" * 293 + KEY))
    with pytest.raises(Refused) as caught:
        line.send()
    assert KEY[:6] not in str(caught.value)


def test_queries_of_addresses_are_never_in_a_failure():
    failure = ProviderFailure("v", "cannot read https://b.example.com/a.wav?X-Amz-Signature=abc&x=1, sorry")
    assert failure.message == "cannot read https://b.example.com/a.wav?*** sorry"
