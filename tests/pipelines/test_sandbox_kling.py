"""The sandbox's Kling held against the vendor's documents, with raw requests and without our client."""

import base64
import hashlib
import hmac
import json
import re
import time

import jwt
import pytest
from sandbox_kit import AUTH, POOR, client, hosting, spoken, until, wav

from pipelines.sandbox.app import running
from pipelines.sandbox.settings import Settings
from pipelines.sandbox.tokens import BadToken, verified
from pipelines.sandbox.webhook import signature

VOICES = "/v1/general/custom-voices"
# the request of the vendor's "Voice customization" page: the unused source is an empty string
PRINTED_REQUEST = """{
  "voice_name": "my-voice",
  "voice_url": "https://example.com/audio.wav",
  "video_id": "",
  "callback_url": "",
  "external_task_id": ""
}"""
# check vectors of our provider notes: key order as written, secret `sk-test`; and a callback's signature
VECTOR = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhay10ZXN0IiwiZXhwIjoxNzAwMDAxODAwLCJuYmYiOjE2OTk5OTk5OTV9."
    "tMljlG8Xy1G8AKj5WkEZRcRIADvbH0FP6wgzpwHAfs4"
)
WEBHOOK_BODY = (
    b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
)


@pytest.fixture(scope="module")
def sandbox():
    with running(Settings(train_s=0.0, keys=("sk-sandbox", "sk-other"), kling_live_tasks=1000)) as here:
        yield here


@pytest.fixture(scope="module")
def host():
    with hosting() as here:
        yield here


@pytest.fixture(scope="module")
def http(sandbox):
    with client(sandbox.base_url("kling")) as here:
        yield here


@pytest.fixture
def api(sandbox, http):
    sandbox.books.reset()
    http.headers.update(AUTH)
    return http


def body(host, **changes):
    """The printed request with a clip that is really there; a change of None leaves a field out."""
    url = host.put("audio.wav", spoken("wav"))
    asked = json.loads(PRINTED_REQUEST) | {"voice_url": url} | changes
    return {name: value for name, value in asked.items() if value is not None}


def create(api, host, **changes):
    return api.post(VOICES, json=body(host, **changes))


def ended(api, task_id):
    """The task's row once it is final."""
    return until(lambda: (r := api.get(f"{VOICES}/{task_id}").json()["data"])["task_status"] != "processing" and r)


def refused(answer):
    return answer.status_code, answer.json()["code"]


def token(**claims):
    """A token as the vendor's "Authentication" page builds it."""
    now = int(time.time())
    payload = {"iss": "ak-sandbox", "exp": now + 1800, "nbf": now - 5} | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    return signed({"alg": "HS256", "typ": "JWT"}, payload)


def signed(header, payload, secret="sk-sandbox-secret", digest="sha256"):
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload)]
    mac = hmac.new(secret.encode(), b".".join(parts), digest).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


def test_the_printed_request_makes_a_task_and_then_a_voice(api, host):
    began_ms = time.time_ns() // 1_000_000
    answer = create(api, host)
    assert answer.status_code == 200
    assert list(answer.json()) == ["code", "message", "request_id", "data"]
    assert (answer.json()["code"], answer.json()["message"]) == (0, "SUCCEED")
    made = answer.json()["data"]
    assert set(made) == {"task_id", "task_info", "task_status", "created_at", "updated_at"}
    assert re.fullmatch(r"\d{18}", made["task_id"])
    assert made["task_status"] == "submitted"
    assert made["task_info"] == {"external_task_id": ""}
    assert isinstance(made["created_at"], int)
    assert began_ms <= made["created_at"] <= time.time_ns() // 1_000_000

    row = api.get(f"{VOICES}/{made['task_id']}").json()["data"]  # train_s 0: the first query shows the end
    assert row["task_status"] == "succeed"
    assert row["task_status_msg"] == ""
    assert isinstance(row["final_unit_deduction"], str)
    assert set(row["final_balance_deduction"]) == {"quota", "list_price"}
    (voice,) = row["task_result"]["voices"]
    assert set(voice) == {"voice_id", "voice_name", "trial_url", "owned_by"}
    assert voice["voice_name"] == "my-voice"
    assert voice["owned_by"].isdigit()
    trial = api.get(voice["trial_url"], headers={"Authorization": ""})
    assert (trial.headers["content-type"], trial.content[:4]) == ("audio/wav", b"RIFF")


