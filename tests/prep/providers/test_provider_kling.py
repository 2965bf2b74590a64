"""Our Kling client: requests against the document, its states, its lists, and what may be sent twice."""

import json
import shlex

import httpx
import pytest
from provider_kit import KEY, TOKEN, Answers, Notes, limits_of, request_of, sample

from prep.errors import OutcomeUnknown, Refused, Retryable
from prep.providers.base import NotOffered, Voice
from prep.providers.kling import external_id

HOME = "https://api-singapore.klingai.com"
URL = "https://files.example.com/ann.wav"
OURS = f"voxprep-{TOKEN}"
TASK = {
    "task_id": "821234567890123456",
    "task_info": {"external_task_id": OURS},
    "task_status": "submitted",
    "created_at": 1781080778802,
    "updated_at": 1781080778802,
}
VOICE = {"voice_id": "v1", "voice_name": "Ann", "trial_url": "https://k.example.com/t.mp3", "owned_by": "123"}
DONE = TASK | {"task_status": "succeed", "task_status_msg": "", "task_result": {"voices": [VOICE]}}
UNKNOWN = httpx.Response(404, json={"code": 1203, "message": "task not found", "request_id": "r"})


def says(data, code=0, status=200, message="SUCCEED"):
    return httpx.Response(status, json={"code": code, "message": message, "request_id": "r", "data": data})


def Vendor(answers=None):
    return Answers("kling", answers)


def wish(name="Ann", **options):
    return request_of(sample(url=URL), name=name, **options)


def bodies(vendor, method="POST"):
    return [json.loads(asked.content) for asked in vendor.asked if asked.method == method]


def test_the_create_field_by_field():
    vendor = Vendor({"POST custom-voices": says(TASK)})
    pages = Notes()
    made = vendor.open().enrol(wish(callback_url="https://me.example.com/hook"), pages)
    assert made == Voice("", "", "training", {"task_id": TASK["task_id"], "task_status": "submitted"}, TASK["task_id"])
    asked = vendor.asked[0]
    assert (asked.method, str(asked.url)) == ("POST", f"{HOME}/v1/general/custom-voices")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.content) == {
        "voice_name": "Ann",
        "voice_url": URL,
        "external_task_id": OURS,
        "callback_url": "https://me.example.com/hook",
    }
    assert pages.steps == [("create", True, {"task_id": TASK["task_id"]})]


def test_a_video_stands_for_the_set():
    vendor = Vendor({"POST custom-voices": says(TASK)})
    request = request_of(video_id="vid1")
    assert [check for check in vendor.open().validate(request) if check.blocks] == []
    vendor.open().enrol(request, Notes())
    assert bodies(vendor) == [{"voice_name": "Ann", "video_id": "vid1", "external_task_id": OURS}]


def test_an_empty_option_counts_as_absent():
    vendor = Vendor({"POST custom-voices": says(TASK)})
    vendor.open().enrol(wish(video_id="", callback_url=""), Notes())
    assert bodies(vendor) == [{"voice_name": "Ann", "voice_url": URL, "external_task_id": OURS}]


@pytest.mark.parametrize("name", ["x" * 21, "声" * 40, "👩‍🎤" * 9, "Zoe\u0301" * 6])
def test_long_names_are_shortened_to_twenty_code_points_and_stay_apart(name):
    provider = Vendor().open()
    one, other = (provider.sent_name(wish(name=name + end)) for end in ("a", "b"))
    assert max(len(one), len(other)) <= 20
    assert one != other
    assert one[:10] == name[:10]
    assert provider.sent_name(wish(name="声" * 20)) == "声" * 20
    assert [check for check in provider.validate(wish(name=name)) if check.blocks] == []


def test_find_asks_by_our_own_id():
    vendor = Vendor({f"GET custom-voices/{OURS}": says(DONE)})
    pages = Notes()
    found = vendor.open().find(wish(), pages)
    detail = {"task_id": TASK["task_id"], "owned_by": "123", "url": "https://k.example.com/t.mp3"}
    assert found == Voice("v1", "Ann", "ready", detail, TASK["task_id"])
    assert str(vendor.asked[0].url) == f"{HOME}/v1/general/custom-voices/{OURS}"
    assert pages.steps == [("look", False, {"task_id": TASK["task_id"]})]
    assert external_id(wish()) == OURS


