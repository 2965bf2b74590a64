"""Qwen voice enrollment (DashScope): one clip, as a data URL or at a public URL, becomes a voice at once.

Sources: Qwen "创建克隆音色" document (read 2026-11-21) for create; list, delete, errors and audio rules from Alibaba
Model Studio "Qwen voice cloning API reference" and "Error codes" (2026, high confidence); speech from its
"Qwen-TTS API" page (2026, high). Every create makes a new voice and is billed; nothing of ours is echoed but
`preferred_name`, which ends up in the voice's id: it carries the enrolment's token, so that a voice whose answer
was lost is found again, and no other is taken for it.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import httpx

from prep.errors import ConfigError, ProviderError, ProviderFailure, Refused, Retryable
from prep.providers.account import Account
from prep.providers.base import Capabilities, EnrolRequest, Journal, NotOffered, Poll, RuleCheck, Speech, Voice
from prep.providers.fetch import fetch_audio
from prep.providers.http import Backoff, VendorHttp, json_object
from prep.providers.limits import Rule, VendorLimit
from prep.providers.rules import ascii_slug, base64_length, judge, options_known

PATH = "/services/audio/tts/customization"
SPEECH_PATH = "/services/aigc/multimodal-generation/generation"
MODEL = "qwen-voice-enrollment"
SPEAKING_MODEL = "qwen3-tts-vc-2026-01-22"
TARGET_MODELS = (SPEAKING_MODEL, "qwen3-tts-vc-realtime-2026-01-15", "qwen3-tts-vc-realtime-2025-11-27")
LANGUAGES = ("zh", "en", "de", "it", "pt", "es", "ja", "ko", "fr", "ru")
TEXT_CHOICES = ("auto", "yes", "no")
TEXT_CONFIDENCE_MIN = 0.8
NAME_LETTERS, TOKEN_LETTERS = 5, 10
PAGE_SIZE = 100
LAST_PAGE = 100  # of 100 voices each; an account holds 1000
VOICE_ID = re.compile(r"-vc-(?P<name>[A-Za-z0-9_]{1,16})-voice-")


class Qwen:
    """One DashScope account in one region; `prep.providers.base.Provider` says what each method promises."""

    name: ClassVar[str] = "qwen"
    capabilities: ClassVar[Capabilities] = Capabilities(
        delivery=("data_url", "url"),
        options={
            "target_model": f"speech model the voice is for: {', '.join(TARGET_MODELS)}; the first is the default",
            "language": f"language of the audio, must be right: {', '.join(LANGUAGES)}",
            "text": f"auto (default): send the text if its confidence is at least {TEXT_CONFIDENCE_MIN:g}; yes; no",
        },
        say_options={
            "target_model": "the model the voice was made for; by default what the vendor's list says",
            "language_type": "Auto (default), English, Chinese, ...",
            "response_format": "wav; the vendor gives nothing else",
        },
        lookup="token",
        regions={
            "cn": "https://dashscope.aliyuncs.com/api/v1",
            "intl": "https://dashscope-intl.aliyuncs.com/api/v1",
        },
        key_variables=("DASHSCOPE_API_KEY",),
        shaping=("target_model", "language"),
    )

    def __init__(self, account: Account, client: httpx.Client, backoff: Backoff, limits: Sequence[VendorLimit]) -> None:
        self._account = account
        self._client = client
        self._backoff = backoff
        self._limits = limits
        self._http = VendorHttp(account, client, backoff, read_refusal)

    @property
    def poll(self) -> Poll:
        """Never used: a voice is ready at once."""
        return Poll()

    def sent_name(self, request: EnrolRequest) -> str:
        """Five letters of the name and ten of the token: 16 at most, and no other enrolment's; zeros without one."""
        letters = ascii_slug(request.name)[:NAME_LETTERS].strip("_")
        return f"{letters or 'v'}_{(request.token or '0' * TOKEN_LETTERS)[:TOKEN_LETTERS]}"

    def validate(self, request: EnrolRequest) -> tuple[RuleCheck, ...]:
        """Every rule; the size as base64 only where the sample travels in the request."""
        skip = frozenset[Rule]({"base64_bytes"}) if request.by_url else frozenset[Rule]()
        checks = judge(request, self._limits, self.name, self.sent_name(request), skip)
        return (*checks, *_option_rules(request.options, self.capabilities.options))

    def plan(self, request: EnrolRequest) -> tuple[str, ...]:
        """Look through the list, create; and whether the text goes along, with the reason."""
        sample = request.samples[0] if request.samples else None
        size = f", {base64_length(sample.n_bytes)} bytes as a data URL" if sample and not request.by_url else ""
        return (
            f"POST {PATH} action=list (is it there already?)",
            f"POST {PATH} action=create preferred_name={self.sent_name(request)!r}{size}; {_text_choice(request)[1]}",
        )

    def find(self, request: EnrolRequest, journal: Journal) -> Voice | None:
        """The newest voice whose id carries this attempt's token."""
        wanted = self.sent_name(request)
        with journal.step("look") as facts:
            named = [voice for voice in self.list() if _preferred(voice.voice_id) == wanted]
            found = max(named, key=lambda voice: voice.detail.get("gmt_create", ""), default=None)
            facts["found"] = found.voice_id if found else ""
        return found

    def enrol(self, request: EnrolRequest, journal: Journal) -> Voice:
        """Create; where the vendor finds that text and audio differ, once more without the text.

        The refusal makes nothing and costs nothing, so the second create is the only one that counts.
        """
        text, why = _text_choice(request)
        try:
            return self._create(request, text, why, journal)
        except Refused as error:
            if error.failure.code != "Audio.PreprocessError" or not text:
                raise
            return self._create(request, "", f"left out: {error.failure.message}", journal)

    def status(self, voice: Voice) -> Voice:
        """As it is: a voice is ready at once."""
        return voice

    def clean(self, request: EnrolRequest, journal: Journal) -> str:
        """Nothing to do: a create that failed leaves nothing."""
        return ""

    def list(self, presets: bool = False) -> tuple[Voice, ...]:
        """All voices of the account, newest first; pages until a short one."""
        if presets:
            raise NotOffered(self.name, "a list of preset voices", "see the voice list of Qwen-TTS in its documents")
        found: list[Voice] = []
        for page in range(LAST_PAGE):
            rows = self._http.send("POST", PATH, _listed, json=_ask("list", page_index=page, page_size=PAGE_SIZE))
            found += rows
            if len(rows) < PAGE_SIZE:
                break
        return tuple(found)

    def show(self, voice_id: str) -> Voice:
        """One voice by its id, from the list: the vendor has no query for this model."""
        for voice in self.list():
            if voice.voice_id == voice_id:
                return voice
        fix = "see `voxprep voices list --provider qwen`; keys and voices are per region"
        raise Refused(ProviderFailure(self.name, f"Voice {voice_id!r} not found.", fix=fix))

    def say(self, voice_id: str, text: str, options: Mapping[str, str]) -> Speech:
        """Speak with the model the voice was made for; a realtime model speaks only over WebSocket: NotOffered."""
        _check_say(text, options, self.capabilities.say_options)
        model = options.get("target_model") or self.show(voice_id).detail.get("target_model", "")
        if not model:
            fix = "name it: --option target_model=" + SPEAKING_MODEL
            raise Refused(ProviderFailure(self.name, f"the list does not say which model {voice_id!r} is for", fix=fix))
        if "realtime" in model:
            by_hand = "its realtime models speak over WebSocket; enrol with --option target_model=" + SPEAKING_MODEL
            raise NotOffered(self.name, f"speech with {model} in one request", by_hand)
        body = speech_body(model, voice_id, text, options.get("language_type", ""))
        url = self._http.send("POST", SPEECH_PATH, _speech_url, json=body)
        return fetch_audio(self.name, url, self._client, self._backoff, self._account.base_url)

    def say_call(self, voice: Voice) -> str:
        """A curl command that prints where the speech lies for a day; the key stays a variable."""
        model = voice.detail.get("target_model") or SPEAKING_MODEL
        if "realtime" in model:
            return f"# {model} speaks over WebSocket only, see Qwen-TTS realtime: model={model} voice={voice.voice_id}"
        body = json.dumps(speech_body(model, voice.voice_id, "Hello, this is my voice."), ensure_ascii=False)
        url = shlex.quote(self._account.base_url + SPEECH_PATH)
        auth = f'-H "Authorization: Bearer ${self._account.key_variable}"'
        return f"curl -sS {url} {auth} -H 'Content-Type: application/json' -d {shlex.quote(body)}"

    def delete(self, voice_id: str) -> bool:
        """Delete; `BadRequest.VoiceNotFound` says that it was not there."""
        try:
            self._http.send("POST", PATH, lambda answer: None, json=_ask("delete", voice=voice_id))
        except Refused as error:
            if error.failure.code == "BadRequest.VoiceNotFound":
                return False
            raise
        return True

    def ping(self) -> str:
        """List one voice: free."""
        rows = self._http.send("POST", PATH, _listed, json=_ask("list", page_index=0, page_size=1))
        return "the key works in this region; " + ("there are voices" if rows else "no voices yet")

    def _create(self, request: EnrolRequest, text: str, why: str, journal: Journal) -> Voice:
        with journal.step("create", creates=True) as facts:
            facts["text"] = why
            body = create_body(request, self.sent_name(request), text)
            made = self._http.send("POST", PATH, _created, creates=True, json=body)
            if not made.detail["target_model"]:
                made = replace(made, detail={**made.detail, "target_model": body["input"]["target_model"]})
            facts.update({"voice_id": made.voice_id, **made.detail})
        return replace(made, detail={**made.detail, "text": why})