def test_the_first_query_shows_processing():
    with hosting() as host, running(Settings(train_s=0.05)) as here, client(here.base_url("kling")) as api:
        task_id = create(api, host).json()["data"]["task_id"]
        time.sleep(0.3)
        assert api.get(f"{VOICES}/{task_id}").json()["data"]["task_status"] == "processing"
        assert ended(api, task_id)["task_status"] == "succeed"


@pytest.mark.parametrize("form", ["wav", "mp3", "mp4", "mov"])
def test_the_four_formats(api, host, form):
    url = host.put(f"clip.{form}", spoken(form))
    assert ended(api, create(api, host, voice_url=url).json()["data"]["task_id"])["task_status"] == "succeed"


@pytest.mark.parametrize(
    ("seconds", "status"), [(4.99, "failed"), (5.0, "succeed"), (30.0, "succeed"), (30.01, "failed")]
)
def test_five_to_thirty_seconds_inclusive(api, host, seconds, status):
    url = host.put(f"{seconds}.wav", spoken("wav", seconds))
    row = ended(api, create(api, host, voice_url=url).json()["data"]["task_id"])
    assert row["task_status"] == status
    assert ("5 to 30 s" in row["task_status_msg"]) == (status == "failed")
    assert len(row["task_result"]["voices"]) == (status == "succeed")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("gone.wav", None, "404"),
        ("moved.wav", None, "302"),
        ("junk.wav", b"junk", "neither WAV"),
        ("empty.wav", b"", "empty"),
        ("noise.wav", wav(), "no human voice"),
        ("torn.mp4", spoken("mp4")[:3000], "cannot be decoded"),
    ],
)
def test_a_bad_clip_fails_in_the_task(api, host, name, data, reason):
    url = host.put(name, data) if data is not None else f"{host.url}/{name}"
    row = ended(api, create(api, host, voice_url=url).json()["data"]["task_id"])
    assert row["task_status"] == "failed"
    assert reason in row["task_status_msg"]


def test_nobody_listens_at_the_url(api, host):
    row = ended(api, create(api, host, voice_url="http://127.0.0.1:1/a.wav").json()["data"]["task_id"])
    assert (row["task_status"], "cannot be fetched" in row["task_status_msg"]) == ("failed", True)


def test_a_video_nobody_made_fails_in_the_task(api, host):
    row = ended(api, create(api, host, voice_url="", video_id="123").json()["data"]["task_id"])
    assert (row["task_status"], "no such video" in row["task_status_msg"]) == ("failed", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"voice_name": None},
        {"voice_name": ""},
        {"voice_name": " "},
        {"voice_name": "声" * 21},
        {"voice_name": 7},
        {"voice_url": None},
        {"voice_url": ""},
        {"video_id": "123"},
        {"voice_url": "file:///tmp/audio.wav"},
        {"voice_url": "ftp://example.com/audio.wav"},
        {"voice_url": "/tmp/audio.wav"},
        {"voice_url": "https://example.com/au dio.wav"},
        {"voice_url": "https://example.com/声.wav"},
        {"voice_url": "http://[::1/audio.wav"},
        {"voice_url": "https://example.com/audio.flac"},
        {"voice_url": "https://example.com/audio"},
        {"voice_url": "https://example.com/?f=audio.wav"},
        {"callback_url": "nowhere"},
    ],
)
def test_bad_values_are_1201(api, host, sandbox, changes):
    assert refused(create(api, host, **changes)) == (400, 1201)
    assert sandbox.books.stores["kling"] == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b"\xff", b'"\\ud800"'])
def test_what_is_no_json_object_is_1200(api, content):
    answer = api.post(VOICES, content=content, headers={"Content-Type": "application/json"})
    assert refused(answer) == (400, 1200)