def test_find_none_only_where_kling_itself_says_so():
    assert Vendor({f"GET {OURS}": UNKNOWN}).open().find(wish(), Notes()) is None
    for answer in (httpx.Response(404, html="<h1>nginx</h1>"), says(None, 1202, 404, "method"), says(None, 1000, 401)):
        with pytest.raises(Refused):
            Vendor({f"GET {OURS}": answer}).open().find(wish(), Notes())


@pytest.mark.parametrize("state", ["submitted", "processing", "pending", "succeeded", "Succeed", "banana"])
def test_every_unknown_word_is_training(state):
    task = TASK | {"task_status": state, "task_result": {"voices": [VOICE]}}
    voice = Vendor({"GET T1": says(task)}).open().status(Voice("", "", "training", handle="T1"))
    assert (voice.status, voice.voice_id, voice.handle) == ("training", "", TASK["task_id"])


def test_a_failed_task_and_one_whose_voice_was_deleted():
    failed = TASK | {"task_status": "failed", "task_status_msg": "two speakers", "task_result": {"voices": []}}
    gone = TASK | {"task_status": "succeed", "task_result": {"voices": []}}
    vendor = Vendor({"GET T1": [says(failed), says(gone)]})
    provider, asked = vendor.open(), Voice("", "", "training", handle="T1")
    assert [(v.status, v.reason) for v in (provider.status(asked), provider.status(asked))] == [
        ("failed", "two speakers"),
        ("failed", "the task is done and holds no voice; it was deleted"),
    ]


def test_ids_are_quoted_in_paths():
    vendor = Vendor({"GET a/b?c": says(TASK)})
    vendor.open().status(Voice("", "", "training", handle="a/b?c"))
    assert vendor.asked[0].url.raw_path == b"/v1/general/custom-voices/a%2Fb%3Fc"


def page(count, first=0):
    rows = [{**DONE, "task_result": {"voices": [VOICE | {"voice_id": f"v{first + n}"}]}} for n in range(count)]
    return says(rows)


@pytest.mark.parametrize(("pages", "found"), [([0], 0), ([99], 99), ([100, 0], 100), ([100, 100, 1], 201)])
def test_the_list_goes_on_until_a_short_page(pages, found):
    vendor = Vendor({"GET custom-voices": [page(count, 100 * n) for n, count in enumerate(pages)]})
    assert len({voice.voice_id for voice in vendor.open().list()}) == found
    assert [dict(asked.url.params) for asked in vendor.asked] == [
        {"pageNum": str(n), "pageSize": "100"} for n in range(1, len(pages) + 1)
    ]


def test_deleted_tasks_are_left_out_of_the_list_and_others_not():
    gone = TASK | {"task_status": "succeed", "task_result": {"voices": []}}
    two = DONE | {"task_result": {"voices": [VOICE, VOICE | {"voice_id": "v2"}]}}
    failed = TASK | {"task_status": "failed", "task_status_msg": "noise"}
    listed = Vendor({"GET custom-voices": says([gone, two, TASK, failed])}).open().list()
    assert [(voice.voice_id, voice.status) for voice in listed] == [
        ("v1", "ready"), ("v2", "ready"), ("", "training"), ("", "failed"),
    ]  # fmt: skip


def test_presets_and_show():
    preset = {"task_id": "p", "task_status": "succeed", "task_result": {"voices": [VOICE | {"voice_id": "p1"}]}}
    vendor = Vendor({"GET custom-voices": says([DONE]), "GET presets-voices": says([preset])})
    provider = vendor.open()
    assert [voice.voice_id for voice in provider.list(presets=True)] == ["p1"]
    assert vendor.asked[0].url.path == "/v1/general/presets-voices"
    assert (provider.show("p1").voice_id, provider.show(TASK["task_id"]).voice_id) == ("p1", "v1")
    with pytest.raises(Refused, match="no voice 'v9'"):
        provider.show("v9")


