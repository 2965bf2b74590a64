"""The sandbox around the vendors: who may speak to it, how much, and what goes wrong on request."""

import threading
import time

import httpx
import pytest
from upload_kit import MAIL, wav

from pipelines.sandbox.app import VENDORS, bound, running, serve
from pipelines.sandbox.faults import is_loopback
from pipelines.sandbox.settings import Settings
from prep.errors import ConfigError

AUTH = {"Authorization": "Bearer sk-sandbox"}
FORM = {"name": "Ann", "reference_texts": ["one", "two"], **MAIL}


@pytest.fixture(scope="module")
def sandbox():
    with running(Settings(hang_s=0.3, max_body_bytes=3_000_000)) as here:
        yield here


@pytest.fixture
def http(sandbox):
    sandbox.books.reset()
    with httpx.Client(base_url=sandbox.url, headers=AUTH, trust_env=False, timeout=5) as client:
        yield client


def create(http, **headers):
    clips = [("audio_files", (f"s{n}.wav", wav(seed=n), "audio/wav")) for n in (1, 2)]
    return http.post("/qhaigc/v1/voice/model", data=FORM, files=clips, headers=headers)


def names(sandbox):
    return list(sandbox.books.stores["qhaigc"])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost:9", "LOCALHOST", "[::1]:80", "[::1]"])
def test_loopback_names_are_answered(http, host):
    assert is_loopback(host)
    assert http.get("/_sandbox/state", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil:80", "[", "10.0.0.1"])
def test_other_hosts_are_refused(http, host):
    assert not is_loopback(host)
    if host:
        answer = http.get("/qhaigc/v1/audio/voices", headers={"Host": host})
        assert answer.status_code == 400
        assert "loopback" in answer.json()["error"]["message"]


def test_only_loopback_is_bound():
    with bound(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ConfigError, match="--port"), bound(listener.getsockname()[1]):
            raise AssertionError("bound twice")


def test_too_large_a_body_is_413_and_the_next_call_works(http, sandbox):
    answer = http.post("/qhaigc/v1/voice/model", content=b"x" * 3_000_001)
    assert answer.status_code == 413
    assert "3000000 bytes" in answer.json()["error"]["message"]
    assert create(http).status_code == 200


@pytest.mark.parametrize("status", ["429", "500", "502", "503"])
def test_a_status_instead_of_the_call(http, sandbox, status):
    answer = create(http, **{"X-Sandbox-Fault": status})
    assert answer.status_code == int(status)
    assert answer.headers.get("retry-after") == ("1" if status == "429" else None)
    assert answer.json()["error"]["code"] == ("rate_limit_exceeded" if status == "429" else "server_error")
    assert names(sandbox) == []


def test_garbage_after_the_commit(http, sandbox):
    answer = create(http, **{"X-Sandbox-Fault": "garbage"})
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Unterminated"):
        answer.json()
    assert names(sandbox) == ["Ann"]


def test_a_body_cut_after_the_commit(http, sandbox):
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        create(http, **{"X-Sandbox-Fault": "cut"})
    assert names(sandbox) == ["Ann"]


@pytest.mark.parametrize(("fault", "held"), [("hang-after", ["Ann"]), ("hang-before", [])])
def test_no_answer(http, sandbox, fault, held):
    http.timeout = httpx.Timeout(5, read=0.1)
    with pytest.raises(httpx.ReadTimeout):
        create(http, **{"X-Sandbox-Fault": fault})
    assert names(sandbox) == held


def test_planned_faults_hit_their_calls_and_end(http):
    wish = {"fault": "503", "path": "/qhaigc/v1/audio", "method": "GET", "times": 2}
    assert http.post("/_sandbox/faults", json=wish).status_code == 200
    assert create(http).status_code == 200
    got = [http.get("/qhaigc/v1/audio/voices").status_code for _ in range(3)]
    assert got == [503, 503, 200]
    state = http.get("/_sandbox/state").json()
    assert state["voices"] == {"qhaigc": ["Ann"]}
    assert state["calls"]["GET /qhaigc/v1/audio/voices"] == 3


def test_unknown_faults_are_named(http):
    assert "hang-after" in create(http, **{"X-Sandbox-Fault": "gremlin"}).json()["error"]["message"]
    assert http.post("/_sandbox/faults", json={"fault": "gremlin"}).status_code == 422


def test_documentation_needs_no_network(http):
    page = http.get("/docs").text
    assert "/qhaigc/v1/voice/model" in page
    assert "multipart/form-data" in page
    assert "http" not in page.replace("httpx", "")
    document = http.get("/openapi.json").json()
    form = document["paths"]["/qhaigc/v1/voice/model"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["required"] == ["name", "audio_files", "reference_texts"]


def test_every_vendor_words_its_own_refusals(http):
    for vendor in VENDORS:
        assert "no such call" in http.get(f"/{vendor}/nothing").text
    assert http.get("/nothing").json() == {"error": "GET /nothing: no such call"}


def test_serve_says_the_environment_and_answers(monkeypatch):
    """The blocking entry point, in a thread; it is stopped as Ctrl-C would stop it."""
    import uvicorn

    said, servers = [], []
    keep = uvicorn.Server.run
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: (servers.append(self), keep(self, sockets))[1])
    thread = threading.Thread(target=serve, args=(0,), kwargs={"say": said.append})
    thread.start()
    while not (servers and servers[0].started):
        time.sleep(0.01)
    words = said[1].split()
    base_url = words[1].removeprefix("VOXPREP_QHAIGC_BASE_URL=")
    assert words == ["export", f"VOXPREP_QHAIGC_BASE_URL={base_url}", "VOXPREP_QHAIGC_API_KEY=sk-sandbox"]
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{base_url}/v1/audio/voices", headers=AUTH).json()["total"] == 0
    servers[0].should_exit = True
    thread.join(10)
    assert not thread.is_alive()
