"""The sandbox around the vendors: who may speak to it, how much, and what goes wrong on request."""

import json
import threading
import time

import httpx
import pytest
from sandbox_kit import MAIL, POOR, client, hosting, spoken, until, wav

from pipelines.sandbox import jobs
from pipelines.sandbox.app import VENDORS, bound, running, serve
from pipelines.sandbox.faults import is_loopback
from pipelines.sandbox.fetch import fetch, http_url, is_local
from pipelines.sandbox.settings import MAX_RECORDED_BYTES, N_RECORDED, Books, Recorded, Settings
from prep.errors import ConfigError

FORM = {"name": "Ann", "reference_texts": ["one", "two"], **MAIL}


@pytest.fixture(scope="module")
def sandbox():
    with running(Settings(hang_s=0.3, max_body_bytes=3_000_000, slow_s=0.5, train_s=0.0)) as here:
        yield here


@pytest.fixture
def http(sandbox):
    sandbox.books.reset()
    with client(sandbox.url) as here:
        yield here


def other_call(http, vendor, **headers):
    """A call of another vendor that makes something: its answer."""
    path, body = {
        "kling": ("/kling/v1/general/custom-voices", {"voice_name": "Ann", "video_id": "1"}),
        "qiniu": ("/qiniu/v1/voice-clones", {"model_id": "QN_ACV"}),
        "ai302": ("/ai302/302/higgs_audio/smart_voice/task", {"is_multi_speaker": False, "input_text": "x"}),
    }[vendor]
    return http.post(path, json=body, headers=headers)


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
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert names(sandbox) == ["Ann"]


@pytest.mark.parametrize("vendor", ["kling", "qiniu", "ai302"])
def test_spoiled_answers_are_the_vendors_own(http, sandbox, vendor):
    whole = other_call(http, vendor).content
    for start in (b'{"code":0', b'{"task_id":"'):
        if whole.startswith(start):
            break
    else:
        raise AssertionError(whole)
    garbage = other_call(http, vendor, **{"X-Sandbox-Fault": "garbage"})
    assert garbage.status_code == 200
    assert garbage.content.startswith(start)
    with pytest.raises(json.JSONDecodeError):
        garbage.json()
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        other_call(http, vendor, **{"X-Sandbox-Fault": "cut"})
    assert len(sandbox.books.stores[vendor]) == 3


def test_a_slow_answer_trickles_in_and_is_whole(http, sandbox):
    began, parts = time.monotonic(), []
    body = {"model_id": "QN_ACV"}
    with http.stream("POST", "/qiniu/v1/voice-clones", json=body, headers={"X-Sandbox-Fault": "slow"}) as answer:
        headers_s = time.monotonic() - began
        parts = [(time.monotonic() - began, part) for part in answer.iter_raw()]
    assert headers_s < 0.3
    assert time.monotonic() - began >= 0.45
    assert len(parts) > 3
    assert json.loads(b"".join(part for _, part in parts))["code"] == 0
    assert len(sandbox.books.stores["qiniu"]) == 1


def test_a_slow_refusal_is_still_a_refusal(http):
    answer = http.post("/qiniu/v1/voice-clones", json={}, headers={"X-Sandbox-Fault": "slow"})
    assert (answer.status_code, answer.json()["code"]) == (400, 400)


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
    assert state["voices"] == {"qhaigc": ["Ann"], "kling": [], "qiniu": [], "qwen": [], "ai302": []}
    assert state["calls"]["GET /qhaigc/v1/audio/voices"] == 3


def test_unknown_faults_are_named(http):
    assert "hang-after" in create(http, **{"X-Sandbox-Fault": "gremlin"}).json()["error"]["message"]
    assert http.post("/_sandbox/faults", json={"fault": "gremlin"}).status_code == 422


@pytest.mark.parametrize(
    ("vendor", "status", "where", "code"),
    [
        ("qhaigc", 429, ("error", "code"), "rate_limit_exceeded"),
        ("qhaigc", 503, ("error", "code"), "server_error"),
        ("kling", 429, ("code",), 1302),
        ("kling", 500, ("code",), 5000),
        ("kling", 503, ("code",), 5001),
        ("qiniu", 429, ("code",), 429),
        ("qiniu", 500, ("code",), 500),
        ("qwen", 429, ("code",), "Throttling.RateQuota"),
        ("qwen", 500, ("code",), "InternalError"),
        ("qwen", 503, ("code",), "ModelUnavailable"),
        ("ai302", 429, ("error", "err_code"), -10000),
        ("ai302", 502, ("error", "err_code"), -10000),
    ],
)
def test_a_burst_of_refusals_in_each_vendors_words(http, vendor, status, where, code):
    http.post("/_sandbox/faults", json={"fault": str(status), "path": f"/{vendor}", "times": 2})
    for _ in range(2):
        answer = http.get(f"/{vendor}/anything")
        assert answer.status_code == status
        found = answer.json()
        for step in where:
            found = found[step]
        assert found == code
    assert http.get(f"/{vendor}/anything").status_code == 404