def test_delete():
    vendor = Vendor(
        {"GET custom-voices": says([DONE]), "POST delete-voices": says({"task_id": "t", "task_status": ""})}
    )
    assert vendor.open().delete("v1") is True
    assert (vendor.asked[-1].url.path, bodies(vendor)) == ("/v1/general/delete-voices", [{"voice_id": "v1"}])
    assert vendor.open().delete("nobody") is False
    assert len(bodies(vendor)) == 1


def test_a_delete_whose_answer_was_lost_is_a_delete():
    refusal = says(None, 1201, 400, "voice_id v1 is not one of your custom voices")
    lists, deletes = [says([DONE]), says([])], [httpx.Response(504, html="late"), refusal]
    vendor = Vendor({"GET custom-voices": lists, "POST delete-voices": deletes})
    assert vendor.open().delete("v1") is True
    vendor = Vendor({"GET custom-voices": says([DONE]), "POST delete-voices": refusal})
    with pytest.raises(Refused, match="not one of your custom voices"):
        vendor.open().delete("v1")


def test_ping_lists_one():
    vendor = Vendor({"GET custom-voices": says([])})
    assert vendor.open().ping() == "the key works; no custom voices yet"
    assert dict(vendor.asked[0].url.params) == {"pageNum": "1", "pageSize": "1"}


def broken(request):
    checks = Vendor().open().validate(request)
    assert all(check.fix for check in checks if not check.ok)
    return {check.rule for check in checks if check.blocks}


@pytest.mark.parametrize(
    ("request_", "rules"),
    [
        (wish(), set()),
        (request_of(), {"number of clips"}),
        (request_of(sample(), sample()), {"number of clips"}),
        (wish(name=""), {"voice name given", "length of the voice name"}),
        (wish(video_id="v"), {"one source"}),
        (request_of(video_id="v v\n"), {"video_id"}),
        (wish(callback_url="ftp://x"), {"callback_url"}),
        (wish(callback_url="https://"), {"callback_url"}),
        (wish(callback_url="http://["), {"callback_url"}),
        (wish(callback_url="https://a b"), {"callback_url"}),
        (wish(colour="red"), {"options known"}),
        (request_of(sample(duration_s=4.99)), {"length"}),
        (request_of(sample(duration_s=30.01)), {"length"}),
        (request_of(sample(duration_s=5.0)), set()),
        (request_of(sample(duration_s=30.0)), set()),
        (request_of(sample(b"no audio")), {"length", "file format"}),
    ],
)
def test_each_rule(request_, rules):
    assert broken(request_) == rules


def test_limits_are_data():
    longer = tuple(x.model_copy(update={"max": 25.0}) if x.rule == "name_chars" else x for x in limits_of("kling"))
    assert Vendor().open(limits=longer).sent_name(wish(name="x" * 25)) == "x" * 25


def test_what_is_said_and_shown_has_no_key():
    provider = Vendor().open()
    with pytest.raises(NotOffered, match="videos"):
        provider.say("v1", "Hello", {})
    call = provider.say_call(Voice("v'1", "Ann", "ready"))
    words = shlex.split(call)
    assert json.loads(words[words.index("-d") + 1])["voice_list"] == [{"voice_id": "v'1"}]
    assert "$VOXPREP_KLING_API_KEY" in call
    assert KEY not in call + repr(provider) + repr(vars(provider)) + " ".join(provider.plan(wish()))


@pytest.mark.parametrize(
    "answer",
    [
        b"{",
        b"",
        b"[]",
        b"null",
        b'{"data": {}}',
        b'{"code": "0", "data": {}}',
        b'{"code": 0}',
        b'{"code": 0, "data": []}',
    ],
)
def test_garbage_is_a_lost_answer(answer):
    vendor = Vendor({"POST custom-voices": httpx.Response(200, content=answer)})
    with pytest.raises(OutcomeUnknown, match="unreadable"):
        vendor.open().enrol(wish(), Notes())
    assert len(vendor.asked) == 1
    vendor = Vendor({"GET T1": httpx.Response(200, content=answer)})
    with pytest.raises(Retryable, match="unreadable"):
        vendor.open().status(Voice("", "", "training", handle="T1"))
    assert len(vendor.asked) == 5


