"""Our Qiniu client: the document's own examples, and whose slot is whose."""

import json
import shlex

import httpx
import pytest
from provider_kit import KEY, PATIENT, Answers, Notes, limits_of, request_of, sample

from prep.errors import OutcomeUnknown, Refused, Retryable
from prep.providers.base import NotOffered, Voice
from prep.providers.qiniu import LOST_SLOT_S, Qiniu

HOME = "https://xrobo.qiniu.com/v1/voice-clones"
SLOT = {"id": "voice_clone_abc123", "name": "复刻音色-A1B2C", "language": "", "demo_url": "", "state": "Init"}
TRAINING = {
    "id": "voice_clone_abc123",
    "name": "我的专属音色",
    "language": "zh",
    "demo_url": "https://example.com/demo.wav",
    "state": "Training",
}
READY = TRAINING | {"state": "Success"}
URL = "https://example.com/voice-sample.wav"


def says(data, code=0, status=200, msg=""):
    return httpx.Response(status, json={"code": code, "msg": msg, "reqid": "req_12345678", "data": data})


def slots(*ids, state="Init"):
    return says({"voices": [SLOT | {"id": id, "state": state} for id in ids]})


def failing(code, status=None):
    return says(None, code, code if status is None else status, "the vendor's words")


def Vendor(answers=None):
    return Answers("qiniu", answers)


def wish(name="我的专属音色", **options):
    return request_of(sample(url=URL), name=name, **options)


def calls(vendor):
    return [f"{asked.method} {asked.url.path.removeprefix('/v1/')}" for asked in vendor.asked]


def bodies(vendor, method):
    return [json.loads(asked.content) for asked in vendor.asked if asked.method == method]


GOOD = {"GET voice-clones": slots("old"), "POST voice-clones": says(SLOT), "PUT voice_clone_abc123": says(TRAINING)}


def test_the_documents_own_requests():
    vendor, pages = Vendor(GOOD), Notes()
    made = vendor.open().enrol(wish(), pages)
    detail = {"state": "Training", "language": "zh", "url": "https://example.com/demo.wav"}
    assert made == Voice("voice_clone_abc123", "我的专属音色", "training", detail)
    assert [(asked.method, str(asked.url)) for asked in vendor.asked] == [
        ("GET", HOME), ("POST", HOME), ("PUT", f"{HOME}/voice_clone_abc123"),
    ]  # fmt: skip
    assert {asked.headers["authorization"] for asked in vendor.asked} == {f"Bearer {KEY}"}
    assert [asked.headers.get("content-type") for asked in vendor.asked] == [None, *["application/json"] * 2]
    assert bodies(vendor, "POST") == [{"model_id": "QN_ACV"}]
    assert bodies(vendor, "PUT") == [{"key": "https://example.com/voice-sample.wav", "name": "我的专属音色"}]
    assert [(name, creates) for name, creates, _ in pages.steps] == [
        ("before", False), ("slot", True), ("train", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({"language": "en"}, {"language": "en"}),
        ({"tier": "pro"}, {"language": "zh", "tier": "pro"}),
        ({"language": "yue", "tier": "pro"}, {"language": "yue", "tier": "pro"}),
        ({"language": "", "tier": ""}, {"model_id": "QN_ACV"}),
    ],
)
def test_the_newer_body(options, body):
    vendor = Vendor(GOOD)
    vendor.open().enrol(wish(**options), Notes())
    assert bodies(vendor, "POST") == [body]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("Init", "training"),
        ("Training", "training"),
        ("Success", "ready"),
        ("Failed", "failed"),
        ("Queued", "training"),
    ],
)
def test_states(state, status):
    vendor = Vendor({"GET s1": says(SLOT | {"id": "s1", "state": state, "tier": "pro"})})
    voice = vendor.open().status(Voice("", "", "training", handle="s1"))
    assert (voice.status, voice.handle, voice.detail["tier"]) == (status, "s1", "pro")
    assert bool(voice.reason) == (status == "failed")
    assert vendor.open().show("s1") == voice


