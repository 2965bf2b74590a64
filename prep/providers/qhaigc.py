"""Qhaigc: one multipart call makes a named voice for an OpenAI-style speech endpoint.

Sources: Qhaigc "Create voice model" document (read 2026) for the create call, its fields and advice; the
list path `/v1/voice/models/list`, the speech fields and the error envelope come from Qhaigc's public pages
(medium confidence); what is marked "assumed" is stated nowhere. The name is unique at the vendor and is the
voice's id; there is no delete.
"""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import httpx

from prep.errors import ConfigError, OutcomeUnknown, ProviderError, ProviderFailure, Refused
from prep.providers.account import Account
from prep.providers.base import (
    Capabilities,
    EnrolRequest,
    Journal,
    NotOffered,
    Poll,
    RuleCheck,
    Speech,
    Voice,
)
from prep.providers.http import Backoff, VendorHttp, by_status, vendor_words
from prep.providers.limits import Rule, VendorLimit, highest
from prep.providers.rules import judge, name_within, options_known

LIST_PATHS = ("/v1/audio/voices", "/v1/voice/models/list")
SPEECH_MODEL = "qhai-tts"
FORMATS = ("mp3", "wav", "opus")


class Qhaigc:
    """One Qhaigc account; `prep.providers.base.Provider` says what each method promises."""

    name: ClassVar[str] = "qhaigc"
    capabilities: ClassVar[Capabilities] = Capabilities(
        delivery=("multipart",),
        options={
            "contact_email": "where Qhaigc may write to you; needed unless public=true",
            "public": "true: every Qhaigc user may use the voice; false (default): only this account",
            "description": "a short description of style or use",
        },
        say_options={"response_format": "mp3 (default), wav or opus", "speed": "1.0 = as is"},
        lookup="name",
        repeat_is_refused=True,
        regions={"cn": "https://api.qhaigc.net", "hk": "https://api-hk.qhaigc.net"},
        key_variables=("QHAIGC_API_KEY",),
        can_delete=False,
        delete_by_hand="remove it in the Qhaigc web console, or write to support@qhaigc.net",
    )

    def __init__(self, account: Account, client: httpx.Client, backoff: Backoff, limits: Sequence[VendorLimit]) -> None:
        self._account = account
        self._limits = limits
        self._http = VendorHttp(account, client, backoff, read_refusal)

    @property
    def poll(self) -> Poll:
        """Never used: the answer to the create means done."""
        return Poll()

    def sent_name(self, request: EnrolRequest) -> str:
        """The name as it is: any is allowed."""
        return name_within(request.name, self._limits)

    def validate(self, request: EnrolRequest) -> tuple[RuleCheck, ...]:
        """Every rule, the request's own first, then file by file."""
        skip = frozenset[Rule]({"base64_bytes"})
        checks = judge(request, self._limits, self.name, self.sent_name(request), skip)
        return (*checks, *_option_rules(request.options, self.capabilities.options))

    def plan(self, request: EnrolRequest) -> tuple[str, ...]:
        """Look through the list, create."""
        size = sum(sample.n_bytes for sample in request.samples)
        return (
            f"GET {LIST_PATHS[0]} (is the name taken?)",
            f"POST /v1/voice/model with {len(request.samples)} files, {size} bytes, and their texts",
        )

    def enrol(self, request: EnrolRequest, journal: Journal) -> Voice:
        """POST the documented form: text parts first, then the files in the order of their texts."""
        with journal.step("create", creates=True) as facts:
            files = [
                ("audio_files", (f"sample{number}.wav", sample.data, "audio/wav"))
                for number, sample in enumerate(request.samples, start=1)
            ]
            voice = self._http.send(
                "POST", "/v1/voice/model", _created, creates=True, data=form_fields(request), files=files
            )
            facts["voice_id"] = voice.voice_id
        return voice

    def find(self, request: EnrolRequest, journal: Journal) -> Voice | None:
        """Look for the name in the list.

        Raises:
            OutcomeUnknown: the name is not in what the list shows, and it says that there are more.
        """
        with journal.step("look") as facts:
            voices, total = self._listing()
            found = next((voice for voice in voices if same_name(voice.name, request.name)), None)
            facts["found"] = found.voice_id if found else ""
            if found is None and total > len(voices):
                said = f"{request.name!r} is not among the {len(voices)} of {total} voices the list shows"
                raise OutcomeUnknown(ProviderFailure(self.name, said, fix="look in the Qhaigc web console"))
        return found

    def status(self, voice: Voice) -> Voice:
        """As it is: a voice is ready at once."""
        return voice

    def clean(self, request: EnrolRequest, journal: Journal) -> str:
        """Nothing to do: a create that was refused leaves nothing."""
        return ""

    def list(self, presets: bool = False) -> tuple[Voice, ...]:
        """All voices the list shows: this account's and public ones."""
        if presets:
            raise NotOffered(self.name, "a list of preset voices apart", "the list without --presets has public ones")
        return self._listing()[0]

    def show(self, voice_id: str) -> Voice:
        """One voice, by its name."""
        for voice in self.list():
            if same_name(voice.voice_id, voice_id):
                return voice
        said = f"no voice named {voice_id!r} in the list"
        raise Refused(ProviderFailure(self.name, said, fix="see `voxprep voices list --provider qhaigc`"))

    def say(self, voice_id: str, text: str, options: Mapping[str, str]) -> Speech:
        """Speak; options: `response_format` mp3 (default), wav or opus; `speed`, 1.0 = as is."""
        most = highest(tuple(self._limits), "say_chars")
        body = speech_body(voice_id, text, options, int(most) if most is not None else len(text))
        return self._http.send("POST", "/v1/audio/speech", _speech, json=body)

    def say_call(self, voice: Voice) -> str:
        """A curl command; the key stays a variable."""
        body = json.dumps(speech_body(voice.voice_id, "Hello, this is my voice.", {}, 4096), ensure_ascii=False)
        url = shlex.quote(f"{self._account.base_url}/v1/audio/speech")
        auth = f'-H "Authorization: Bearer ${self._account.key_variable}"'
        return f"curl -sS {url} {auth} -H 'Content-Type: application/json' -d {shlex.quote(body)} -o hello.mp3"

    def delete(self, voice_id: str) -> bool:
        """Never possible here: raises NotOffered with the way by hand."""
        raise NotOffered(self.name, f"deleting {voice_id!r}", self.capabilities.delete_by_hand)

    def ping(self) -> str:
        """List the voices: free."""
        return f"the key works; {len(self.list())} voice(s), public ones included"

    def _listing(self) -> tuple[tuple[Voice, ...], int]:
        first, second = LIST_PATHS
        try:
            return self._http.send("GET", first, _listed)
        except Refused as error:
            if error.failure.http_status != 404:
                raise
        return self._http.send("GET", second, _listed)


