"""Our Qhaigc client: its request field by field against the document, and how it reads what comes back."""

import json
from email import message_from_bytes

import httpx
import pytest
from provider_kit import KEY, Answers, Notes, limits_of, sample, wav

from prep.errors import ConfigError, OutcomeUnknown, Refused, Retryable
from prep.providers import PROVIDERS, open_provider, provider_class
from prep.providers.account import Account
from prep.providers.base import EnrolRequest, NotOffered, Voice
from prep.providers.http import Backoff
from prep.providers.qhaigc import Qhaigc


def request(*samples, name="私人助手", **options):
    return EnrolRequest(name, samples or (sample(), sample(wav(11))), options or {"contact_email": "u@example.com"})


def Vendor(**answers):
    return Answers("qhaigc", {path.replace("_", "/"): answer for path, answer in answers.items()})


def created(**changes):
    return httpx.Response(200, json={"model_name": "私人助手", "public": False, "description": ""} | changes)


def listed(*names, **changes):
    rows = [{"name": name, "public": "private", "description": "d"} for name in names]
    return httpx.Response(200, json={"success": True, "voice_characters": rows, "total": len(rows)} | changes)


def test_the_request_field_by_field():
    vendor = Vendor(model=created())
    samples = (sample(wav(10), "你好,我是你的语音助手"), sample(wav(12), " 有什么可以帮你的\n"))
    wish = request(*samples, public="false", description="仅限本人", contact_email="user@example.com")
    voice = vendor.open().enrol(wish, Notes())
    assert voice == Voice("私人助手", "私人助手", "ready", {"public": "private", "description": ""})
    asked = vendor.asked[0]
    assert (asked.method, str(asked.url)) == ("POST", "https://api.qhaigc.net/v1/voice/model")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    head = b"Content-Type: " + asked.headers["content-type"].encode() + b"\r\n\r\n"
    form = message_from_bytes(head + asked.content)  # the standard library's parser, not the one that wrote it
    assert form.get_content_type() == "multipart/form-data"
    parts = [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in form.get_payload()
    ]
    assert parts == [
        ("name", None, "私人助手".encode()),
        ("reference_texts", None, "你好,我是你的语音助手".encode()),
        ("reference_texts", None, "有什么可以帮你的".encode()),
        ("public", None, b"false"),
        ("description", None, "仅限本人".encode()),
        ("contact_email", None, b"user@example.com"),
        ("audio_files", "sample1.wav", samples[0].data),
        ("audio_files", "sample2.wav", samples[1].data),
    ]
    kinds = [part.get("content-type") for part in form.get_payload()]
    assert kinds == [None] * 6 + ["audio/wav"] * 2


def test_steps_are_journalled_with_what_can_be_repeated():
    pages = Notes()
    provider = Vendor(model=created(), voices=listed("x")).open()
    provider.find(request(), pages)
    provider.enrol(request(), pages)
    assert pages.steps == [("look", False, {"found": ""}), ("create", True, {"voice_id": "私人助手"})]


def test_both_list_paths():
    for answers in ({"audio_voices": listed("Ann")}, {"models_list": listed("Ann")}):
        vendor = Vendor(**answers)
        assert [voice.name for voice in vendor.open().list()] == ["Ann"]
    assert [asked.url.path for asked in vendor.asked] == ["/v1/audio/voices", "/v1/voice/models/list"]


def test_only_a_404_leads_to_the_second_list_path():
    vendor = Vendor(audio_voices=httpx.Response(403, json={"error": {"message": "not you"}}), models_list=listed())
    with pytest.raises(Refused, match="not you"):
        vendor.open().list()


def test_find_compares_composed_names():
    found = Vendor(voices=listed("Zoe\u0308")).open().find(request(name="Zoë"), Notes())
    assert found is not None
    assert found.status == "ready"
    assert Vendor(voices=listed("zoë")).open().find(request(name="Zoë"), Notes()) is None