def test_outcomes_are_planned_by_http_too(http):
    wish = {"vendor": "kling", "reason": "two voices", "times": 1}
    assert http.post("/_sandbox/outcomes", json=wish).json() == {"planned": wish}
    task_id = other_call(http, "kling").json()["data"]["task_id"]
    assert http.get(f"/kling/v1/general/custom-voices/{task_id}").json()["data"]["task_status_msg"] == "two voices"
    assert http.post("/_sandbox/outcomes", json={"vendor": "acme", "reason": "x"}).status_code == 422


@pytest.mark.parametrize(("content", "status"), [(b"{", 422), (b"NaN", 422), (b"\x19A=\xe9X", 400)])
def test_bodies_of_our_own_calls_that_are_none(http, content, status):
    answer = http.post("/_sandbox/outcomes", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert "no such call" not in answer.json()["error"]


def test_a_planned_outcome_refuses_qhaigcs_next_creation(http, sandbox):
    sandbox.books.fail_next("qhaigc", "too noisy")
    answer = create(http)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "too noisy")
    assert create(http).status_code == 200


def test_qhaigc_knows_no_poor_accounts(http):
    assert create(http, **POOR).status_code == 200


def test_requests_are_recorded_without_keys(http, sandbox):
    create(http)
    http.get("/kling/v1/general/custom-voices", params={"pageNum": 2})
    other_call(http, "qiniu")
    http.post("/qwen/api/v1/x", json={"input": {"audio": {"data": "data:audio/wav;base64," + "A" * 9000}}})
    http.post("/qwen/api/v1/x", json={"text": "x" * 3000})
    kept = list(sandbox.books.requests)
    assert [request.path for request in kept[:2]] == ["/qhaigc/v1/voice/model", "/kling/v1/general/custom-voices"]
    assert kept[1].query == "pageNum=2"
    assert wav(seed=1) in kept[0].body
    assert {request.headers["authorization"] for request in kept} == {"***"}
    with pytest.raises(TypeError):
        kept[0].headers["authorization"] = "sk"

    text = http.get("/_sandbox/requests").text
    assert "sk-sandbox" not in text
    shown = json.loads(text)["requests"]
    assert [row["method"] for row in shown] == ["POST", "GET", "POST", "POST", "POST"]
    assert [row["body"] for row in shown[:3]] == [None, "", '{"model_id":"QN_ACV"}']
    assert shown[3]["body"] == '{"input":{"audio":{"data":"data:audio/wav;base64,..."}}}'
    assert (shown[4]["body"], shown[4]["n_bytes"]) == (None, 3011)


def test_only_the_last_requests_are_kept():
    books = Books()
    for n in range(N_RECORDED + 10):
        books.record(Recorded("GET", f"/{n}", "", {}, b""))
    assert [books.requests[0].path, books.requests[-1].path] == ["/10", f"/{N_RECORDED + 9}"]
    big = bytes(MAX_RECORDED_BYTES // 2 + 1)
    for n in range(3):
        books.record(Recorded("POST", f"/big/{n}", "", {}, big))
    assert [request.path for request in books.requests] == ["/big/2"]


def test_a_reset_forgets_everything_and_stops_what_runs():
    with hosting() as host, running(Settings(train_s=60)) as here, client(here.url) as http:
        url = host.put("a.wav", spoken("wav"))
        made = http.post("/kling/v1/general/custom-voices", json={"voice_name": "Ann", "voice_url": url})
        job = here.books.stores["kling"][made.json()["data"]["task_id"]].job
        http.post("/_sandbox/outcomes", json={"vendor": "kling", "reason": "x"})
        http.post("/_sandbox/faults", json={"fault": "500"})
        assert http.post("/_sandbox/reset").json() == {"reset": True}
        assert job.ended.result(5).reason == "the sandbox was reset"
        books = here.books
        kept = (books.outcomes, books.faults, books.requests, books.files, books.calls)
        assert [len(what) for what in kept] == [0] * 5
        assert all(store == {} for store in books.stores.values())


def test_jobs_stop_with_the_server():
    with running(Settings(train_s=60)) as here, client(here.url) as http:
        task_id = other_call(http, "kling").json()["data"]["task_id"]
        job = here.books.stores["kling"][task_id].job
        assert job.live
    assert job.ended.result(5).reason


def test_a_broken_job_is_no_silence(monkeypatch):
    """A bug shows on stderr and at the next query, which would wait for ever otherwise."""
    crashes = []
    monkeypatch.setattr(threading, "excepthook", crashes.append)

    def broken():
        raise ZeroDivisionError

    job = jobs.start(broken, 0.0, threading.Event())
    with pytest.raises(RuntimeError, match="broke"):
        job.ended.result(5)
    assert until(lambda: [crash.exc_type for crash in crashes] == [ZeroDivisionError])


def test_paths_end_as_documented(http):
    assert http.get("/qiniu/v1/voice-clones/").status_code == 404


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1/", True),
        ("http://127.1/", True),
        ("http://2130706433/", True),
        ("http://0/", True),
        ("http://192.168.1.1:80/", True),
        ("http://[::1]/", True),
        ("http://[fe80::1]/", True),
        ("http://localhost/", True),
        ("http://a.LOCALHOST./", True),
        ("http://8.8.8.8/", False),
        ("https://example.com/", False),
        ("https://127.0.0.1.example.com/", False),
    ],
)
def test_which_hosts_are_local(url, local):
    assert is_local(http_url(url)) is local