def test_json_must_be_said_to_be_json(api, host):
    answer = api.post(VOICES, content=json.dumps(body(host)), headers={"Content-Type": "text/plain"})
    assert refused(answer) == (400, 1200)


def test_twenty_code_points_are_a_name(api, host):
    assert create(api, host, voice_name="声" * 20).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.wav",
        "http://localhost./a.wav",
        "http://[::1]/a.wav",
        "http://10.1.2.3/a.wav",
        "file:///a.wav",
    ],
)
def test_private_hosts_are_refused_where_the_vendor_cannot_reach_them(host, url):
    with running(Settings(allow_local_hosts=False)) as here, client(here.base_url("kling")) as api:
        assert refused(create(api, host, voice_url=url)) == (400, 1201)


def test_an_external_id_is_used_once_per_account_and_finds_the_task(api, host):
    made = create(api, host, external_task_id="mine/1").json()["data"]
    assert made["task_info"] == {"external_task_id": "mine/1"}
    again = create(api, host, external_task_id="mine/1")
    assert refused(again) == (400, 1201)
    assert "external_task_id" in again.json()["message"]
    by_own = api.get(f"{VOICES}/mine%2F1").json()["data"]
    assert by_own == api.get(f"{VOICES}/{made['task_id']}").json()["data"]
    other = {"Authorization": "Bearer sk-other"}
    assert api.post(VOICES, json=body(host, external_task_id="mine/1"), headers=other).status_code == 200


def test_too_many_live_tasks():
    settings = Settings(train_s=60, kling_live_tasks=2)
    with hosting() as host, running(settings) as here, client(here.base_url("kling")) as api:
        assert [create(api, host).status_code for _ in range(2)] == [200, 200]
        answer = create(api, host)
        assert refused(answer) == (429, 1303)
        assert answer.json()["message"] == "parallel task over resource pack limit"
        here.books.reset()
        assert create(api, host).status_code == 200


def test_a_task_that_has_ended_is_not_live(host):
    with running(Settings(train_s=0.01, kling_live_tasks=1)) as here, client(here.base_url("kling")) as api:
        create(api, host)
        assert until(lambda: create(api, host).status_code == 200)


@pytest.mark.parametrize("id", ["1", "800000000000000000", "%2F"])
def test_unknown_tasks_are_1203(api, id):
    assert refused(api.get(f"{VOICES}/{id}")) == (404, 1203)


def test_lists_are_bare_arrays_in_pages_newest_first(api, host):
    ids = [create(api, host, voice_name=f"v{n}").json()["data"]["task_id"] for n in range(3)]
    rows = api.get(VOICES).json()["data"]
    assert [row["task_id"] for row in rows] == ids[::-1]
    page = api.get(VOICES, params={"pageNum": 2, "pageSize": 2}).json()["data"]
    assert [row["task_id"] for row in page] == ids[:1]
    assert api.get(VOICES, params={"pageNum": 1000, "pageSize": 1000}).json()["data"] == []


@pytest.mark.parametrize("path", [VOICES, "/v1/general/presets-voices"])
@pytest.mark.parametrize(
    "params", [{"pageNum": 0}, {"pageNum": 1001}, {"pageSize": 0}, {"pageSize": 1001}, {"pageNum": "x"}]
)
def test_pages_outside_1_to_1000_are_1201(api, path, params):
    assert refused(api.get(path, params=params)) == (400, 1201)


def test_presets_are_the_vendors(api):
    rows = api.get("/v1/general/presets-voices").json()["data"]
    assert len(rows) >= 2
    for row in rows:
        assert set(row) == {"task_id", "task_status", "task_status_msg", "task_result", "created_at", "updated_at"}
        assert [voice["owned_by"] for voice in row["task_result"]["voices"]] == ["kling"]
    assert len(api.get("/v1/general/presets-voices", params={"pageSize": 1}).json()["data"]) == 1