def test_a_list_cut_short_settles_nothing_but_what_it_shows():
    vendor = Vendor(voices=listed("Ann", total=38))
    assert vendor.open().find(request(name="Ann"), Notes()) is not None
    with pytest.raises(OutcomeUnknown, match="1 of 38"):
        vendor.open().find(request(name="Bob"), Notes())


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"success": false}', b'{"voice_characters": [{"nam": "x"}]}', b"null"])
def test_a_list_that_is_none_is_not_an_empty_one(body):
    with pytest.raises(Retryable, match="unreadable"):
        Vendor(voices=httpx.Response(200, content=body)).open().list()


@pytest.mark.parametrize("answer", [{}, {"model_name": ""}, {"model_name": 3}, [], "Ann"])
def test_a_create_answer_without_a_name_is_a_lost_answer(answer):
    with pytest.raises(OutcomeUnknown, match="model_name"):
        Vendor(model=httpx.Response(200, json=answer)).open().enrol(request(), Notes())


REFUSALS = [
    (401, "Invalid API key", "invalid_api_key", Refused, "VOXPREP_QHAIGC_API_KEY"),
    (400, "name: a voice named 'x' already exists", "invalid_request_error", Refused, "--name"),
    (400, "contact_email is required", "invalid_request_error", Refused, "--option contact_email="),
    (400, "audio_files[1] lasts 3.00 s", "invalid_request_error", Refused, "prepare the set"),
    (400, "reference_texts must not be blank", "invalid_request_error", Refused, "prepare the set"),
    (413, "too large", "", Refused, "shorter"),
    (429, "slow down", "rate_limit_exceeded", Retryable, "run the same command again"),
    (500, "oops", "server_error", OutcomeUnknown, ""),
]


@pytest.mark.parametrize(("status", "message", "code", "error", "fix"), REFUSALS)
def test_refusals_keep_the_vendors_words_and_add_rule_and_fix(status, message, code, error, fix):
    body = {"error": {"message": message, "type": code, "code": code}}
    with pytest.raises(error) as caught:
        Vendor(model=httpx.Response(status, json=body)).open().enrol(request(), Notes())
    failure = caught.value.failure
    assert (failure.message, failure.code, failure.http_status) == (message, code, status)
    assert fix in failure.fix
    assert bool(failure.rule) == bool(fix)


def test_say():
    vendor = Vendor(speech=httpx.Response(200, content=b"ID3", headers={"Content-Type": "audio/mpeg"}))
    said = vendor.open().say("Ann", "Hello", {"response_format": "wav", "speed": "1.5"})
    assert (said.data, said.media_type) == (b"ID3", "audio/mpeg")
    assert json.loads(vendor.asked[0].content) == {
        "model": "qhai-tts",
        "input": "Hello",
        "voice": "Ann",
        "response_format": "wav",
        "speed": 1.5,
    }
    with pytest.raises(Retryable, match="instead of audio"):
        Vendor(speech=httpx.Response(200, json={})).open().say("Ann", "Hello", {})


@pytest.mark.parametrize(
    ("text", "options"),
    [("", {}), (" ", {}), ("x" * 4097, {}), ("x", {"response_format": "flac"}), ("x", {"voice": "y"}),
     ("x", {"speed": "fast"}), ("x", {"speed": "nan"}), ("x", {"speed": "0"}), ("x", {"speed": "-1"})],
)  # fmt: skip
def test_what_cannot_be_said_is_not_sent(text, options):
    vendor = Vendor()
    with pytest.raises(ConfigError):
        vendor.open().say("Ann", text, options)
    assert vendor.asked == []


def test_show_and_delete():
    provider = Vendor(voices=listed("Ann")).open()
    assert provider.show("Ann").detail == {"public": "private", "description": "d"}
    with pytest.raises(Refused, match="no voice named 'Bob'"):
        provider.show("Bob")
    with pytest.raises(NotOffered, match=r"web console.*support@qhaigc\.net"):
        provider.delete("Ann")