def test_a_fetch_is_bounded():
    few = Settings(max_fetch_bytes=1000)
    with hosting() as host:
        assert fetch(host.put("a", bytes(1000)), few) == bytes(1000)
        with pytest.raises(jobs.Unfit, match="larger than 1000 bytes"):
            fetch(host.put("b", bytes(1001)), few)
        with pytest.raises(jobs.Unfit, match=r"took longer|ReadTimeout"):
            fetch(f"{host.url}/slow.wav", Settings(fetch_timeout_s=0.2))


def test_documentation_needs_no_network(http):
    page = http.get("/docs").text
    assert "/qhaigc/v1/voice/model" in page
    assert "multipart/form-data" in page
    assert "http" not in page.replace("httpx", "")
    document = http.get("/openapi.json").json()
    form = document["paths"]["/qhaigc/v1/voice/model"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["required"] == ["name", "audio_files", "reference_texts"]


def test_the_document_lists_every_call_with_its_body_and_its_refusals(http):
    document = http.get("/openapi.json").json()
    page = http.get("/docs").text
    expected = {
        "/kling/v1/general/custom-voices": {"get", "post"},
        "/kling/v1/general/custom-voices/{id}": {"get"},
        "/kling/v1/general/presets-voices": {"get"},
        "/kling/v1/general/delete-voices": {"post"},
        "/qiniu/v1/voice-clones": {"get", "post"},
        "/qiniu/v1/voice-clones/{id}": {"get", "put", "delete"},
        "/qiniu/v1/quotas": {"get"},
        "/qwen/api/v1/services/audio/tts/customization": {"post"},
        "/qwen/api/v1/services/aigc/multimodal-generation/generation": {"post"},
        "/ai302/302/higgs_audio/voice_clone/task": {"get", "post"},
        "/ai302/302/higgs_audio/smart_voice/task": {"get", "post"},
        "/ai302/302/upload-file": {"post"},
    }
    for path, methods in expected.items():
        assert path in page
        assert set(document["paths"][path]) == methods
        for method in methods:
            call = document["paths"][path][method]
            assert call["security"]
            assert "401" in call["responses"]
            assert call["description"]
            assert ("requestBody" in call) == (method in ("post", "put"))
    assert "is_multi_speaker" in page
    assert "preferred_name" in page


def test_references_in_the_document_lead_somewhere(http):
    document = http.get("/openapi.json").json()

    def references(node):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if key == "$ref":
                yield value
            elif isinstance(value, dict | list):
                yield from references(value)

    found = set(references(document))
    assert found
    for reference in found:
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        assert node


def test_every_vendor_words_its_own_refusals(http):
    for vendor in VENDORS:
        assert "no such call" in http.get(f"/{vendor}/nothing").text
    assert http.get("/nothing").json() == {"error": "GET /nothing: no such call"}


def test_the_environment_names_every_vendor(sandbox):
    said = sandbox.environment
    assert set(said) == {f"VOXPREP_{vendor.upper()}_{name}" for vendor in VENDORS for name in ("BASE_URL", "API_KEY")}
    assert said["VOXPREP_QWEN_BASE_URL"] == f"{sandbox.url}/qwen/api/v1"
    assert said["VOXPREP_AI302_BASE_URL"] == f"{sandbox.url}/ai302"
    assert {value for name, value in said.items() if name.endswith("API_KEY")} == {"sk-sandbox"}


def test_answers_do_not_wait_for_a_delayed_acknowledgement(http):
    """40 ms each, where the listening socket does not name its protocol."""
    began = time.monotonic()
    for _ in range(20):
        http.get("/qiniu/v1/voice-clones")
    assert time.monotonic() - began < 0.6


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
    assert len([line for line in said if line.startswith("export ")]) == len(VENDORS)
    assert any("ak-sandbox" in line and "sk-sandbox-secret" in line for line in said)
    with client() as http:
        assert http.get(f"{base_url}/v1/audio/voices").json()["total"] == 0
    servers[0].should_exit = True
    thread.join(10)
    assert not thread.is_alive()
