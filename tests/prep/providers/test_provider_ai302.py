"""Our 302.AI client: bodies after its page, answers in every form its siblings have, and nothing sent to a guess."""

import json
import shlex

import httpx
import pytest
from provider_kit import KEY, PATIENT, Answers, Notes, limits_of, request_of, sample

from prep.errors import ConfigError, OutcomeUnknown, Refused, Retryable
from prep.providers.account import Account, Secret
from prep.providers.ai302 import CLONE_PATH, HELLO, SMART_PATH, Ai302, smart_body
from prep.providers.base import NotOffered, Voice

SET = {"clone_path": "/real/clone", "smart_path": "/real/smart"}
SUN = (
    "The sun rises in the east and sets in the west.\n"
    "This simple fact has been observed by humans for thousands of years."
)
LINKS = [
    "https://file.302ai.cn/gpt/imgs/20250813/bd5d60fc61fc455e869bba2115ff1f60.wav",
    "https://file.302ai.cn/gpt/imgs/20250813/5e3f614b436f4d21a55813bab3e4bf58.wav",
]
TEXTS = [
    "\n\t\t\t\tThe device would work during the day as well,\n\t\t\t\tif you took steps to either block direct sunlight"
    " or point it away from the sun.\n\t\t\t\t",
    "\n\t\t\t\tMaintaining your ability to learn translates into increased marketability,\n\t\t\t\timproved career"
    " options and higher salaries.\n\t\t\t\t",
]
TRIMMED = [
    "The device would work during the day as well, if you took steps to either block direct sunlight or point it away"
    " from the sun.",
    "Maintaining your ability to learn translates into increased marketability, improved career options and higher"
    " salaries.",
]
PROMPT = (
    "Generate audio following instruction.\n<|scene_desc_start|>\nAudio is recorded from a quiet room.\n"
    "<|scene_desc_end|>"
)
AUDIO = "https://file.302.ai/x.wav"
DONE = {"task_id": "t1", "state": "SUCCESS", "audio_url": AUDIO}
PENDING = {"task_id": "t1", "status": "pending"}
WAV = httpx.Response(200, content=b"RIFF", headers={"Content-Type": "audio/wav"})


def says(body, status=200):
    return httpx.Response(status, json=body)


def failing(code, status):
    error = {"err_code": code, "message": "the vendor's words", "message_cn": "话", "type": "t"}
    return says({"error": error}, status)


def Vendor(answers=None, **wire):
    return Answers("ai302", answers, **(wire or SET))


def wish(*samples, **options):
    return request_of(*(samples or (sample(url=LINKS[0]),)), **options)


def bodies(vendor):
    return [json.loads(asked.content) for asked in vendor.asked if asked.method == "POST"]


def test_the_pages_own_example():
    vendor, pages = Vendor({"POST /real/clone": says(PENDING)}), Notes()
    samples = [sample(text=text, url=url) for text, url in zip(TEXTS, LINKS, strict=True)]
    made = vendor.open().enrol(wish(*samples, input_text=SUN, temperature="1", top_k="50", top_p="0.95"), pages)
    assert made == Voice("", "", "training", {"state": "pending"}, "t1")
    asked = vendor.asked[0]
    assert (asked.method, str(asked.url)) == ("POST", "https://api.302.ai/real/clone")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.content) == {
        "input_text": SUN,
        "ref_audio_links": LINKS,
        "ref_audio_text": TRIMMED,
        "temperature": 1.0,
        "top_k": 50,
        "top_p": 0.95,
    }
    assert b'"top_k":50,' in asked.content
    assert pages.steps == [("create", True, {"task_id": "t1"})]


def test_what_is_not_asked_for_is_left_to_the_vendor():
    vendor = Vendor({"POST /real/clone": says(PENDING)})
    vendor.open().enrol(wish(), Notes())
    assert bodies(vendor) == [{"input_text": HELLO, "ref_audio_links": LINKS[:1], "ref_audio_text": ["words"]}]


# Paths