def create_body(request: EnrolRequest, sent_name: str, text: str) -> dict[str, Any]:
    """The create request: `text` beside `audio`, not inside it, and only if it is not empty."""
    sample, options = request.samples[0], request.options
    data = sample.url if request.by_url else f"data:audio/wav;base64,{base64.b64encode(sample.data).decode()}"
    optional = {"text": text, "language": options.get("language", "")}
    fields = {
        "target_model": options.get("target_model") or SPEAKING_MODEL,
        "preferred_name": sent_name,
        "audio": {"data": data},
        **{key: value for key, value in optional.items() if value},
    }
    return _ask("create", **fields)


def speech_body(model: str, voice_id: str, text: str, language_type: str = "") -> dict[str, Any]:
    """The speech request; `model` must be the voice's `target_model`."""
    spoken = {"text": text, "voice": voice_id} | ({"language_type": language_type} if language_type else {})
    return {"model": model, "input": spoken}


def _ask(action: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "input": {"action": action, **fields}}


def _text_choice(request: EnrolRequest) -> tuple[str, str]:
    """The text to send, or empty; and why, in words."""
    choice = request.options.get("text", "auto")
    sample = request.samples[0] if request.samples else None
    text = sample.text.strip() if sample else ""
    if not text or sample is None:
        return "", "no text is sent: there is none"
    if choice == "no":
        return "", "no text is sent: --option text=no"
    sure = sample.text_confidence
    if choice == "auto" and (sure is None or sure < TEXT_CONFIDENCE_MIN):
        known = "unknown" if sure is None else f"{sure:.2f}"
        return "", f"no text is sent: its confidence is {known}, at least {TEXT_CONFIDENCE_MIN:g} is needed"
    return text, "the text is sent"


