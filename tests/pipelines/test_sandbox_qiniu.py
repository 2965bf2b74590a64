"""The sandbox's Qiniu held against the vendor's own document, with raw requests and without our client."""

import json
import re
import time

import pytest
from sandbox_kit import AUTH, POOR, client, hosting, spoken, until, wav

from pipelines.sandbox.app import running
from pipelines.sandbox.settings import Settings

CLONES = "/v1/voice-clones"
# requests and answers as the document "音色克隆API" prints them
CREATE_REQUEST = """{
  "model_id": "QN_ACV"
}"""
CREATE_ANSWER = """{
  "code": 0,
  "msg": "",
  "reqid": "req_12345678",
  "data": {
    "id": "voice_clone_abc123",
    "name": "复刻音色-A1B2C",
    "language": "",
    "demo_url": "",
    "state": "Init"
  }
}"""
TRAIN_REQUEST = """{
  "key": "https://example.com/voice-sample.wav",
  "name": "我的专属音色"
}"""
TRAINED_ANSWER = """{
  "code": 0,
  "msg": "",
  "reqid": "req_12345678",
  "data": {
    "id": "voice_clone_abc123",
    "name": "我的专属音色",
    "language": "zh",
    "demo_url": "https://example.com/demo.wav",
    "state": "Success"
  }
}"""
DELETE_ANSWER = """{
  "code": 0,
  "msg": "",
  "reqid": "req_12345678",
  "data": {}
}"""
OTHER = {"Authorization": "Bearer sk-other"}


@pytest.fixture(scope="module")
def sandbox():
    with running(Settings(train_s=0.0, keys=("sk-sandbox", "sk-other"))) as here:
        yield here


@pytest.fixture(scope="module")
def host():
    with hosting() as here:
        yield here


@pytest.fixture(scope="module")
def http(sandbox):
    with client(sandbox.base_url("qiniu")) as here:
        yield here


@pytest.fixture
def api(sandbox, http):
    sandbox.books.reset()
    http.headers.update(AUTH)
    return http


def slot(api, **body):
    return api.post(CLONES, json=body or {"model_id": "QN_ACV"}).json()["data"]


def train(api, id, host, data=None, **changes):
    key = host.put("sample.wav", spoken("wav") if data is None else data)
    return api.put(f"{CLONES}/{id}", json={"key": key, "name": "我的专属音色"} | changes)


def refused(answer):
    """Status, after making sure that the body's code says the same and that there is a message."""
    assert answer.json()["code"] == answer.status_code
    assert answer.json()["msg"]
    return answer.status_code


def fields_of(text):
    return list(json.loads(text)), list(json.loads(text)["data"])


def test_the_printed_requests_get_the_printed_answers(api, host):
    made = api.post(CLONES, content=CREATE_REQUEST, headers={"Content-Type": "application/json"})
    assert made.status_code == 200
    assert (list(made.json()), list(made.json()["data"])) == fields_of(CREATE_ANSWER)
    data = made.json()["data"]
    assert re.fullmatch(r"[0-9a-f]{32}", data["id"])
    assert data["name"] == f"复刻音色-{data['id'][-5:]}"
    assert data | {"id": "", "name": ""} == json.loads(CREATE_ANSWER)["data"] | {"id": "", "name": ""}

    request = json.loads(TRAIN_REQUEST) | {"key": host.put("voice-sample.wav", spoken("wav"))}
    started = api.put(f"{CLONES}/{data['id']}", json=request).json()
    assert (started["code"], started["data"]["name"], started["data"]["state"]) == (0, "我的专属音色", "Training")

    trained = api.get(f"{CLONES}/{data['id']}").json()
    assert (list(trained), list(trained["data"])) == fields_of(TRAINED_ANSWER)
    assert re.fullmatch(r"req_\w{8}", trained["reqid"])
    demo = trained["data"].pop("demo_url")
    printed = json.loads(TRAINED_ANSWER)["data"] | {"id": data["id"]}
    assert trained["data"] == {name: value for name, value in printed.items() if name != "demo_url"}
    assert api.get(demo).content[:4] == b"RIFF"

    assert api.get(CLONES).json()["data"] == {"voices": [trained["data"] | {"demo_url": demo}]}
    gone = api.delete(f"{CLONES}/{data['id']}")
    assert gone.json() | {"reqid": "req_12345678"} == json.loads(DELETE_ANSWER)
    assert api.get(CLONES).json()["data"] == {"voices": []}