def test_delete_empties_the_voices_and_keeps_the_task(api, host):
    task_id = create(api, host).json()["data"]["task_id"]
    voice_id = ended(api, task_id)["task_result"]["voices"][0]["voice_id"]
    other = api.post(
        "/v1/general/delete-voices", json={"voice_id": voice_id}, headers={"Authorization": "Bearer sk-other"}
    )
    assert refused(other) == (400, 1201)
    gone = api.post("/v1/general/delete-voices", json={"voice_id": voice_id})
    assert gone.json()["data"] == {"task_id": task_id, "task_status": "succeed"}
    row = api.get(f"{VOICES}/{task_id}").json()["data"]
    assert (row["task_status"], row["task_result"]) == ("succeed", {"voices": []})
    assert refused(api.post("/v1/general/delete-voices", json={"voice_id": voice_id})) == (400, 1201)


def test_presets_and_unknown_voices_cannot_be_deleted(api):
    preset = api.get("/v1/general/presets-voices").json()["data"][0]["task_result"]["voices"][0]["voice_id"]
    for voice_id in (preset, "1", "", 7, None):
        assert refused(api.post("/v1/general/delete-voices", json={"voice_id": voice_id})) == (400, 1201)


def test_accounts_do_not_see_each_other(api, host):
    task_id = create(api, host, external_task_id="mine").json()["data"]["task_id"]
    other = {"Authorization": "Bearer sk-other"}
    assert api.get(VOICES, headers=other).json()["data"] == []
    for id in (task_id, "mine"):
        assert refused(api.get(f"{VOICES}/{id}", headers=other)) == (404, 1203)
    pair = {"Authorization": f"Bearer {token()}"}
    assert [row["task_id"] for row in api.get(VOICES, headers=pair).json()["data"]] == [task_id]


def test_a_token_may_carry_more_claims_and_no_nbf(api):
    for good in (token(), token(iat=int(time.time()) + 50, aud="x", sub=1), token(nbf=None)):
        assert api.get(VOICES, headers={"Authorization": f"Bearer {good}"}).status_code == 200


def bad_tokens():
    now = int(time.time())
    claims = {"iss": "ak-sandbox", "exp": now + 1800, "nbf": now - 5}
    unsigned = signed({"alg": "none", "typ": "JWT"}, claims).rpartition(".")[0] + "."
    return {
        "no header": (None, 1001),
        "an empty header": ("", 1001),
        "Bearer alone": ("Bearer", 1002),
        "another scheme": ("Basic sk-sandbox", 1002),
        "garbage": ("Bearer sk-wrong", 1002),
        "dots": ("Bearer a.b.c", 1002),
        "another secret": ("Bearer " + signed({"alg": "HS256"}, claims, "other"), 1002),
        "HS512": ("Bearer " + signed({"alg": "HS512"}, claims, digest="sha512"), 1002),
        "HS384 called HS256": ("Bearer " + signed({"alg": "HS256"}, claims, digest="sha384"), 1002),
        "none": ("Bearer " + unsigned, 1002),
        "iss": ("Bearer " + token(iss="ak-other"), 1002),
        "no iss": ("Bearer " + token(iss=None), 1002),
        "no exp": ("Bearer " + token(exp=None), 1002),
        "exp is text": ("Bearer " + token(exp="tomorrow"), 1002),
        "nbf ahead": ("Bearer " + token(nbf=now + 60), 1003),
        "exp past": ("Bearer " + token(exp=now - 1), 1004),
    }


@pytest.mark.parametrize("case", bad_tokens())
@pytest.mark.parametrize(
    "call", [f"POST {VOICES}", f"GET {VOICES}", f"GET {VOICES}/1", "POST /v1/general/delete-voices"]
)
def test_wrong_keys(api, case, call):
    api.headers.pop("authorization")
    header, code = bad_tokens()[case]
    method, path = call.split()
    answer = api.request(method, path, headers={} if header is None else {"Authorization": header})
    assert refused(answer) == (401, code)