def _check_say(text: str, options: Mapping[str, str], known: Mapping[str, str]) -> None:
    if not text.strip():
        raise ConfigError("there is no text to speak")
    unknown = sorted(set(options) - set(known))
    if unknown or options.get("response_format", "wav") != "wav":
        raise ConfigError(f"qwen speech takes {', '.join(known)}, and writes WAV; got {dict(options)}")


def _preferred(voice_id: str) -> str:
    found = VOICE_ID.search(voice_id)
    return found["name"] if found else ""


def _created(answer: httpx.Response) -> Voice:
    output = _output(answer)
    voice_id = output.get("voice")
    if not isinstance(voice_id, str) or not voice_id:
        raise ValueError("no voice in the answer to the create call")
    detail = {"target_model": str(output.get("target_model") or "")}
    if output.get("fallback_mode"):  # a warning that the voice was made by a poorer way
        detail |= {"fallback_mode": "true", "fallback_reason": str(output.get("fallback_reason") or "")}
    return Voice(voice_id, _preferred(voice_id), "ready", detail)


def _listed(answer: httpx.Response) -> list[Voice]:
    rows = _output(answer).get("voice_list")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("voice") for row in rows):
        raise ValueError("no voice_list in the answer")
    kept = ("target_model", "gmt_create", "language")
    return [
        Voice(
            str(row["voice"]),
            _preferred(str(row["voice"])),
            "ready",
            {key: str(row[key]) for key in kept if row.get(key)},
        )
        for row in rows
    ]


