"""Fetching as a vendor would: every way in which a link can be wrong, over a real loopback server."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from prep.errors import Refused, Retryable
from prep.hosting.base import Hosted
from prep.hosting.check import is_public, verify
from prep.providers.http import Backoff

DATA = b"RIFF" + bytes(range(256)) * 40
ONCE = Backoff(tries=1)
HERE = """
localhost LOCALHOST. a.localhost 127.0.0.1 127.9.9.9 127.1 2130706433 0x7f000001 0.0.0.0 10.1.2.3 172.16.0.1
192.168.1.1 169.254.169.254 100.64.0.1 224.0.0.1 [::1] [fe80::1] [fd00::1] [::ffff:10.0.0.1]
printer.local minio db.internal nas.lan router.home.arpa
"""
TYPE, LENGTH = ("Content-Type", "audio/wav"), ("Content-Length", str(len(DATA)))


class Answers(ThreadingHTTPServer):
    """Gives each path its (status, headers, body), in turn where there are several; keeps what was asked."""

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked = []

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.headers)
        answers = self.server.answers[self.path.partition("?")[0]]
        status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def serving():
    with contextlib.ExitStack() as stack:

        def start(*answers, path="/clip.wav"):
            server = stack.enter_context(Answers({path: list(answers)}))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start


def check(url, data=DATA, media_type="audio/wav", client=None, backoff=ONCE):
    verify(Hosted("url:x", "x", url, False), data, media_type, client, backoff)


def refusal(url, kind=Refused, **more):
    """The failure, after making sure that it names a fix and shows no query."""
    with pytest.raises(kind) as caught:
        check(url + "?sign=hidden" if url else url, **more)
    failure = caught.value.failure
    assert failure.vendor == "hosting"
    assert failure.message
    assert failure.fix
    assert "hidden" not in str(caught.value)
    return failure


@pytest.mark.parametrize("media_type", ["audio/wav", "audio/x-wav", "audio/wave", "Audio/vnd.WAVE; rate=24000"])
def test_what_a_vendor_can_take_passes(serving, media_type):
    server = serving((200, [("Content-Type", media_type), LENGTH], DATA))
    check(server.url("/clip.wav?X-Amz-Signature=abc"))


def test_no_credentials_are_sent(serving):
    server = serving((200, [TYPE, LENGTH], DATA))
    with httpx.Client(
        headers={"Authorization": "Bearer k", "Cookie": "a=b"}, auth=("u", "p"), trust_env=False
    ) as client:
        check(server.url("/clip.wav"), client=client)
    (asked,) = server.asked
    assert asked["authorization"] is None
    assert asked["cookie"] is None
    assert asked["accept-encoding"] == "identity"


def test_a_client_that_follows_redirects_does_not_follow_here(serving):
    server = serving(
        (302, [("Location", "https://other.example.com/x.wav?token=hidden"), ("Content-Length", "0")], b"")
    )
    with httpx.Client(follow_redirects=True, trust_env=False) as client:
        failure = refusal(server.url("/clip.wav"), client=client)
    assert "https://other.example.com/x.wav" in failure.message
    assert failure.http_status == 302


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "404"),
        (403, "without credentials"),
        (401, "without credentials"),
        (204, "204"),
        (206, "206"),
        (410, "410"),
    ],
)
def test_another_status(serving, status, words):
    body = b"" if status == 204 else DATA
    failure = refusal(serving((status, [TYPE, ("Content-Length", str(len(body)))], body)).url("/clip.wav"))
    assert words in str(failure)
    assert failure.http_status == status


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_trouble_is_tried_again(serving, status):
    pauses_s = []
    trouble = (status, [("Content-Length", "0"), ("Retry-After", "7")], b"")
    server = serving(trouble, trouble, (200, [TYPE, LENGTH], DATA))
    check(server.url("/clip.wav"), backoff=Backoff(sleep=pauses_s.append))
    assert pauses_s == [7.0, 7.0]
    assert refusal(serving(trouble).url("/clip.wav"), Retryable).http_status == status


@pytest.mark.parametrize("wrong", ["text/html", "application/octet-stream", "audio/mpeg", ""])
def test_a_wrong_type(serving, wrong):
    headers = [("Content-Type", wrong), LENGTH] if wrong else [LENGTH]
    failure = refusal(serving((200, headers, DATA)).url("/clip.wav"))
    assert (wrong or "no Content-Type") in failure.message
    assert "audio/wav" in failure.fix


def test_a_wrong_length(serving):
    body = DATA + b"more"
    failure = refusal(serving((200, [TYPE, ("Content-Length", str(len(body)))], body)).url("/clip.wav"))
    assert f"Content-Length {len(body)}" in failure.message
    assert str(len(DATA)) in failure.rule


def test_no_length(serving):
    assert "without Content-Length" in refusal(serving((200, [TYPE], DATA)).url("/clip.wav")).message


def test_other_bytes(serving):
    failure = refusal(serving((200, [TYPE, LENGTH], bytes(len(DATA)))).url("/clip.wav"))
    assert "other bytes" in failure.message


def test_a_cut_body(serving):
    failure = refusal(serving((200, [TYPE, LENGTH], DATA[:-1])).url("/clip.wav"), Retryable)
    assert "cannot be fetched" in failure.message
    assert "whole file" in failure.fix


def test_nobody_there(serving):
    server = serving((200, [TYPE, LENGTH], DATA))
    server.server_close()
    assert "ConnectError" in refusal(server.url("/clip.wav"), Retryable).message


def test_an_endless_body_is_not_read(serving):
    """A client that hands on more than it announced: httpx itself would stop a server that tries."""

    class Endless(httpx.SyncByteStream):
        given = 0

        def __iter__(self):
            while True:
                self.given += 1
                yield bytes(4096)

    endless = Endless()
    transport = httpx.MockTransport(lambda request: httpx.Response(200, headers=[TYPE, LENGTH], stream=endless))
    with httpx.Client(transport=transport) as client:
        assert "other bytes" in refusal("https://a.example.com/clip.wav", client=client).message
    assert endless.given <= len(DATA) // 4096 + 2


def test_a_dripping_server_is_given_up(monkeypatch):
    class Drips(httpx.SyncByteStream):
        def __iter__(self):
            while True:
                yield b"R"

    monkeypatch.setattr("prep.hosting.check.FETCH_S", -1.0)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, headers=[TYPE, LENGTH], stream=Drips()))
    with httpx.Client(transport=transport) as client:
        assert "to fetch" in refusal("https://a.example.com/clip.wav", Retryable, client=client).message


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example.com/clip.wav",
        "https://u:hidden@a.example.com/clip.wav",
        "https://a.example.com/声音.wav",
        "https://a.example.com/a b.wav",
        "https://a.example.com:port/clip.wav",
        "https:///clip.wav",
        "https://[bad/clip.wav",
    ],
)
def test_a_url_no_vendor_can_use(url):
    assert "http" in refusal(url).rule


@pytest.mark.parametrize("path", ["/clip.mp3", "/clip", "/", ""])
def test_a_wrong_ending(path):
    assert ".wav" in refusal(f"https://a.example.com{path}").message


def test_other_formats_have_their_own_endings(serving):
    server = serving((200, [("Content-Type", "audio/mpeg"), LENGTH], DATA), path="/clip.mp3")
    check(server.url("/clip.mp3"), media_type="audio/mpeg")


def test_a_value_rebuilt_from_a_ledger_has_no_url_to_check():
    assert "upload the clip again" in refusal("").fix


@pytest.mark.parametrize(
    "url",
    ["https://files.example.com/a.wav", "https://8.8.8.8/a.wav", "https://[2606:4700::1111]/", "https://a.b.c:9000/x"],
)
def test_public(url):
    assert is_public(url)


@pytest.mark.parametrize("host", [*HERE.split(), "", "["])
def test_not_public(host):
    assert not is_public(f"http://{host}/clip.wav")