def test_the_first_query_shows_training(host):
    with running(Settings(train_s=0.05)) as here, client(here.base_url("qiniu")) as api:
        made = slot(api)
        train(api, made["id"], host)
        time.sleep(0.3)
        first = api.get(f"{CLONES}/{made['id']}").json()["data"]
        assert (first["state"], first["language"], first["demo_url"]) == ("Training", "", "")
        last = until(lambda: (r := api.get(f"{CLONES}/{made['id']}").json()["data"])["state"] != "Training" and r)
        assert (last["state"], last["language"]) == ("Success", "zh")


def test_while_training_a_key_is_refused_and_a_name_is_not(host):
    with running(Settings(train_s=60)) as here, client(here.base_url("qiniu")) as api:
        id = slot(api)["id"]
        train(api, id, host)
        assert refused(train(api, id, host)) == 400
        renamed = api.put(f"{CLONES}/{id}", json={"name": "new", "key": ""}).json()["data"]
        assert (renamed["name"], renamed["state"]) == ("new", "Training")


@pytest.mark.parametrize("change", [{"key": ""}, {"key": None}, {}])
def test_without_a_key_it_only_renames(api, host, change):
    id = slot(api)["id"]
    row = api.put(f"{CLONES}/{id}", json={"name": "new"} | change).json()["data"]
    assert (row["name"], row["state"]) == ("new", "Init")
    train(api, id, host)
    api.get(f"{CLONES}/{id}")
    row = api.put(f"{CLONES}/{id}", json={"name": "newer"} | change).json()["data"]
    assert (row["name"], row["state"], row["language"]) == ("newer", "Success", "zh")


@pytest.mark.parametrize(
    ("seconds", "state"), [(9.99, "Failed"), (10.0, "Success"), (60.0, "Success"), (60.01, "Failed")]
)
def test_ten_to_sixty_seconds(api, host, seconds, state):
    id = slot(api)["id"]
    train(api, id, host, spoken("wav", seconds))
    assert api.get(f"{CLONES}/{id}").json()["data"]["state"] == state


@pytest.mark.parametrize("data", [b"", b"junk", wav(12.0)])
def test_bad_audio_fails_and_may_be_trained_again(api, host, data):
    id = slot(api)["id"]
    train(api, id, host, data)
    row = api.get(f"{CLONES}/{id}").json()["data"]
    assert (row["state"], row["language"], row["demo_url"]) == ("Failed", "", "")
    train(api, id, host)
    assert api.get(f"{CLONES}/{id}").json()["data"]["state"] == "Success"


def test_a_url_nobody_answers_fails(api, host):
    id = slot(api)["id"]
    for key in ("http://127.0.0.1:1/a.wav", f"{host.url}/gone.wav", f"{host.url}/moved.wav"):
        api.put(f"{CLONES}/{id}", json={"name": "x", "key": key})
        assert api.get(f"{CLONES}/{id}").json()["data"]["state"] == "Failed"


def test_lenient_trains_on_any_length(host):
    with running(Settings(train_s=0.0, strict=False)) as here, client(here.base_url("qiniu")) as api:
        id = slot(api)["id"]
        train(api, id, host, wav(2.0))
        assert api.get(f"{CLONES}/{id}").json()["data"]["state"] == "Success"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model_id": ""},
        {"model_id": "QN_OTHER"},
        {"model_id": 1},
        {"language": "ja"},
        {"language": ""},
        {"tier": "gold"},
        {"language": "xx", "tier": "pro"},
        {"model_id": "other", "language": "zh"},
        [],
    ],
)
def test_bad_slots_are_400(api, body):
    assert refused(api.post(CLONES, json=body)) == 400
    assert api.get(CLONES).json()["data"]["voices"] == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"model_id": "\\ud800"}'])
def test_broken_json_is_400(api, content):
    assert refused(api.post(CLONES, content=content, headers={"Content-Type": "application/json"})) == 400


def test_json_must_be_said_to_be_json(api):
    assert refused(api.post(CLONES, content=CREATE_REQUEST)) == 400


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ({"language": "en"}, {"language": "en", "tier": "free"}),
        ({"tier": "free"}, {"language": "zh", "tier": "free"}),
        ({"language": "yue", "tier": "pro"}, {"language": "yue", "tier": "pro"}),
    ],
)
def test_the_newer_body(api, host, body, row):
    made = slot(api, **body)
    assert {name: made[name] for name in row} == row
    train(api, made["id"], host)
    trained = api.get(f"{CLONES}/{made['id']}").json()["data"]
    assert {name: trained[name] for name in row} == row
    assert trained["state"] == "Success"


