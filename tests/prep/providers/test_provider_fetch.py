"""Speech behind an address a vendor gave: no key goes there, nothing of this machine is read, only audio is kept."""

import httpx
import pytest
from provider_kit import KEY, PATIENT

from prep.errors import Refused, Retryable
from prep.providers import fetch
from prep.providers.fetch import fetch_audio

VENDOR = "https://api.example.com/v1"
URL = "https://store.example.com/a.wav?Signature=x"
WAV = {"Content-Type": "audio/wav; charset=binary"}


def get(*answers, url=URL, base_url=VENDOR):
    asked, rest = [], list(answers)

    def handle(request):
        asked.append(request)
        answer = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    with httpx.Client(transport=httpx.MockTransport(handle)) as client:
        return fetch_audio("v", url, client, PATIENT, base_url), asked


def test_audio_as_it_is_and_no_key():
    speech, asked = get(httpx.Response(200, content=b"RIFF", headers=WAV))
    assert (speech.data, speech.media_type) == (b"RIFF", "audio/wav")
    assert (asked[0].method, str(asked[0].url)) == ("GET", URL)
    assert "authorization" not in asked[0].headers
    assert KEY not in str(asked[0].headers)


@pytest.mark.parametrize("kind", ["application/octet-stream", ""])
def test_storage_that_does_not_say_audio(kind):
    assert get(httpx.Response(200, content=b"RIFF", headers={"Content-Type": kind}))[0].data == b"RIFF"


@pytest.mark.parametrize(
    "url",
    [
        "", "a.wav", "/a.wav", "ftp://x.example.com/a", "file:///etc/passwd", "data:audio/wav;base64,AA==", "https://",
        "https://[", "https://x.example.com:port/a", "http://127.0.0.1/a", "http://localhost/a", "http://[::1]/a",
        "http://127.1/a", "http://2130706433/a", "http://localhost./a", "http://10.0.0.1/a", "http://169.254.169.254/a",
        "http://0.0.0.0/a", "http://[::ffff:127.0.0.1]/a", "https://nas/a", "http://x.internal/a",
    ],
)  # fmt: skip
def test_addresses_that_lead_nowhere_or_home(url):
    with pytest.raises(Refused, match="cannot be used"):
        get(httpx.Response(200, content=b"RIFF"), url=url)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8000/x", "http://localhost:1"])
def test_a_vendor_on_this_machine_may_give_one_here(base_url):
    assert get(httpx.Response(200, content=b"RIFF"), url="http://127.0.0.1:9/a", base_url=base_url)[0].data == b"RIFF"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b""),
        httpx.Response(200, json={"error": "x"}),
        httpx.Response(200, html="<h1>no</h1>"),
        httpx.Response(200, content=b"<Error/>", headers={"Content-Type": "Application/XML"}),
    ],
)
def test_what_is_no_audio(answer):
    with pytest.raises(Refused, match="instead of audio"):
        get(answer)


@pytest.mark.parametrize(
    ("status", "error"), [(404, Refused), (403, Refused), (302, Refused), (429, Retryable), (500, Retryable)]
)
def test_failures_by_status(status, error):
    with pytest.raises(error, match="cannot be fetched") as caught:
        get(httpx.Response(status, headers={"Location": "http://127.0.0.1/"}))
    assert "Signature" not in str(caught.value)


def test_passing_trouble_passes():
    good = httpx.Response(200, content=b"RIFF", headers=WAV)
    assert len(get(httpx.Response(503), httpx.ReadTimeout("slow"), httpx.ConnectError("no"), good)[1]) == 4


def test_a_body_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(fetch, "MAX_SPEECH_BYTES", 1000)
    read = []

    def endless():
        while len(read) < 1000:
            read.append(1)
            yield bytes(400)

    with pytest.raises(Refused, match="more than 1000 bytes"):
        get(httpx.Response(200, content=endless(), headers=WAV))
    assert len(read) <= 4
    assert len(get(httpx.Response(200, content=bytes(1000), headers=WAV))[0].data) == 1000
