"""Our Qwen client: the document's own example, the text that goes along or not, and voices found again."""

import base64
import json
import re
import shlex

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_kit import KEY, TOKEN, Answers, Notes, request_of, sample

from prep.errors import ConfigError, Refused
from prep.providers.base import NotOffered, Voice
from prep.providers.qwen import MODEL, SPEAKING_MODEL, create_body

PATH = "/api/v1/services/audio/tts/customization"
REALTIME = "qwen3-tts-vc-realtime-2026-01-15"
NAME = "ann_0123456789"
VOICE = f"qwen-tts-vc-{NAME}-voice-20261121105009984-838b"


def says(output=None, status=200, **changes):
    body = {"output": output, "usage": {"count": 1}, "request_id": "r"} if output is not None else {"request_id": "r"}
    return httpx.Response(status, json=body | changes)


def created(voice=VOICE, **changes):
    return says({"voice": voice, "target_model": SPEAKING_MODEL} | changes)


def listed(*names, model=SPEAKING_MODEL, start="2026-11-21 10:00:0"):
    rows = [{"voice": name, "target_model": model, "gmt_create": f"{start}{n}"} for n, name in enumerate(names)]
    return says({"voice_list": rows})


def failing(code, status=400, message="the vendor's words"):
    return httpx.Response(status, json={"request_id": "r", "code": code, "message": message})