@pytest.mark.parametrize("path", ["", "real", "https://x.example.com/a", "/a?b=c", "/a#b", "/a b", "/a\n", "/复"])
def test_nothing_is_sent_to_the_real_host_while_the_path_is_a_guess(path):
    wire = {"clone_path": path} if path else {"poll_s": "1"}
    vendor = Vendor(**wire)
    provider = vendor.open()
    asks = (
        lambda: provider.enrol(wish(), Notes()),
        lambda: provider.status(Voice("", "", "training", handle="t1")),
        lambda: provider.show("t1"),
        provider.ping,
    )
    for ask in asks:
        with pytest.raises(ConfigError, match=r"VOXPREP_AI302_CLONE_PATH.*nothing was sent"):
            ask()
    with pytest.raises(ConfigError, match="VOXPREP_AI302_SMART_PATH"):
        provider.say("smart", "Hello", {})
    assert vendor.asked == []
    assert broken(wish(), provider) == {"path of the call"}


def test_the_guess_does_for_a_host_on_this_machine():
    account = Account("ai302", "http://127.0.0.1:8000", Secret(KEY), "VOXPREP_AI302_API_KEY")
    vendor = Vendor({f"POST {CLONE_PATH}": says(PENDING), f"POST {SMART_PATH}": says(DONE), "x.wav": WAV})
    provider = vendor.open(account)
    assert provider.enrol(wish(), Notes()).handle == "t1"
    assert provider.say("smart", "Hello", {}).data == b"RIFF"
    assert broken(wish(), provider) == set()


# Answers


@pytest.mark.parametrize("word", ["success", "SUCCESS", "succeeded", "completed", "Done"])
@pytest.mark.parametrize("field", ["state", "status"])
@pytest.mark.parametrize(
    "audio",
    [
        {"audio_url": AUDIO},
        {"data": {"audio_url": AUDIO}},
        {"result": {"audio_url": AUDIO}},
        {"output": {"audio_url": AUDIO}},
        {"url": AUDIO},
    ],
)
def test_every_form_of_a_finished_task(word, field, audio):
    vendor = Vendor({"GET /real/clone": says({"task_id": "t1", field: word, **audio})})
    voice = vendor.open().status(Voice("", "", "training", handle="t1"))
    assert (voice.voice_id, voice.status, voice.detail["url"]) == ("t1", "ready", AUDIO)
    assert dict(vendor.asked[0].url.params) == {"task_id": "t1"}


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (PENDING, "training", ""),
        ({"status": "banana"}, "training", ""),
        ({"state": "processing", "audio_url": AUDIO}, "training", ""),
        ({"data": {"task_id": "t1", "status": "running"}}, "training", ""),
        ({"code": 200, "message": "success", "data": {"status": "SUCCESS", "audio_url": AUDIO}}, "ready", ""),
        ({"state": "success"}, "failed", "done without any audio"),
        ({"state": "FAILED", "message": "bad clip"}, "failed", "bad clip"),
        ({"state": "error"}, "failed", "error"),
        ({"status": "cancelled"}, "failed", "cancelled"),
        ({"status": "failed", "error": "bad clip"}, "failed", "bad clip"),
        ({"status": "failed", "error": {"message": "bad clip"}}, "failed", "bad clip"),
        ({"message": "success", "data": {"status": "failed", "message": "bad clip"}}, "failed", "bad clip"),
        ({"message": "success", "data": {"status": "failed", "error": "bad clip"}}, "failed", "bad clip"),
    ],
)
def test_states(body, status, reason):
    voice = Vendor({"GET /real/clone": says(body)}).open().show("t1")
    assert (voice.status, voice.reason, voice.handle) == (status, reason, "t1")


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"{}", b'{"status": "pending"}', b'{"task_id": "t1"}'])
def test_garbage_is_a_lost_answer_and_a_create_is_sent_once(body):
    vendor = Vendor({"POST /real/clone": httpx.Response(200, content=body)})
    with pytest.raises(OutcomeUnknown, match="unreadable"):
        vendor.open().enrol(wish(), Notes())
    assert len(vendor.asked) == 1


def test_find_asks_by_the_task_that_was_written_down():
    vendor, pages = Vendor({"GET /real/clone": says(DONE)}), Notes()
    assert vendor.open().find(wish(), pages) is None
    assert vendor.asked == []
    with pages.step("create") as facts:
        facts["task_id"] = "t1"
    found = vendor.open().find(wish(), pages)
    assert found is not None
    assert found.status == "ready"