def test_the_check_vector_is_signed_rightly_and_long_expired():
    pair = ("ak-test", "sk-test")
    claims = verified(VECTOR, pair, now_s=1_700_000_000)
    assert claims == {"iss": "ak-test", "exp": 1_700_001_800, "nbf": 1_699_999_995}
    assert jwt.decode(VECTOR, options={"verify_signature": False}) == claims
    codes = {}
    for what, sent, now_s in [
        ("late", VECTOR, 1_700_001_800),
        ("early", VECTOR, 1_699_999_994),
        ("torn", VECTOR[:-2], 0),
    ]:
        with pytest.raises(BadToken) as caught:
            verified(sent, pair, now_s)
        codes[what] = caught.value.code
    assert codes == {"late": 1004, "early": 1003, "torn": 1002}
    late = f"Bearer {VECTOR}"
    with running(Settings(kling_pair=pair)) as here, client(here.base_url("kling"), Authorization=late) as api:
        assert refused(api.get(VOICES)) == (401, 1004)


def test_an_account_without_credit_may_ask_but_not_create(api, host):
    answer = api.post(VOICES, json=body(host), headers=POOR)
    assert refused(answer) == (429, 1102)
    assert "retry-after" not in answer.headers
    assert api.get(VOICES, headers=POOR).json()["data"] == []


def test_a_planned_outcome_fails_the_next_task(api, host, sandbox):
    sandbox.books.fail_next("kling", "more than one voice is heard")
    first, second = (ended(api, create(api, host).json()["data"]["task_id"]) for _ in range(2))
    assert (first["task_status"], first["task_status_msg"]) == ("failed", "more than one voice is heard")
    assert second["task_status"] == "succeed"


def test_the_check_vector_of_the_webhook():
    secret = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
    assert (
        signature(secret, "9876543210", 1781080794, WEBHOOK_BODY) == "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="
    )


@pytest.mark.parametrize("fails", [False, True])
def test_callbacks_tell_each_status_signed(api, host, sandbox, fails):
    host.posts.clear()
    if fails:
        sandbox.books.fail_next("kling", "too noisy")
    create(api, host, callback_url=f"{host.url}/hook", external_task_id="mine")
    assert until(lambda: len(host.posts) == 3)
    bodies = [json.loads(raw) for _, raw in host.posts]
    assert [sent["task_status"] for sent in bodies] == ["submitted", "processing", "failed" if fails else "succeed"]
    assert {
        "task_id", "task_status", "task_status_msg", "created_at", "updated_at", "final_unit_deduction",
        "final_balance_deduction", "task_info", "task_result",
    } == set(bodies[-1])  # fmt: skip
    assert bodies[-1]["task_info"] == {"external_task_id": "mine"}
    assert bodies[-1]["task_status_msg"] == ("too noisy" if fails else "")
    assert len(bodies[-1]["task_result"]["voices"]) == (not fails)
    key = base64.b64decode(sandbox.settings.kling_webhook_secret.removeprefix("whsec_"))
    assert len(key) == 32
    for headers, raw in host.posts:
        low = {name.lower(): value for name, value in headers.items()}
        mac = hmac.new(key, f"{low['webhook-id']}.{low['webhook-timestamp']}.".encode() + raw, hashlib.sha256)
        assert low["webhook-signature"] == "v1," + base64.b64encode(mac.digest()).decode()
        assert abs(time.time() - int(low["webhook-timestamp"])) < 60
    assert len({headers["webhook-id"] for headers, _ in host.posts}) == 3


def test_a_callback_nobody_takes_harms_nothing(api, host):
    for url in ("http://127.0.0.1:1/hook", "https://example.invalid/hook"):
        row = ended(api, create(api, host, callback_url=url).json()["data"]["task_id"])
        assert row["task_status"] == "succeed"


def test_after_the_final_callback_queries_show_the_end(host):
    host.posts.clear()
    with running(Settings(train_s=0.05)) as here, client(here.base_url("kling")) as api:
        task_id = create(api, host, callback_url=f"{host.url}/hook").json()["data"]["task_id"]
        assert until(lambda: len(host.posts) == 3)
        assert api.get(f"{VOICES}/{task_id}").json()["data"]["task_status"] == "succeed"