REFUSALS = [
    # HTTP, code, what a create becomes, what a query becomes, requests sent by each, a word of the fix
    (401, 1000, Refused, Refused, 1, 1, "VOXPREP_KLING_API_KEY"),
    (401, 1001, Refused, Refused, 1, 1, "VOXPREP_KLING_API_KEY"),
    (401, 1002, Refused, Refused, 1, 1, "VOXPREP_KLING_API_KEY"),
    (401, 1003, Refused, Refused, 1, 1, "clock"),
    (401, 1004, Refused, Refused, 1, 1, "VOXPREP_KLING_API_KEY"),
    (429, 1100, Refused, Refused, 1, 1, "console"),
    (429, 1101, Refused, Refused, 1, 1, "top it up"),
    (429, 1102, Refused, Refused, 1, 1, "renew"),
    (403, 1103, Refused, Refused, 1, 1, "console"),
    (400, 1200, Refused, Refused, 1, 1, "words"),
    (400, 1201, Refused, Refused, 1, 1, "--dry-run"),
    (404, 1202, Refused, Refused, 1, 1, "VOXPREP_KLING_BASE_URL"),
    (404, 1203, Refused, Refused, 1, 1, "voices list"),
    (400, 1300, Refused, Refused, 1, 1, "another sample"),
    (400, 1301, Refused, Refused, 1, 1, "another sample"),
    (429, 1302, Retryable, Retryable, 5, 5, "again"),
    (429, 1303, Retryable, Retryable, 5, 5, "again"),
    (429, 1304, Refused, Refused, 1, 1, "allow"),
    (500, 5000, OutcomeUnknown, Retryable, 1, 5, "again"),
    (503, 5001, OutcomeUnknown, Retryable, 1, 5, "again"),
    (504, 5002, OutcomeUnknown, Retryable, 1, 5, "again"),
    (200, 1101, Refused, Refused, 1, 1, "top it up"),
    (200, 1201, Refused, Refused, 1, 1, "--dry-run"),
    (200, 5000, OutcomeUnknown, Retryable, 1, 5, "again"),
    (502, 7777, OutcomeUnknown, Retryable, 1, 5, ""),
    (429, 7777, Retryable, Retryable, 5, 5, ""),
    (400, 7777, Refused, Refused, 1, 1, ""),
]


@pytest.mark.parametrize(("status", "code", "create", "query", "n_create", "n_query", "fix"), REFUSALS)
def test_every_row_of_the_error_table(status, code, create, query, n_create, n_query, fix):
    refusal = says(None, code, status, "the vendor's words")
    for method, error, count in (("POST", create, n_create), ("GET", query, n_query)):
        vendor = Vendor({f"{method} custom-voices": refusal})
        with pytest.raises(error) as caught:
            vendor.open().enrol(wish(), Notes()) if method == "POST" else vendor.open().list()
        failure = caught.value.failure
        assert type(caught.value) is error
        assert (failure.message, failure.code, failure.http_status) == ("the vendor's words", str(code), status)
        assert len(vendor.asked) == count
        assert fix in failure.fix
        assert bool(failure.rule) == bool(fix)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_failure_without_a_code_goes_by_its_status(status):
    vendor = Vendor({"GET custom-voices": [httpx.Response(status, html="<h1>busy</h1>"), says([])]})
    assert vendor.open().list() == ()


def test_the_key_is_blotted_out_of_what_the_vendor_says():
    vendor = Vendor({"GET custom-voices": says(None, 1002, 401, f"token {KEY} is invalid")})
    with pytest.raises(Refused) as caught:
        vendor.open().list()
    assert KEY not in str(caught.value) + repr(caught.value) + repr(caught.value.failure)