REFUSALS = [
    # HTTP, code, what a create and a query become, requests of each, a word of the fix
    (401, -10001, Refused, Refused, 1, 1, "VOXPREP_AI302_API_KEY"),
    (400, -10003, Refused, Refused, 1, 1, "--dry-run"),
    (429, -10006, Refused, Refused, 1, 1, "top it up"),
    (200, -10006, Refused, Refused, 1, 1, "top it up"),
    (429, -10005, Retryable, Retryable, 5, 5, ""),
    (500, -1, OutcomeUnknown, Retryable, 1, 5, ""),
    (503, -10008, OutcomeUnknown, Retryable, 1, 5, ""),
    (200, -10008, OutcomeUnknown, Retryable, 1, 5, ""),
    (400, -10099, Refused, Refused, 1, 1, ""),
]


@pytest.mark.parametrize(("status", "code", "create", "query", "n_create", "n_query", "fix"), REFUSALS)
def test_every_row_of_the_error_table(status, code, create, query, n_create, n_query, fix):
    for method, error, count in (("POST", create, n_create), ("GET", query, n_query)):
        vendor = Vendor({f"{method} /real/clone": failing(code, status)})
        with pytest.raises(error) as caught:
            vendor.open().enrol(wish(), Notes()) if method == "POST" else vendor.open().show("t1")
        failure = caught.value.failure
        assert type(caught.value) is error
        assert (failure.message, failure.code, failure.http_status) == ("the vendor's words", str(code), status)
        assert len(vendor.asked) == count
        assert fix in failure.fix
        assert bool(failure.rule) == bool(fix)


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_a_create_is_sent_once_even_on_trouble_without_words(status):
    vendor = Vendor({"POST /real/clone": httpx.Response(status, html="x"), "POST /real/smart": httpx.Response(status)})
    with pytest.raises(OutcomeUnknown):
        vendor.open().enrol(wish(), Notes())
    with pytest.raises(OutcomeUnknown):
        vendor.open().say("smart", "Hello", {})
    assert len(vendor.asked) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (failing(-10003, 404), "the key works"),
        (failing(-10003, 400), "the key works"),
        (says(PENDING), "the key works"),
        (httpx.Response(404, html="nginx"), "no such task, or no such path (404); only a task will show which"),
    ],
)
def test_ping(answer, words):
    vendor = Vendor({"GET /real/clone": answer})
    assert vendor.open().ping() == words
    assert dict(vendor.asked[0].url.params) == {"task_id": "voxprep-doctor"}


@pytest.mark.parametrize("answer", [failing(-10001, 401), failing(-10001, 400), failing(-10006, 429)])
def test_ping_with_a_key_that_will_not_do(answer):
    with pytest.raises(Refused):
        Vendor({"GET /real/clone": answer}).open().ping()


# Speech


def test_smart_voice():
    answers = {"POST /real/smart": says(PENDING), "GET /real/smart": [says(PENDING), says(DONE)], "x.wav": WAV}
    vendor = Vendor(answers)
    options = {"system_prompt": PROMPT, "temperature": "0", "top_k": "-1", "top_p": "0.1", "response_format": "wav"}
    said = vendor.open().say("smart", SUN, options)
    assert (said.data, said.media_type) == (b"RIFF", "audio/wav")
    assert bodies(vendor) == [
        {
            "is_multi_speaker": False,
            "input_text": SUN,
            "system_prompt": PROMPT,
            "temperature": 0.0,
            "top_k": -1,
            "top_p": 0.1,
        }
    ]
    assert [asked.url.path for asked in vendor.asked] == ["/real/smart"] * 3 + ["/x.wav"]
    assert "authorization" not in vendor.asked[-1].headers


def test_many_speakers_are_told_by_the_text():
    text = "[SPEAKER0] Hi\n[SPEAKER1] Ho"
    assert smart_body(text, {}) == {"is_multi_speaker": True, "input_text": text}
    assert smart_body("[speaker0] Hi", {})["is_multi_speaker"] is False


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (" ", {}), ("Hi", {"is_multi_speaker": "true"}), ("[SPEAKER0] Hi", {"is_multi_speaker": "false"}),
        ("Hi", {"is_multi_speaker": "yes"}), ("Hi", {"voice": "x"}), ("Hi", {"top_p": "0"}),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_not_sent(text, options):
    vendor = Vendor()
    with pytest.raises(ConfigError, match="nothing was sent"):
        vendor.open().say("smart", text, options)
    assert vendor.asked == []