def form_fields(request: EnrolRequest) -> dict[str, str | list[str]]:
    """The text parts; `reference_texts` repeats under one name, as the document's example sends it."""
    fields: dict[str, str | list[str]] = {
        "name": request.name,
        "reference_texts": [sample.text.strip() for sample in request.samples],
        "public": request.options.get("public", "false"),
    }
    optional = {key: request.options[key] for key in ("description", "contact_email") if request.options.get(key)}
    return fields | optional


def speech_body(voice_id: str, text: str, options: Mapping[str, str], max_chars: int) -> dict[str, Any]:
    """The speech request; ConfigError for a text or an option that cannot be right."""
    unknown = set(options) - {"response_format", "speed"}
    form, speed = options.get("response_format", "mp3"), options.get("speed", "1.0")
    if unknown or form not in FORMATS:
        allowed = f"response_format ({', '.join(FORMATS)}) and speed"
        raise ConfigError(f"qhaigc speech takes {allowed}, got {dict(options)}")
    if not text.strip() or len(text) > max_chars:
        raise ConfigError(f"text to speak must have 1 to {max_chars} letters, this has {len(text.strip())}")
    if not re.fullmatch(r"\d{1,2}(\.\d{1,3})?", speed) or float(speed) == 0.0:
        raise ConfigError(f"speed must be a number above 0, such as 1.2, got {speed!r}")
    body = {"model": SPEECH_MODEL, "input": text, "voice": voice_id, "response_format": form}
    return body | ({"speed": float(speed)} if "speed" in options else {})