def _output(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    output = body.get("output") if isinstance(body, dict) else None
    if not isinstance(output, dict):
        raise ValueError("no output in the answer")
    return output


def _speech_url(answer: httpx.Response) -> str:
    audio = _output(answer).get("audio")
    url = audio.get("url") if isinstance(audio, dict) else None
    if not isinstance(url, str) or not url:
        raise ValueError("no audio url in the answer")
    return url


def _option_rules(options: Mapping[str, str], known: Mapping[str, str]) -> list[RuleCheck]:
    model, language = options.get("target_model", SPEAKING_MODEL), options.get("language", "")
    text = options.get("text", "auto")
    return [
        options_known(options, known),
        RuleCheck("target_model", model in TARGET_MODELS, model, " or ".join(TARGET_MODELS), fix="use one of them"),
        RuleCheck("language", not language or language in LANGUAGES, language, " ".join(LANGUAGES), fix="leave it out"),
        RuleCheck("text", text in TEXT_CHOICES, text, " or ".join(TEXT_CHOICES), fix="--option text=auto"),
    ]


_RULES: tuple[tuple[str, str, str], ...] = (
    # beginning of the code, rule, fix; Alibaba Model Studio "Error codes" and the voice cloning reference, 2026
    (
        "InvalidApiKey",
        "a valid key of this region, or wrong region",
        "set VOXPREP_QWEN_API_KEY or DASHSCOPE_API_KEY; keys are per region: --option region=cn or intl",
    ),
    ("NOT AUTHORIZED", "the key's workspace may use this", "see the workspace's rights in the console"),
    ("Arrearage", "an account in credit", "pay the account in the console; waiting does not help"),
    ("Audio.AudioRateError", "at least 24 kHz", "run `voxprep prepare --for qwen` again: it writes 24 kHz"),
    ("Audio.DurationLimitError", "at most 60 s", "run `voxprep prepare --for qwen` again"),
    ("Audio.DecoderError", "WAV 16-bit, MP3 or M4A", "run `voxprep prepare --for qwen` again"),
    (
        "Audio.PreprocessError",
        "3 s of clear speech without a pause, and a text that is what is said",
        "try --option text=no, then another sample",
    ),
    ("BadRequest.VoiceNotFound", "a voice that exists", "see `voxprep voices list --provider qwen`"),
    (
        "BadRequest.InputDownloadFailed",
        "a URL that anyone can fetch",
        "leave out --hosting: the clip fits into a request",
    ),
    ("BadRequest.UnsupportedFileFormat", "WAV 16-bit, MP3 or M4A", "run `voxprep prepare --for qwen` again"),
    ("BadRequest.ResourceNotExist", "a URL that leads to a file", "leave out --hosting: the clip fits into a request"),
    ("Throttling.AllocationQuota", "the account's quota", "wait a minute, or see the quota in the console"),
    ("Throttling", "not too many requests", "wait, then run the same command again"),
    ("CommodityNotPurchased", "the service is bought", "see billing in the console; waiting does not help"),
    ("PrepaidBillOverdue", "no overdue bill", "see billing in the console; waiting does not help"),
    ("PostpaidBillOverdue", "no overdue bill", "see billing in the console; waiting does not help"),
    ("AccessDenied", "the account may use this model", "see the model's rights and free quota in the console"),
    ("Model.AccessDenied", "the account may use this model", "see the model's rights in the console"),
    ("Workspace.AccessDenied", "the workspace may use this model", "see the workspace's rights in the console"),
    ("AllocationQuota.FreeTierOnly", "the free quota is not used up", "turn off 'free tier only' in the console"),
    ("ModelNotFound", "a model that exists", "see --option target_model"),
    ("WorkSpaceNotFound", "a workspace that exists", "see the workspace in the address and in the console"),
    ("NotFound", "a call that the address has", "set the region or VOXPREP_QWEN_BASE_URL, which ends in /api/v1"),
    ("ModelUnavailable", "a service with room", "wait, then run the same command again"),
    ("ModelServingError", "a service with room", "wait, then run the same command again"),
    ("ModelServiceFailed", "a service in order", "wait, then run the same command again"),
    ("InternalError", "a service in order", "wait, then run the same command again"),
    ("SystemError", "a service in order", "wait, then run the same command again"),
    ("RequestTimeOut", "an answer in time", "wait, then run the same command again"),
    ("InvalidParameter", "good fields", "check with `voxprep upload --dry-run`"),
)
_NEVER = ("CommodityNotPurchased", "PrepaidBillOverdue", "PostpaidBillOverdue")


def read_refusal(answer: httpx.Response) -> ProviderError:
    """By DashScope's code; some of its 429 are bills and never heal by waiting."""
    said = json_object(answer)
    code, status = str(said.get("code") or ""), answer.status_code
    message = str(said.get("message") or answer.text[:300].strip() or answer.reason_phrase)
    rule, fix = next(((rule, fix) for head, rule, fix in _RULES if code.startswith(head)), ("", ""))
    failure = ProviderFailure("qwen", message, code, status, rule, fix)
    passing = (status in (408, 429) or status >= 500) and code not in _NEVER
    return Retryable(failure) if passing else Refused(failure)