def test_the_speech_of_a_task():
    assert Vendor({"GET /real/clone": says(DONE), "x.wav": WAV}).open().say("t1", "", {}).data == b"RIFF"
    with pytest.raises(Refused, match="bad clip"):
        Vendor({"GET /real/clone": says({"state": "failed", "message": "bad clip"})}).open().say("t1", "", {})


def test_a_task_that_takes_too_long_may_be_asked_for_again():
    with pytest.raises(Retryable, match="t1 is not done after 300 s"):
        Vendor({"GET /real/clone": says(PENDING)}).open().say("t1", "", {})


def test_it_keeps_no_voices():
    provider = Vendor().open()
    for ask in (provider.list, lambda: provider.delete("t1")):
        with pytest.raises(NotOffered, match="keeps no voice"):
            ask()


# Rules and words


def broken(request, provider=None):
    checks = (provider or Vendor().open()).validate(request)
    assert all(check.fix for check in checks if not check.ok)
    return {check.rule for check in checks if check.blocks}


two = (sample(url=LINKS[0]), sample(url=LINKS[1]))


@pytest.mark.parametrize(
    ("request_", "rules"),
    [
        (wish(), set()),
        (request_of(), {"number of clips"}),
        (wish(sample(text=" \n")), {"text of the clip"}),
        (wish(input_text=""), {"text to say"}),
        (wish(input_text=" \n"), {"text to say"}),
        (wish(*two), set()),
        (wish(*two, input_text="[SPEAKER0] a\n[SPEAKER1] b"), set()),
        (wish(*two, input_text="[SPEAKER0] a\n[SPEAKER2] b"), {"speakers in the text"}),
        (wish(input_text="[SPEAKER1] a"), {"speakers in the text"}),
        (wish(input_text="[speaker7] a"), set()),
        (wish(colour="red"), {"options known"}),
    ],
)
def test_each_rule(request_, rules):
    assert broken(request_) == rules


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ("temperature", ["0", "1", "1.5", "0.123456"], ["-0.1", "1.51", "nan", "inf", "hot", "1e0", "2"]),
        ("top_k", ["-1", "0", "50", "100"], ["-2", "101", "1.5", "x"]),
        ("top_p", ["0.1", "0.95", "1", "1.0"], ["0", "0.09", "1.01", "x"]),
    ],
)
def test_sampling_ranges_are_inclusive(option, good, bad):
    for value in good:
        assert broken(wish(**{option: value})) == set()
    for value in bad:
        assert broken(wish(**{option: value})) == {option}


def test_what_is_shown_has_no_key():
    provider = Vendor().open()
    ready, waiting = (provider.say_call(Voice("t1", "", "ready", detail)) for detail in ({"url": "https://x/a'b"}, {}))
    assert shlex.split(ready)[2] == "https://x/a'b"
    assert shlex.split(waiting)[2] == "https://api.302.ai/real/clone?task_id=t1"
    assert "$VOXPREP_AI302_API_KEY" in waiting
    assert KEY not in ready + waiting + repr(vars(provider)) + "".join(provider.plan(wish()))
    echo = says({"error": {"err_code": -10001, "message": f"bad {KEY}"}}, 401)
    with pytest.raises(Refused) as caught:
        Vendor({"GET /real/clone": echo}).open().ping()
    assert KEY not in str(caught.value) + repr(caught.value.failure)


def test_waiting_grows_up_to_its_cap():
    waits = []
    patient = type(PATIENT)(start_s=0, sleep=waits.append)
    vendor = Vendor({"GET /real/clone": says(PENDING)}, poll_s="4", **SET)
    with httpx.Client(transport=httpx.MockTransport(vendor.handle)) as client:
        provider = Ai302(vendor.account(), client, patient, limits_of("ai302"))
        with pytest.raises(Retryable):
            provider.say("t1", "", {})
    assert waits[:5] == [4.0, 6.0, 9.0, 13.5, 15.0]
    assert max(waits) == 15.0