class Vendor(Answers):
    """Answers by action, since all of them share one path."""

    def __init__(self, **actions):
        super().__init__("qwen")
        self.actions = {
            action: list(given) if isinstance(given, list) else [given] for action, given in actions.items()
        }

    def handle(self, asked):
        self.asked.append(asked)
        body = json.loads(asked.content or b"{}")
        place = body.get("input", {}).get("action") or ("speech" if asked.url.path.endswith("/generation") else "audio")
        answers = self.actions.get(place, [failing("NotFound", 404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer(asked) if callable(answer) else answer

    @property
    def sent(self):
        return [json.loads(asked.content) for asked in self.asked if asked.content]

    @property
    def texts(self):
        """The text of each create, or None."""
        return [body["input"].get("text") for body in self.sent if body["input"]["action"] == "create"]


def wish(name="Ann", by_url=False, words="words", confidence=0.95, **options):
    return request_of(
        sample(b"RIFF", words, text_confidence=confidence, url="https://xxx.wav"), name=name, by_url=by_url, **options
    )


def test_the_documents_own_request():
    vendor = Vendor(create=created("qwen-tts-vc-guanyu-voice-20250812105009984-838b", target_model=REALTIME))
    request = wish(by_url=True, words="", target_model=REALTIME)
    made = vendor.open().enrol(request, Notes())
    asked = vendor.asked[0]
    assert (asked.method, str(asked.url)) == ("POST", f"https://dashscope.aliyuncs.com{PATH}")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["content-type"] == "application/json"
    assert create_body(request, "guanyu", "") == {
        "model": "qwen-voice-enrollment",
        "input": {
            "action": "create",
            "target_model": "qwen3-tts-vc-realtime-2026-01-15",
            "preferred_name": "guanyu",
            "audio": {"data": "https://xxx.wav"},
        },
    }
    assert vendor.sent == [create_body(request, NAME, "")]
    assert (made.voice_id, made.name) == ("qwen-tts-vc-guanyu-voice-20250812105009984-838b", "guanyu")
    assert (made.status, made.detail["target_model"]) == ("ready", REALTIME)


def test_the_data_url_and_every_field():
    vendor, pages = Vendor(create=created()), Notes()
    vendor.open().enrol(wish(words=" words\n", language="en"), pages)
    assert vendor.sent == [
        {
            "model": MODEL,
            "input": {
                "action": "create",
                "target_model": SPEAKING_MODEL,
                "preferred_name": NAME,
                "audio": {"data": "data:audio/wav;base64," + base64.b64encode(b"RIFF").decode()},
                "text": "words",
                "language": "en",
            },
        }
    ]
    facts = {"text": "the text is sent", "voice_id": VOICE, "target_model": SPEAKING_MODEL}
    assert pages.steps == [("create", True, facts)]


@given(name=st.text(max_size=40), token=st.sampled_from([TOKEN, "f" * 32]))
def test_every_name_becomes_one_the_vendor_takes_with_the_token_in_it(name, token):
    request = request_of(sample(b"x"), name=name)
    sent = Vendor().open().sent_name(type(request)(name, request.samples, {}, token))
    assert re.fullmatch(r"[A-Za-z0-9_]{1,16}", sent)
    assert sent.endswith(f"_{token[:10]}")


@pytest.mark.parametrize(
    ("name", "sent"), [("关羽", "v_"), ("Zoë Ann", "zoe_a_"), ("👩‍🎤", "v_"), ("a b", "a_b_"), ("abcd efg", "abcd_")]
)
def test_names_in_print(name, sent):
    assert Vendor().open().sent_name(wish(name)) == sent + TOKEN[:10]


@pytest.mark.parametrize(
    ("options", "text", "confidence", "sent", "why"),
    [
        ({}, "words", 0.8, True, "the text is sent"),
        ({}, "words", 0.79, False, "confidence is 0.79"),
        ({}, "words", None, False, "confidence is unknown"),
        ({"text": "auto"}, "words", 0.1, False, "at least 0.8"),
        ({"text": "no"}, "words", 1.0, False, "--option text=no"),
        ({"text": "yes"}, "words", None, True, "the text is sent"),
        ({"text": "yes"}, " \n", 1.0, False, "there is none"),
    ],
)
def test_whether_the_text_goes_along(options, text, confidence, sent, why):
    vendor, request = Vendor(create=created()), wish(words=text, confidence=confidence, **options)
    made = vendor.open().enrol(request, Notes())
    assert vendor.texts == ["words" if sent else None]
    assert why in made.detail["text"]
    assert made.detail["text"] in vendor.open().plan(request)[1]


MISMATCH = failing("Audio.PreprocessError", message="text and audio differ")


def test_a_text_the_vendor_does_not_believe_is_left_out_once():
    vendor, pages = Vendor(create=[MISMATCH, created()]), Notes()
    made = vendor.open().enrol(wish(), pages)
    assert vendor.texts == ["words", None]
    assert made.detail["text"] == "left out: text and audio differ"
    assert [(name, creates) for name, creates, _ in pages.steps] == [("create", True)] * 2


@pytest.mark.parametrize(("request_", "texts"), [(wish(), ["words", None]), (wish(words=""), [None])])
def test_never_more_than_that(request_, texts):
    vendor = Vendor(create=MISMATCH)
    with pytest.raises(Refused, match="text and audio differ"):
        vendor.open().enrol(request_, Notes())
    assert vendor.texts == texts


def test_no_other_refusal_is_sent_again():
    vendor = Vendor(create=failing("Audio.DecoderError"))
    with pytest.raises(Refused):
        vendor.open().enrol(wish(), Notes())
    assert len(vendor.asked) == 1


def test_a_poor_voice_is_told_of():
    made = (
        Vendor(create=created(fallback_mode=True, fallback_reason="no_merged_segments")).open().enrol(wish(), Notes())
    )
    assert (made.detail["fallback_mode"], made.detail["fallback_reason"]) == ("true", "no_merged_segments")
    assert "fallback_mode" not in Vendor(create=created(fallback_mode=False)).open().enrol(wish(), Notes()).detail


@pytest.mark.parametrize("target_model", ["", None])
def test_the_model_is_recorded_though_the_answer_leaves_it_out(target_model):
    made = Vendor(create=created(target_model=target_model)).open().enrol(wish(target_model=REALTIME), Notes())
    assert made.detail["target_model"] == REALTIME


# Found again


def test_find_takes_the_newest_of_our_name_and_no_other():
    others = "qwen-tts-vc-ann_fedcba9876-voice-20261121105009984-838b", "qwen-tts-vc-ann-voice-20261121105009984-838b"
    vendor, pages = Vendor(list=listed(VOICE, VOICE[:-4] + "ffff", *others)), Notes()
    found = vendor.open().find(wish(), pages)
    assert found is not None
    assert (found.voice_id, found.name) == (VOICE[:-4] + "ffff", NAME)
    assert pages.steps == [("look", False, {"found": VOICE[:-4] + "ffff"})]
    assert Vendor(list=listed(*others)).open().find(wish(), Notes()) is None


def test_the_list_goes_on_until_a_short_page():
    full = says({"voice_list": [{"voice": f"qwen-tts-vc-a-voice-{n}"} for n in range(100)]})
    vendor = Vendor(list=[full, full, listed(VOICE)])
    assert len(vendor.open().list()) == 201
    assert vendor.sent == [
        {"model": MODEL, "input": {"action": "list", "page_index": page, "page_size": 100}} for page in range(3)
    ]
    with pytest.raises(NotOffered):
        vendor.open().list(presets=True)


def test_show_and_ping():
    vendor = Vendor(list=listed(VOICE))
    assert vendor.open().show(VOICE).detail == {"target_model": SPEAKING_MODEL, "gmt_create": "2026-11-21 10:00:00"}
    with pytest.raises(Refused, match="'nobody' not found"):
        vendor.open().show("nobody")
    assert Vendor(list=listed()).open().ping() == "the key works in this region; no voices yet"


@pytest.mark.parametrize("answer", [says(), says({"voice": VOICE}), httpx.Response(200)])
def test_delete(answer):
    vendor = Vendor(delete=answer)
    assert vendor.open().delete(VOICE) is True
    assert vendor.sent == [{"model": MODEL, "input": {"action": "delete", "voice": VOICE}}]


def test_deleting_an_unknown_voice():
    vendor = Vendor(delete=failing("BadRequest.VoiceNotFound", message=f"Voice '{VOICE}' not found."))
    assert vendor.open().delete(VOICE) is False
    with pytest.raises(Refused):
        Vendor(delete=failing("InvalidApiKey", 401)).open().delete(VOICE)


# Speech


def spoken(url="https://oss.example.com/a.wav?Signature=x"):
    audio = httpx.Response(200, content=b"RIFF", headers={"Content-Type": "audio/wav"})
    return Vendor(list=listed(VOICE), speech=says({"audio": {"url": url}}), audio=audio)


def test_say_with_the_voices_own_model():
    vendor = spoken()
    said = vendor.open().say(VOICE, "Hello", {"language_type": "English", "response_format": "wav"})
    assert (said.data, said.media_type) == (b"RIFF", "audio/wav")
    assert vendor.asked[1].url.path == "/api/v1/services/aigc/multimodal-generation/generation"
    assert vendor.sent[1] == {
        "model": SPEAKING_MODEL,
        "input": {"text": "Hello", "voice": VOICE, "language_type": "English"},
    }
    assert (vendor.asked[2].method, vendor.asked[2].url.host) == ("GET", "oss.example.com")
    assert "authorization" not in vendor.asked[2].headers


def test_a_realtime_model_does_not_speak_here():
    vendor = Vendor(list=listed(VOICE, model=REALTIME))
    with pytest.raises(NotOffered, match="WebSocket"):
        vendor.open().say(VOICE, "Hello", {})
    assert len(vendor.asked) == 1
    assert REALTIME in vendor.open().say_call(Voice(VOICE, "", "ready", {"target_model": REALTIME}))


def test_a_list_that_does_not_say_the_model():
    with pytest.raises(Refused, match="--option target_model="):
        Vendor(list=says({"voice_list": [{"voice": VOICE}]})).open().say(VOICE, "Hello", {})
    vendor = spoken()
    vendor.open().say(VOICE, "Hello", {"target_model": SPEAKING_MODEL})
    assert [body.get("model") for body in vendor.sent] == [SPEAKING_MODEL]


@pytest.mark.parametrize(("text", "options"), [(" ", {}), ("x", {"speed": "1"}), ("x", {"response_format": "mp3"})])
def test_what_cannot_be_said_is_not_sent(text, options):
    vendor = spoken()
    with pytest.raises(ConfigError):
        vendor.open().say(VOICE, text, options)
    assert vendor.asked == []


@pytest.mark.parametrize("detail", [{}, {"target_model": ""}, {"target_model": SPEAKING_MODEL}])
def test_the_ready_call_has_the_variable_not_the_key(detail):
    provider = Vendor().open()
    call = provider.say_call(Voice("v'1", "", "ready", detail))
    words = shlex.split(call)
    assert json.loads(words[words.index("-d") + 1])["model"] == SPEAKING_MODEL
    assert "$VOXPREP_QWEN_API_KEY" in call
    assert KEY not in call + repr(vars(provider)) + "".join(provider.plan(wish()))