def same_name(one: str, other: str) -> bool:
    """Equal once Unicode-composed and stripped; letter case counts."""
    return unicodedata.normalize("NFC", one.strip()) == unicodedata.normalize("NFC", other.strip())


def _created(answer: httpx.Response) -> Voice:
    body = answer.json()
    if not isinstance(body, dict) or not _text(body, "model_name"):
        raise ValueError("no model_name in the answer to the create call")
    return _voice(body["model_name"], body)


def _listed(answer: httpx.Response) -> tuple[tuple[Voice, ...], int]:
    body = answer.json()
    rows = body.get("voice_characters") if isinstance(body, dict) and body.get("success", True) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and _text(row, "name") for row in rows):
        raise ValueError("no list of voices in the answer")
    total = body.get("total")
    return tuple(_voice(row["name"], row) for row in rows), total if isinstance(total, int) else len(rows)


def _text(row: Mapping[str, Any], field: str) -> bool:
    return isinstance(row.get(field), str) and bool(row[field])


def _voice(name: str, row: Mapping[str, Any]) -> Voice:
    public = row.get("public", False)  # a boolean after create, a label such as "public" in the list
    label = {True: "public", False: "private"}[public] if isinstance(public, bool) else str(public)
    return Voice(name, name, "ready", {"public": label, "description": str(row.get("description") or "")})


def _speech(answer: httpx.Response) -> Speech:
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not answer.content or media_type in ("application/json", "text/html"):
        raise ValueError(f"{media_type or 'nothing'} instead of audio")
    return Speech(answer.content, media_type)


def _option_rules(options: Mapping[str, str], known: Mapping[str, str]) -> list[RuleCheck]:
    public = options.get("public", "false")
    email = options.get("contact_email", "")
    reachable = public == "true" or "@" in email.strip("@ ")
    mail_fix = "add --option contact_email=you@example.com (or public=true: then everybody may use the voice)"
    return [
        options_known(options, known),
        RuleCheck("public", public in ("true", "false"), public, "true or false", fix="--option public=false"),
        RuleCheck("contact e-mail for a private voice", reachable, email, "an e-mail address", fix=mail_fix),
    ]


_FIXES: tuple[tuple[int, str, str, str], ...] = (
    # status, word in the vendor's message (empty = any), rule, fix
    (401, "", "a valid key", "set VOXPREP_QHAIGC_API_KEY to a current key of this account and address"),
    (400, "exist", "a voice name is unique", "choose another --name; no API call removes the old voice"),
    (400, "contact_email", "private voices need an e-mail", "add --option contact_email=you@example.com"),
    (400, "audio_files", "2-3 mono WAV clips of 10 s or more, 16 or 24 kHz", "prepare the set for qhaigc again"),
    (400, "reference_texts", "one exact text per clip", "prepare the set for qhaigc again"),
    (413, "", "the request is too large", "use shorter clips"),
    (429, "", "not too many requests", "wait, then run the same command again"),
)


def read_refusal(answer: httpx.Response) -> ProviderError:
    """The vendor's words, with our rule and fix where the words tell which one it is."""
    message, code = vendor_words(answer)
    status = answer.status_code
    rows = (row for row in _FIXES if row[0] == status and row[1] in message)
    _, _, rule, fix = next(rows, (0, "", "", ""))
    return by_status(ProviderFailure("qhaigc", message, code, status, rule, fix))