def test_the_ready_call_has_the_variable_not_the_key():
    call = Vendor().open().say_call(Voice("O'Hara's \"voice\"", "", "ready"))
    assert "$VOXPREP_QHAIGC_API_KEY" in call
    assert KEY not in call
    import shlex

    words = shlex.split(call)
    assert json.loads(words[words.index("-d") + 1])["voice"] == "O'Hara's \"voice\""


def broken(wish):
    checks = Vendor().open().validate(wish)
    assert all(check.fix for check in checks if not check.ok)
    assert not any(check.fix for check in checks if check.ok)
    return {(check.rule, check.measured) for check in checks if check.blocks}


def test_a_good_request_keeps_every_rule():
    assert broken(request()) == set()
    assert broken(request(sample(wav(10.0, 16000)), sample(), sample(), public="true")) == set()


@pytest.mark.parametrize(
    ("wish", "rule", "measured"),
    [
        (request(name=" "), "voice name given", ""),
        (request(name="a\nb"), "voice name given", "a\nb"),
        (request(sample()), "number of clips", 1),
        (request(*[sample()] * 4), "number of clips", 4),
        (request(public="maybe", contact_email="a@b"), "public", "maybe"),
        (request(public="false"), "contact e-mail for a private voice", ""),
        (request(contact_email="@"), "contact e-mail for a private voice", "@"),
        (request(contact_email="a@b", colour="red"), "options known", "colour"),
        (request(sample(), sample(wav(9.99))), "shortest length", 9.99),
        (request(sample(), sample(wav(rate_hz=44100))), "sample rate", 44100),
        (request(sample(), sample(wav(channels=2))), "mono", 2),
        (request(sample(), sample(wav(form="FLAC"))), "file format", "FLAC"),
        (request(sample(), sample(text=" ")), "text of the clip", 0),
    ],
)
def test_each_rule(wish, rule, measured):
    assert broken(wish) == {(rule, measured)}


@pytest.mark.parametrize("data", [b"", b"not audio", b"RIFF\x10\0\0\0WAVEjunk"])
def test_bytes_that_are_no_audio(data):
    rules = {rule for rule, _ in broken(request(sample(), sample(data)))}
    assert {"file format", "shortest length", "sample rate", "mono"} <= rules


def test_a_header_that_promises_more_than_there_is_is_measured_as_it_is():
    assert ("shortest length", 5.0) in broken(request(sample(), sample(wav(12)[: 44 + 5 * 48000])))


def test_advice_does_not_block():
    provider = Vendor().open()
    checks = provider.validate(request(sample(), sample(wav(31.0))))
    long = next(check for check in checks if not check.ok)
    assert (long.rule, long.advised, long.blocks, long.limit) == ("longest length", True, False, "at most 30")
    assert "assumed" in long.source
    assert all("Create voice model" in check.source for check in checks if check.rule == "mono")


def test_limits_are_data():
    longer = tuple(
        limit.model_copy(update={"min": 20.0}) if limit.rule == "clip_s" and limit.min else limit
        for limit in limits_of("qhaigc")
    )
    checks = Answers("qhaigc").open(limits=longer).validate(request())
    assert [check.limit for check in checks if check.blocks] == ["at least 20", "at least 20"]


def test_vendors_by_name():
    assert provider_class("qhaigc") is Qhaigc
    for name in PROVIDERS:
        assert provider_class(name).name == name
    with pytest.raises(ConfigError, match="there are: ai302, kling, qhaigc"):
        provider_class("nobody")
    account = Account("qhaigc", "https://api.qhaigc.net", None, "V")
    with httpx.Client() as client:
        provider = open_provider(account, client, Backoff(), limits_of("qhaigc"))
    assert provider.capabilities.lookup == "name"
