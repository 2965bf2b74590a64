"""302.AI Higgs Audio V2: reference clips, their texts and a text to say become a piece of speech; no voice is kept.

Sources: 302.AI "Higgs Audio V2" product page (read 2026-11-21) for the four calls, their fields and ranges. The
page hides the paths and the answers: the paths here are guesses after a sibling of the same vendor (low
confidence) and must be set before anything goes to the real host; answers are read in every form its siblings
have (medium). `[SPEAKERn]` tags are those of the model it runs. A create is billed and cannot be looked up but
by the id it answers with: a lost answer stays unknown and is never sent again.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import httpx

from prep.errors import ConfigError, ProviderError, ProviderFailure, Refused, Retryable
from prep.providers.account import Account
from prep.providers.base import (
    Capabilities,
    EnrolRequest,
    Journal,
    NotOffered,
    Poll,
    RuleCheck,
    SampleFile,
    Speech,
    Voice,
)
from prep.providers.fetch import fetch_audio
from prep.providers.http import LOOPBACK, Backoff, VendorHttp, json_object
from prep.providers.limits import Rule, VendorLimit
from prep.providers.rules import judge, options_known

CLONE_PATH = "/302/higgs_audio/voice_clone/task"
SMART_PATH = "/302/higgs_audio/smart_voice/task"
PLACEHOLDERS: Mapping[str, str] = {"clone_path": CLONE_PATH, "smart_path": SMART_PATH}
SMART = "smart"
"""The voice id that asks for a voice made from a description instead of clips."""
HELLO = "Hello, this is my voice."
SPEAKER = re.compile(r"\[SPEAKER(\d+)\]")
RANGES: Mapping[str, tuple[float, float]] = {"temperature": (0.0, 1.5), "top_k": (-1, 100), "top_p": (0.1, 1.0)}
DONE = frozenset({"success", "succeeded", "completed", "done"})
BROKEN = ("fail", "error", "cancel")
URL_PLACES = (("audio_url",), ("data", "audio_url"), ("result", "audio_url"), ("output", "audio_url"), ("url",))


class Ai302:
    """One 302.AI account; `prep.providers.base.Provider` says what each method promises."""

    name: ClassVar[str] = "ai302"
    capabilities: ClassVar[Capabilities] = Capabilities(
        delivery=("url",),
        options={
            "input_text": f"what the preview says (default: {HELLO!r}); [SPEAKER0] ... for several speakers",
            "temperature": "0 to 1.5",
            "top_k": "-1 (off) to 100",
            "top_p": "0.1 to 1",
        },
        say_options={
            "is_multi_speaker": "smart voice: true or false; by default whether the text has [SPEAKERn]",
            "system_prompt": "smart voice: the scene and the voice, in words",
            "temperature": "0 to 1.5",
            "top_k": "-1 (off) to 100",
            "top_p": "0.1 to 1",
            "response_format": "as the vendor gives it",
        },
        lookup="none",
        regions={"cn": "https://api.302.ai"},
        key_variables=("AI302_API_KEY",),
        settings={
            "clone_path": "path of the voice clone task, from the 302.AI console",
            "smart_path": "path of the smart voice task, from the 302.AI console",
            "poll_s": "seconds between two questions how a training is doing",
        },
        keeps_voices=False,
        can_list=False,
        can_delete=False,
        delete_by_hand="there is nothing to delete: 302.AI keeps no voice; the sample set is the voice",
    )

    def __init__(self, account: Account, client: httpx.Client, backoff: Backoff, limits: Sequence[VendorLimit]) -> None:
        self._account = account
        self._client = client
        self._backoff = backoff
        self._limits = limits
        self._http = VendorHttp(account, client, backoff, read_refusal, _no_error)

    @property
    def poll(self) -> Poll:
        """Two seconds apart for five minutes."""
        return Poll(start_s=self._account.seconds("poll_s", 2.0), cap_s=15.0, deadline_s=300.0)

    def sent_name(self, request: EnrolRequest) -> str:
        """The name as it is: none is sent."""
        return request.name

    def validate(self, request: EnrolRequest) -> tuple[RuleCheck, ...]:
        """Every rule, the text to say, and the paths."""
        skip = frozenset[Rule]({"base64_bytes"})
        checks = judge(request, self._limits, self.name, request.name, skip)
        text = request.options.get("input_text", HELLO)
        known = options_known(request.options, self.capabilities.options)
        return (
            *checks,
            known,
            *_wish_rules(text, request.options, len(request.samples)),
            self._path_rule("clone_path"),
        )

    def plan(self, request: EnrolRequest) -> tuple[str, ...]:
        """One task, then ask until it is done."""
        path = self._path("clone_path")
        until = f"at most {self.poll.deadline_s:g} s"
        return (f"POST {path} with {len(request.samples)} reference(s)", f"GET {path}?task_id=ID until done, {until}")

    def find(self, request: EnrolRequest, journal: Journal) -> Voice | None:
        """The task, where its id was written down; else None, which says nothing."""
        task_id = journal.recall("task_id")
        if not task_id:
            return None
        with journal.step("look"):
            return self._query(self._usable("clone_path"), task_id)

    def enrol(self, request: EnrolRequest, journal: Journal) -> Voice:
        """POST the clone task: a preview that says `input_text`."""
        path = self._usable("clone_path")
        text = request.options.get("input_text", HELLO)
        with journal.step("create", creates=True) as facts:
            body = clone_body(text, request.samples, request.options)
            made = self._http.send("POST", path, _task, creates=True, json=body)
            facts["task_id"] = made.handle
        return made

    def status(self, voice: Voice) -> Voice:
        """Ask for the task."""
        return self._query(self._usable("clone_path"), voice.handle)

    def clean(self, request: EnrolRequest, journal: Journal) -> str:
        """Nothing to do: a task leaves nothing that could be removed."""
        return ""

    def list(self, presets: bool = False) -> tuple[Voice, ...]:
        """Never possible here: raises NotOffered."""
        raise NotOffered(self.name, "a list of voices", "302.AI keeps no voice; the sample set is the voice")

    def show(self, voice_id: str) -> Voice:
        """One clone task by its id."""
        return self._query(self._usable("clone_path"), voice_id)

    def say(self, voice_id: str, text: str, options: Mapping[str, str]) -> Speech:
        """The speech of a finished clone task (`voice_id` its id), or a new smart voice (`voice_id` = `smart`).

        Speech of other words with the same clips is a clone task of its own: `enrol` with hosted samples.
        """
        if voice_id != SMART:
            return self._spoken(self._wait("clone_path", self.show(voice_id)))
        _refuse_broken(_smart_rules(text, options, self.capabilities.say_options))
        path = self._usable("smart_path")
        made = self._http.send("POST", path, _task, creates=True, json=smart_body(text, options))
        return self._spoken(self._wait("smart_path", made))

    def say_call(self, voice: Voice) -> str:
        """A curl command that fetches the finished preview; other words with the same clips are a new task."""
        if not voice.detail.get("url"):
            where = shlex.quote(f"{self._account.base_url}{self._path('clone_path')}?task_id={quote(voice.handle)}")
            return f'curl -sS {where} -H "Authorization: Bearer ${self._account.key_variable}"'
        return f"curl -sS {shlex.quote(voice.detail['url'])} -o preview.wav"

    def delete(self, voice_id: str) -> bool:
        """Never possible here: raises NotOffered."""
        raise NotOffered(self.name, "deleting", self.capabilities.delete_by_hand)

    def ping(self) -> str:
        """Ask for a task that cannot exist: free, and a wrong key is refused first."""
        try:
            self._query(self._usable("clone_path"), "voxprep-doctor")
        except Refused as error:
            if error.failure.http_status not in (400, 404) or error.failure.code == "-10001":
                raise
            if not error.failure.code:  # not 302.AI's own form: perhaps nothing is there but a web server
                return f"no such task, or no such path ({error.failure.http_status}); only a task will show which"
        return "the key works"

    def _path(self, which: str) -> str:
        return self._account.wire.get(which) or PLACEHOLDERS[which]

    def _path_rule(self, which: str) -> RuleCheck:
        path = self._path(which)
        host = urlsplit(self._account.base_url).hostname or ""
        own = which in self._account.wire or host in LOOPBACK
        variable = f"VOXPREP_AI302_{which.upper()}"
        fix = f"302.AI publishes no paths: copy the real one from its console into the environment variable {variable}"
        well = path.startswith("/") and not set(path) & set("?# ") and path.isascii() and path.isprintable()
        return RuleCheck("path of the call", own and well, path, "the real path", fix=fix)

    def _usable(self, which: str) -> str:
        rule = self._path_rule(which)
        if not rule.ok:
            raise ConfigError(f"ai302: {rule}; nothing was sent")
        return self._path(which)

    def _query(self, path: str, task_id: str) -> Voice:
        return self._http.send("GET", path, _task, params={"task_id": task_id})

    def _wait(self, which: str, voice: Voice) -> Voice:
        waited_s, wait_s = 0.0, self.poll.start_s
        while voice.status == "training" and waited_s < self.poll.deadline_s:
            self._backoff.sleep(wait_s)
            waited_s, wait_s = waited_s + wait_s, min(wait_s * self.poll.factor, self.poll.cap_s)
            voice = self._query(self._usable(which), voice.handle)
        return voice

    def _spoken(self, voice: Voice) -> Speech:
        if voice.status == "training":
            said = f"the task {voice.handle} is not done after {self.poll.deadline_s:g} s"
            raise Retryable(ProviderFailure(self.name, said, fix="ask for it again later; it is billed already"))
        if voice.status == "failed":
            raise Refused(ProviderFailure(self.name, voice.reason))
        return fetch_audio(self.name, voice.detail["url"], self._client, self._backoff, self._account.base_url)


def clone_body(text: str, samples: Sequence[SampleFile], options: Mapping[str, str]) -> dict[str, Any]:
    """The clone task: links and texts in the same order; the second name is in the singular, as the vendor has it."""
    return {
        "input_text": text,
        "ref_audio_links": [sample.url for sample in samples],
        "ref_audio_text": [" ".join(sample.text.split()) for sample in samples],
        **_sampling(options),
    }


def smart_body(text: str, options: Mapping[str, str]) -> dict[str, Any]:
    """The smart voice task."""
    many = options.get("is_multi_speaker") or str(bool(SPEAKER.search(text))).lower()
    prompt = {"system_prompt": options["system_prompt"]} if options.get("system_prompt") else {}
    return {"is_multi_speaker": many == "true", "input_text": text, **prompt, **_sampling(options)}


def _sampling(options: Mapping[str, str]) -> dict[str, float | int]:
    given = {key: float(options[key]) for key in RANGES if options.get(key)}
    return {key: int(value) if key == "top_k" else value for key, value in given.items()}


def _wish_rules(text: str, options: Mapping[str, str], n_speakers: int) -> list[RuleCheck]:
    highest = max((int(number) for number in SPEAKER.findall(text)), default=-1)
    fix = "write --option input_text='...'; [SPEAKER0] is the first clip"
    return [
        RuleCheck("text to say", bool(text.strip()), len(text.strip()), 1, "letters", fix),
        RuleCheck("speakers in the text", highest < n_speakers, highest + 1, f"at most {n_speakers}", "speakers", fix),
        *_sampling_rules(options),
    ]


def _smart_rules(text: str, options: Mapping[str, str], known: Mapping[str, str]) -> list[RuleCheck]:
    many = options.get("is_multi_speaker") or str(bool(SPEAKER.search(text))).lower()
    agrees = many == str(bool(SPEAKER.search(text))).lower()
    return [
        options_known(options, known),
        RuleCheck("text to say", bool(text.strip()), len(text.strip()), 1, "letters", "give a text"),
        RuleCheck("is_multi_speaker", agrees, many, "true with [SPEAKERn] in the text, else false", fix="leave it out"),
        *_sampling_rules(options),
    ]


def _sampling_rules(options: Mapping[str, str]) -> list[RuleCheck]:
    out = []
    for key, (low, high) in RANGES.items():
        value = options.get(key, "")
        number = re.fullmatch(r"-?\d{1,3}" if key == "top_k" else r"\d(\.\d{1,6})?", value)
        inside = not value or (number is not None and low <= float(value) <= high)
        out.append(RuleCheck(key, inside, value, f"{low:g} to {high:g}", fix=f"--option {key}=..."))
    return out


def _refuse_broken(checks: Sequence[RuleCheck]) -> None:
    broken = [check for check in checks if check.blocks]
    if broken:
        raise ConfigError("ai302: nothing was sent: " + "; ".join(str(check) for check in broken))


def _no_error(answer: httpx.Response) -> bool:
    if not answer.is_success:
        return False
    body = answer.json()
    refused = isinstance(body, dict) and isinstance(body.get("error"), dict) and bool(body["error"])
    return not refused or bool(_state(body))  # a task that failed may say why in an error of its own


def _state(row: Mapping[str, Any]) -> str:
    inner = _inner(row)
    return str(row.get("state") or row.get("status") or inner.get("state") or inner.get("status") or "").lower()


def _inner(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return row["data"] if isinstance(row.get("data"), dict) else {}


def _reason(row: Mapping[str, Any]) -> str:
    """Why a task failed: its own words first; those around it may only say that the question was answered."""
    for place in (_inner(row), row):
        error = place.get("error")
        said = error.get("message") if isinstance(error, dict) else error
        if said or place.get("message"):
            return str(said or place["message"])
    return _state(row)


def _task(answer: httpx.Response) -> Voice:
    body = answer.json()
    row = body if isinstance(body, dict) else {}
    task_id = row.get("task_id") or _inner(row).get("task_id") or answer.request.url.params.get("task_id")
    state = _state(row)
    if not task_id or not state:
        raise ValueError("no task_id and state in the answer")
    url = _url(row)
    detail = {"state": state, "url": url} if url else {"state": state}
    if state in DONE and url:
        return Voice(str(task_id), str(task_id), "ready", detail)
    if state in DONE:
        return Voice("", "", "failed", detail, str(task_id), "done without any audio")
    if any(word in state for word in BROKEN):
        return Voice("", "", "failed", detail, str(task_id), _reason(row))
    return Voice("", "", "training", detail, str(task_id))


def _url(row: Mapping[str, Any]) -> str:
    for place in URL_PLACES:
        value: Any = row
        for step in place:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            return value
    return ""


_RULES: Mapping[str, tuple[str, str]] = {
    "-10001": ("a valid key", "set VOXPREP_AI302_API_KEY to a current key"),
    "-10003": ("good parameters", "see the vendor's own words; check with `voxprep upload --dry-run`"),
    "-10006": ("an account in credit", "top it up in the 302.AI console; waiting does not help"),
}


def read_refusal(answer: httpx.Response) -> ProviderError:
    """By 302.AI's code: its 429 for a used-up quota never heals by waiting."""
    error = json_object(answer).get("error")
    error = error if isinstance(error, dict) else {}
    code, status = str(error.get("err_code") or ""), answer.status_code
    message = str(error.get("message") or answer.text[:300].strip() or answer.reason_phrase)
    rule, fix = _RULES.get(code, ("", ""))
    failure = ProviderFailure("ai302", message, code, status, rule, fix)
    # an error of theirs under HTTP 200 says nothing of what was done before it
    passing = code not in _RULES and (status in (408, 429) or status >= 500 or status < 300)
    return Retryable(failure) if passing else Refused(failure)