@pytest.mark.parametrize(
    "body",
    [
        {"key": "https://example.com/a.wav"},
        {"name": ""},
        {"name": "  "},
        {"name": "声" * 21},
        {"name": 1},
        {"name": "x", "key": "file:///a.wav"},
        {"name": "x", "key": "a.wav"},
        {"name": "x", "key": "https://"},
        {"name": "x", "key": ["https://example.com/a.wav"]},
        None,
    ],
)
def test_bad_trainings_are_400(api, body):
    id = slot(api)["id"]
    assert refused(api.put(f"{CLONES}/{id}", json=body)) == 400
    assert api.get(f"{CLONES}/{id}").json()["data"]["state"] == "Init"


def test_twenty_code_points_are_a_name(api):
    assert api.put(f"{CLONES}/{slot(api)['id']}", json={"name": "声a1" + "复" * 17}).status_code == 200


CALLS = [
    f"POST {CLONES}",
    f"GET {CLONES}",
    f"GET {CLONES}/x",
    f"PUT {CLONES}/x",
    f"DELETE {CLONES}/x",
    "GET /v1/quotas",
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("header", [None, "", "Bearer sk-wrong", "Basic sk-sandbox", "Bearer"])
def test_wrong_keys_are_401(api, call, header):
    api.headers.pop("authorization")
    method, path = call.split()
    assert refused(api.request(method, path, headers={} if header is None else {"Authorization": header})) == 401


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_such_voice_is_404(api, method):
    body = {"json": {"name": "x"}} if method == "PUT" else {}
    assert refused(api.request(method, f"{CLONES}/voice_clone_abc123", **body)) == 404


def test_other_peoples_slots_do_not_exist(api):
    id = slot(api)["id"]
    assert api.get(CLONES, headers=OTHER).json()["data"] == {"voices": []}
    assert refused(api.get(f"{CLONES}/{id}", headers=OTHER)) == 404
    assert refused(api.put(f"{CLONES}/{id}", headers=OTHER, json={"name": "x"})) == 404
    assert refused(api.delete(f"{CLONES}/{id}", headers=OTHER)) == 404
    assert api.get(f"{CLONES}/{id}").status_code == 200


def test_deleted_is_gone(api):
    id = slot(api)["id"]
    assert api.delete(f"{CLONES}/{id}").status_code == 200
    assert refused(api.delete(f"{CLONES}/{id}")) == 404


def test_a_paid_slot_cannot_be_deleted(api):
    assert refused(api.delete(f"{CLONES}/{slot(api, tier='pro')['id']}")) == 403


def test_quotas(api, host):
    asked = {"resource_type": 1, "limit": 100, "cursor": ""}
    answer = api.get("/v1/quotas", params=asked).json()["data"]
    assert set(answer) == {"quotas", "next_cursor"}
    assert set(answer["quotas"][0]) == {
        "id", "resource_type", "resource_package", "status", "usage_count", "total_count", "expired_time",
    }  # fmt: skip
    assert {row["resource_type"] for row in answer["quotas"]} == {"linxi:api:voice_clone"}

    def used():
        rows = api.get("/v1/quotas", params=asked).json()["data"]["quotas"]
        return next(row["usage_count"] for row in rows if row["resource_package"] == {"type": "pro"})

    made = slot(api, tier="pro")
    train(api, made["id"], host)
    assert used() == 1
    api.get(f"{CLONES}/{made['id']}")
    api.put(f"{CLONES}/{made['id']}", json={"name": "new"})
    assert used() == 1  # renaming is free
    assert refused(api.get("/v1/quotas", params={"limit": 0})) == 400
    assert refused(api.get("/v1/quotas", params={"resource_type": 2})) == 400


def test_without_credit_only_paid_training_is_refused(api, host):
    api.headers.update(POOR)
    rows = api.get("/v1/quotas").json()["data"]["quotas"]
    assert all(row["usage_count"] == row["total_count"] for row in rows)
    assert train(api, slot(api)["id"], host).status_code == 200
    assert refused(train(api, slot(api, tier="pro")["id"], host)) == 400


def test_a_planned_outcome_fails_the_next_training(api, host, sandbox):
    sandbox.books.fail_next("qiniu", "too noisy")
    id = slot(api)["id"]
    train(api, id, host)
    assert api.get(f"{CLONES}/{id}").json()["data"]["state"] == "Failed"
    train(api, id, host)
    assert api.get(f"{CLONES}/{id}").json()["data"]["state"] == "Success"