def test_a_msg_may_be_missing():
    vendor = Vendor({"GET s1": httpx.Response(200, json={"code": 0, "data": READY})})
    assert vendor.open().show("s1").status == "ready"


def test_the_list_of_the_document():
    second = SLOT | {"id": "voice_clone_def456", "name": "复刻音色-X9Y8Z", "state": "Training"}
    vendor = Vendor(
        {"GET voice-clones": says({"voices": [READY | {"demo_url": "https://example.com/demo1.wav"}, second]})}
    )
    assert [(voice.voice_id, voice.name, voice.status) for voice in vendor.open().list()] == [
        ("voice_clone_abc123", "我的专属音色", "ready"),
        ("voice_clone_def456", "复刻音色-X9Y8Z", "training"),
    ]
    assert vendor.open().ping() == "the key works; 2 voice slot(s)"
    with pytest.raises(NotOffered):
        vendor.open().list(presets=True)


# Whose slot is whose


LOST = httpx.Response(502, html="<h1>bad gateway</h1>")


def lost_create(*lists, clock=lambda: 1000.0, **answers):
    """A vendor whose first POST is lost, and a journal that knows; `lists` follow one another."""
    answers = {"GET voice-clones": list(lists), "POST voice-clones": [LOST, says(SLOT | {"id": "second"})], **answers}
    vendor, pages = Vendor(answers), Notes()
    client = httpx.Client(transport=httpx.MockTransport(vendor.handle))
    provider = Qiniu(vendor.account(), client, PATIENT, limits_of("qiniu"), clock)
    with pytest.raises(OutcomeUnknown):
        provider.enrol(wish(), pages)
    return vendor, provider, pages


def test_a_lost_slot_is_the_one_that_is_new():
    row = says(SLOT | {"id": "new"})
    lists = [slots("old"), slots("old", "new")]
    vendor, provider, pages = lost_create(*lists, **{"GET new": row, "PUT new": says(TRAINING | {"id": "new"})})
    assert provider.find(wish(), pages) is None
    assert provider.enrol(wish(), pages).handle == "new"
    assert calls(vendor).count("POST voice-clones") == 1
    assert calls(vendor)[-1] == "PUT voice-clones/new"


def test_nothing_new_means_nothing_made():
    vendor, provider, pages = lost_create(slots("old"), **{"PUT second": says(TRAINING | {"id": "second"})})
    assert provider.find(wish(), pages) is None
    assert provider.enrol(wish(), pages).handle == "second"
    assert calls(vendor).count("POST voice-clones") == 2
    assert "PUT voice-clones/old" not in calls(vendor)


def test_a_new_slot_that_somebody_trains_is_not_ours():
    rows = says({"voices": [SLOT | {"id": "a", "state": "Training"}, SLOT | {"id": "b", "state": "Success"}]})
    _, provider, pages = lost_create(slots("old"), rows)
    assert provider.find(wish(), pages) is None
    assert pages.recall("slot") == ""


def test_several_new_slots_are_named_and_none_is_touched():
    vendor, provider, pages = lost_create(slots("old"), slots("old", "a", "b"))
    with pytest.raises(OutcomeUnknown, match="a, b") as caught:
        provider.find(wish(), pages)
    assert "old" not in str(caught.value)
    provider.clean(wish(), pages)
    assert {call.partition(" ")[0] for call in calls(vendor)} == {"GET", "POST"}


def test_a_new_slot_long_after_the_lost_create_may_be_anybodys():
    now = [1000.0]
    _, provider, pages = lost_create(slots("old"), slots("old", "a"), clock=lambda: now[0])
    now[0] += LOST_SLOT_S + 1
    with pytest.raises(OutcomeUnknown, match=r"are new \(a\)"):
        provider.find(wish(), pages)


@pytest.mark.parametrize("status", [400, 401, 429])
def test_after_a_refused_create_no_new_slot_is_ours(status):
    vendor = Vendor(
        {"GET voice-clones": [slots("old"), slots("old", "another's")], "POST voice-clones": failing(status)}
    )
    provider, pages = vendor.open(), Notes()
    with pytest.raises((Refused, Retryable)):
        provider.enrol(wish(), pages)
    assert provider.find(wish(), pages) is None
    assert pages.recall("slot") == ""


def test_after_the_clean_up_no_new_slot_is_ours():
    row = says(SLOT | {"id": "new"})
    lists = [slots("old"), slots("old", "new"), slots("old", "another's")]
    vendor, provider, pages = lost_create(*lists, **{"GET new": row, "DELETE new": says({})})
    assert provider.find(wish(), pages) is None
    provider.clean(wish(), pages)
    assert provider.find(wish(), pages) is None
    assert calls(vendor)[-1] == "DELETE voice-clones/new"


def test_a_known_slot_is_gone_on_with():
    vendor, pages = Vendor({"GET s1": says(SLOT | {"id": "s1"}), "PUT s1": says(TRAINING | {"id": "s1"})}), Notes()
    with pages.step("slot") as facts:
        facts["slot"] = "s1"
    assert vendor.open().find(wish(), pages) is None
    assert vendor.open().enrol(wish(), pages).handle == "s1"
    assert calls(vendor) == ["GET voice-clones/s1", "PUT voice-clones/s1"]


@pytest.mark.parametrize(
    ("answer", "status"), [(says(READY), "ready"), (says(TRAINING), "training"), (failing(404), "failed")]
)
def test_find_follows_a_known_slot(answer, status):
    vendor, pages = Vendor({"GET voice_clone_abc123": answer}), Notes()
    with pages.step("slot") as facts:
        facts["slot"] = "voice_clone_abc123"
    found = vendor.open().find(wish(), pages)
    assert found is not None
    assert (found.status, found.handle) == (status, "voice_clone_abc123")


def test_a_gateways_404_does_not_say_that_a_slot_is_gone():
    provider = Vendor({"voice-clones/s1": httpx.Response(404, html="<h1>nginx</h1>")}).open()
    for ask in (provider.show, provider.delete, lambda id: provider.status(Voice("", "", "training", handle=id))):
        with pytest.raises(Refused, match="nginx"):
            ask("s1")


def test_a_lost_put_is_not_sent_again_unasked():
    vendor = Vendor(GOOD | {"PUT voice_clone_abc123": LOST})
    with pytest.raises(OutcomeUnknown):
        vendor.open().enrol(wish(), Notes())
    assert calls(vendor).count("PUT voice-clones/voice_clone_abc123") == 1


def test_clean_deletes_our_slot_once():
    vendor, pages = Vendor(GOOD | {"DELETE voice_clone_abc123": [says({}), failing(404)]}), Notes()
    provider = vendor.open()
    provider.clean(wish(), pages)
    assert vendor.asked == []
    provider.enrol(wish(), pages)
    provider.clean(wish(), pages)
    provider.clean(wish(), pages)
    assert [call for call in calls(vendor) if call.startswith("DELETE")] == ["DELETE voice-clones/voice_clone_abc123"]


@pytest.mark.parametrize("answer", [failing(404), failing(404, 200), says(None, 12, 404)])
def test_deleting_what_is_not_there(answer):
    assert Vendor({"DELETE s1": answer}).open().delete("s1") is False
    assert Vendor({"DELETE s1": says({})}).open().delete("s1") is True
    with pytest.raises(Refused, match="paid slot"):
        Vendor({"DELETE s1": failing(403)}).open().delete("s1")


def test_rename_does_not_train():
    vendor = Vendor({"PUT s1": says(READY | {"id": "s1", "name": "New"})})
    assert vendor.open().rename("s1", "New").name == "New"
    assert bodies(vendor, "PUT") == [{"name": "New"}]


# Refusals, rules, words


@pytest.mark.parametrize("status", [None, 200])
@pytest.mark.parametrize(
    ("code", "create", "query", "fix"),
    [
        (400, Refused, Refused, "words"),
        (401, Refused, Refused, "VOXPREP_QINIU_API_KEY"),
        (403, Refused, Refused, "console"),
        (404, Refused, Refused, "voices list"),
        (429, Retryable, Retryable, ""),
        (500, OutcomeUnknown, Retryable, "again"),
        (503, OutcomeUnknown, Retryable, ""),
    ],
)
def test_every_code_in_the_status_or_in_the_body_alone(code, status, create, query, fix):
    create = OutcomeUnknown if (code, status) == (429, 200) else create
    for method, error in (("POST", create), ("GET", query)):
        answers = {"GET voice-clones": slots(), f"{method} voice-clones": failing(code, status)}
        vendor, pages = Vendor(answers), Notes()
        with pytest.raises(error) as caught:
            vendor.open().enrol(wish(), pages) if method == "POST" else vendor.open().list()
        failure = caught.value.failure
        assert type(caught.value) is error
        assert (failure.message, failure.code, failure.http_status) == ("the vendor's words", str(code), status or code)
        assert calls(vendor).count(f"{method} voice-clones") == (5 if error is Retryable else 1)
        assert fix in failure.fix
        assert bool(failure.rule) == bool(fix)


@pytest.mark.parametrize("answer", [httpx.Response(503, html="x"), says(None, 10001, 502), httpx.Response(429)])
def test_passing_trouble_without_a_code_we_know(answer):
    vendor = Vendor({"GET voice-clones": [answer, slots("a")]})
    assert len(vendor.open().list()) == 1


@pytest.mark.parametrize(
    "body", [b"{", b"", b"[]", b'{"data": {}}', b'{"code": 0}', b'{"code": 0, "data": {"id": ""}}']
)
def test_garbage_is_a_lost_answer(body):
    garbage = httpx.Response(200, content=body)
    vendor = Vendor({"GET voice-clones": slots(), "POST voice-clones": garbage})
    with pytest.raises(OutcomeUnknown, match="unreadable"):
        vendor.open().enrol(wish(), Notes())
    for ask in (lambda provider: provider.list(), lambda provider: provider.show("voice-clones")):
        with pytest.raises(Retryable, match="unreadable"):
            ask(Vendor({"GET voice-clones": garbage}).open())


@pytest.mark.parametrize(
    ("request_", "rules"),
    [
        (wish(), set()),
        (wish("声" * 50), set()),
        (wish(language="en"), set()),
        (wish(language="ja"), {"language"}),
        (wish(language="ja", tier="pro"), set()),
        (wish(language="xx", tier="pro"), {"language"}),
        (wish(tier="gold"), {"tier"}),
        (wish(colour="red"), {"options known"}),
        (request_of(), {"number of clips"}),
        (request_of(sample(), sample()), {"number of clips"}),
        (request_of(sample(duration_s=9.9)), set()),
    ],
)
def test_each_rule(request_, rules):
    checks = Vendor().open().validate(request_)
    assert {check.rule for check in checks if check.blocks} == rules
    assert all(check.fix for check in checks if not check.ok)


def test_no_key_in_anything_shown():
    vendor = Vendor({"GET voice-clones": says(None, 401, 401, f"bad {KEY}")})
    provider = vendor.open()
    with pytest.raises(Refused) as caught:
        provider.ping()
    calls_ = [provider.say_call(Voice("s1", "", "ready", detail)) for detail in ({}, {"url": "https://x/it's.wav"})]
    assert KEY not in str(caught.value) + repr(vars(provider)) + "".join(calls_) + "".join(provider.plan(wish()))
    assert "$VOXPREP_QINIU_API_KEY" in calls_[0]
    assert shlex.split(calls_[1])[2] == "https://x/it's.wav"
    with pytest.raises(NotOffered):
        provider.say("s1", "Hello", {})
