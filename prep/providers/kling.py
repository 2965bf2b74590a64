"""Kling: one clip at a public URL, or a video Kling made, becomes a `voice_id` for its video models.

Sources: Kling API "Custom Voice" document (read 2026-11-21) for calls, rules and meanings; field names, the
error table, signing of tokens from Kling's "Voice customization", "Authentication" and error pages (2026, high
confidence). Create is a task: 5-30 s of audio are fetched and judged after it was accepted. A custom
`external_task_id`, unique per account, finds a task again whose answer was lost.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import httpx

from prep.errors import ProviderError, ProviderFailure, Refused, Retryable
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
from prep.providers.envelope import envelope, says_zero
from prep.providers.http import Backoff, VendorHttp, json_object
from prep.providers.kling_keys import Tokens
from prep.providers.limits import Rule, VendorLimit
from prep.providers.rules import judge, name_within, options_known

PATH = "/v1/general/custom-voices"
PRESETS_PATH = "/v1/general/presets-voices"
DELETE_PATH = "/v1/general/delete-voices"
PAGE_SIZE = 100
LAST_PAGE = 1000
EXPIRED, UNKNOWN = "1004", "1203"

_SAMPLE_RULES: frozenset[Rule] = frozenset({"clips", "clip_s", "total_s", "base64_bytes"})


class Kling:
    """One Kling account; `prep.providers.base.Provider` says what each method promises."""

    name: ClassVar[str] = "kling"
    capabilities: ClassVar[Capabilities] = Capabilities(
        delivery=("url",),
        options={
            "video_id": "a video made by Kling (V2.6 with sound, Avatar or Lip-Sync) instead of a sample set",
            "callback_url": "https address that Kling tells of each change of the task",
        },
        lookup="token",
        repeat_is_refused=True,
        regions={"intl": "https://api-singapore.klingai.com", "cn": "https://api-beijing.klingai.com"},
        key_variables=("KLING_API_KEY",),
        settings={
            "poll_s": "seconds between two questions how a training is doing",
        },
        instead_of_set="video_id",
        can_list_presets=True,
        can_say=False,
        say_by_hand="Kling speaks with it in its videos: the receipt has the call; `voices show` has a trial to hear",
    )

    def __init__(
        self,
        account: Account,
        client: httpx.Client,
        backoff: Backoff,
        limits: Sequence[VendorLimit],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._account = account
        self._limits = limits
        self._tokens = Tokens(*account.pair, now) if account.key is None and account.pair else None
        self._http = VendorHttp(account, client, backoff, self._refused, says_zero, self._tokens)

    @property
    def poll(self) -> Poll:
        """Five seconds apart for five minutes, as public clients do."""
        return Poll(start_s=self._account.seconds("poll_s", 5.0), cap_s=15.0, deadline_s=300.0)

    def sent_name(self, request: EnrolRequest) -> str:
        """The name, shortened where it is longer than Kling takes."""
        return name_within(request.name, self._limits)

    def validate(self, request: EnrolRequest) -> tuple[RuleCheck, ...]:
        """Every rule; with `video_id` only those on names and options, as the video is at Kling."""
        video = bool(request.options.get("video_id"))
        skip = _SAMPLE_RULES if video else frozenset[Rule]({"base64_bytes"})
        checks = judge(request, self._limits, self.name, self.sent_name(request), skip)
        both = video and bool(request.samples)
        return (*checks, *_option_rules(request.options, self.capabilities.options, both))

    def plan(self, request: EnrolRequest) -> tuple[str, ...]:
        """Look, create, then ask until it is done."""
        return (
            f"GET {PATH}/EXTERNAL_TASK_ID (is it there already?)",
            f"POST {PATH} voice_name={self.sent_name(request)!r}",
            f"GET {PATH}/TASK_ID until succeed or failed, at most {self.poll.deadline_s:g} s",
        )

    def find(self, request: EnrolRequest, journal: Journal) -> Voice | None:
        """Query by our own task id; None where Kling knows none of that id."""
        with journal.step("look") as facts:
            found = self._query(external_id(request))
            facts["task_id"] = found.handle if found else ""
        return found

    def enrol(self, request: EnrolRequest, journal: Journal) -> Voice:
        """POST the task; it is fetched and judged after the answer."""
        with journal.step("create", creates=True) as facts:
            made = self._http.send("POST", PATH, _task, creates=True, json=body(request, self.sent_name(request)))
            facts["task_id"] = made.handle
        return made

    def status(self, voice: Voice) -> Voice:
        """Query by task id."""
        return self._http.send("GET", f"{PATH}/{quote(voice.handle, safe='')}", _task)

    def clean(self, request: EnrolRequest, journal: Journal) -> str:
        """Nothing to do: a failed task leaves no voice."""
        return ""

    def list(self, presets: bool = False) -> tuple[Voice, ...]:
        """Custom voices, or Kling's own; pages until a short one."""
        found: list[Voice] = []
        for page in range(1, LAST_PAGE + 1):
            params = {"pageNum": page, "pageSize": PAGE_SIZE}
            rows = self._http.send("GET", PRESETS_PATH if presets else PATH, _tasks, params=params)
            found += [voice for task in rows for voice in (voices_of(task) or [voice_of(task)])]
            if len(rows) < PAGE_SIZE:
                break
        # a deleted voice's task stays in the list, done and empty
        return tuple(voice for voice in found if voice.voice_id or voice.detail["task_status"] != "succeed")

    def show(self, voice_id: str) -> Voice:
        """One custom or preset voice by its id, or a task by its id."""
        for presets in (False, True):
            for voice in self.list(presets):
                if voice_id in (voice.voice_id, voice.handle):
                    return voice
        fix = "see `voxprep voices list --provider kling`"
        raise Refused(ProviderFailure(self.name, f"no voice {voice_id!r} among custom and preset voices", fix=fix))

    def say(self, voice_id: str, text: str, options: Mapping[str, str]) -> Speech:
        """Never possible here: raises NotOffered."""
        raise NotOffered(self.name, "speech alone", self.capabilities.say_by_hand)

    def say_call(self, voice: Voice) -> str:
        """A video in which the voice speaks: Kling's "Text to Video" document, 2026; `<<<voice_1>>>` names it."""
        wish = {
            "model_name": "kling-v2-6",
            "prompt": 'A person looks into the camera and says with <<<voice_1>>>: "Hello, this is my voice."',
            "voice_list": [{"voice_id": voice.voice_id}],
            "sound": "on",
            "mode": "pro",
            "duration": "5",
        }
        url = shlex.quote(f"{self._account.base_url}/v1/videos/text2video")
        # a pair of keys signs tokens of half an hour: prep.providers.kling_keys.sign makes one
        variable = self._account.key_variable if self._account.pair is None else "KLING_TOKEN"
        auth = f'-H "Authorization: Bearer ${variable}"'
        return f"curl -sS {url} {auth} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(wish))}"

    def delete(self, voice_id: str) -> bool:
        """POST delete-voices; a voice that is not in the list was not there."""
        if not self._listed(voice_id):
            return False
        try:
            self._http.send("POST", DELETE_PATH, lambda answer: None, json={"voice_id": voice_id})
        except Refused:
            if self._listed(voice_id):
                raise
            # the answer to a first try was lost, and the second found nothing to delete
        return True

    def ping(self) -> str:
        """List one custom voice: queries are free."""
        rows = self._http.send("GET", PATH, _tasks, params={"pageNum": 1, "pageSize": 1})
        return "the key works; " + ("there are custom voices" if rows else "no custom voices yet")

    def _refused(self, answer: httpx.Response) -> ProviderError:
        error = read_refusal(answer)
        if error.failure.code != EXPIRED:
            return error
        if self._tokens is None:  # an API key does not expire by the half hour: sending it again would not help
            return Refused(replace(error.failure, rule="a key that has not expired", fix=_RULES["1002"][1]))
        self._tokens.renew()
        return error

    def _listed(self, voice_id: str) -> bool:
        return any(voice.voice_id == voice_id for voice in self.list())

    def _query(self, task: str) -> Voice | None:
        try:
            return self._http.send("GET", f"{PATH}/{quote(task, safe='')}", _task)
        except Refused as error:
            if error.failure.code == UNKNOWN:  # a 404 without it is not Kling's word on the task
                return None
            raise


def external_id(request: EnrolRequest) -> str:
    """Our task id: the enrolment's token under a name that tells whose it is."""
    return f"voxprep-{request.token}"


def body(request: EnrolRequest, sent_name: str) -> dict[str, str]:
    """The create body; exactly one of `voice_url` and `video_id`."""
    source = {"video_id": request.options["video_id"]} if request.options.get("video_id") else {}
    source = source or {"voice_url": request.samples[0].url}
    callback = {"callback_url": request.options["callback_url"]} if request.options.get("callback_url") else {}
    return {"voice_name": sent_name, **source, "external_task_id": external_id(request), **callback}


def voice_of(task: Mapping[str, Any]) -> Voice:
    """A task as a voice: every state but `succeed` and `failed` is training, whatever its word."""
    state = str(task.get("task_status") or "")
    handle = str(task.get("task_id") or "")
    detail = {"task_id": handle, "task_status": state}
    made = voices_of(task)
    if state == "succeed" and made:
        return made[0]
    if state == "succeed":
        # done without a voice: the voice was deleted
        return Voice("", "", "failed", detail, handle, "the task is done and holds no voice; it was deleted")
    if state == "failed":
        return Voice("", "", "failed", detail, handle, str(task.get("task_status_msg") or ""))
    return Voice("", "", "training", detail, handle)


def voices_of(task: Mapping[str, Any]) -> list[Voice]:
    """The finished voices of a task."""
    result = task.get("task_result")
    rows = result.get("voices") if isinstance(result, dict) else None
    task_id = str(task.get("task_id") or "")
    return [
        Voice(
            str(row["voice_id"]),
            str(row.get("voice_name") or ""),
            "ready",
            {"task_id": task_id, "owned_by": str(row.get("owned_by") or ""), "url": str(row.get("trial_url") or "")},
            task_id,
        )
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and row.get("voice_id")
    ]


def _task(answer: httpx.Response) -> Voice:
    task = envelope(answer, dict)
    if not isinstance(task.get("task_id"), str) or not isinstance(task.get("task_status"), str):
        raise ValueError("no task_id and task_status in the answer")
    return voice_of(task)


def _tasks(answer: httpx.Response) -> list[dict[str, Any]]:
    rows = envelope(answer, list)
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("the list has rows that are no tasks")
    return rows


def _option_rules(options: Mapping[str, str], known: Mapping[str, str], both: bool) -> list[RuleCheck]:
    callback, video = options.get("callback_url", ""), options.get("video_id", "")
    reachable = not callback or _is_address(callback)
    named = video.isprintable() and video == video.strip()
    return [
        options_known(options, known),
        RuleCheck("callback_url", reachable, callback, "an http(s) address", fix="--option callback_url=https://..."),
        RuleCheck("video_id", named, video, "an id as Kling shows it", fix="copy the id again, without blanks"),
        RuleCheck("one source", not both, "a set and video_id" if both else "one", "one", fix="leave out video_id"),
    ]


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isascii() and " " not in url


_RULES: Mapping[str, tuple[str, str]] = {
    # code: (rule, fix); Kling's error table, 2026
    "1000": ("a valid key", "set VOXPREP_KLING_API_KEY, or VOXPREP_KLING_ACCESS_KEY and _SECRET_KEY, of this region"),
    "1001": ("a key is sent", "set VOXPREP_KLING_API_KEY"),
    "1002": ("a valid key", "set VOXPREP_KLING_API_KEY, or VOXPREP_KLING_ACCESS_KEY and _SECRET_KEY, of this region"),
    "1003": ("the clock is right", "set this machine's clock; the token is not valid yet by Kling's"),
    "1004": ("a token of less than 30 minutes", "run it again; a new token is signed"),
    "1100": ("an account in order", "see the Kling console; waiting does not help"),
    "1101": ("an account in credit", "top it up in the Kling console; waiting does not help"),
    "1102": ("a resource pack that is not used up", "buy or renew one in the Kling console; waiting does not help"),
    "1103": ("the account may use this call", "ask for it in the Kling console"),
    "1200": ("good parameters", "see the vendor's own words"),
    "1201": (
        "voice_name of at most 20 letters, and one http(s) URL to .mp3 .wav .mp4 .mov",
        "see the vendor's own words; check with `voxprep upload --dry-run`",
    ),
    "1202": ("a call that Kling has", "set the region or VOXPREP_KLING_BASE_URL to where its API is"),
    "1203": ("a voice or task that exists", "see `voxprep voices list --provider kling`"),
    "1300": ("Kling's platform policy", "choose another sample"),
    "1301": ("Kling's content policy", "choose another sample"),
    "1302": ("not too many requests", "wait, then run the same command again"),
    "1303": ("no more tasks at once than the pack allows", "wait until other tasks are done, then run it again"),
    "1304": ("an address on the account's allow-list", "allow this machine's address in the Kling console"),
    "5000": ("a service in order", "wait, then run the same command again"),
    "5001": ("a service that is not under maintenance", "wait, then run the same command again"),
    "5002": ("an answer in time", "wait, then run the same command again"),
}
_PASSING = frozenset({EXPIRED, "1302", "1303", "5000", "5001", "5002"})


def read_refusal(answer: httpx.Response) -> ProviderError:
    """By Kling's code, not by the status alone: most of its 429 are about money and never heal by waiting."""
    said = json_object(answer)
    code = str(said.get("code") or "")
    message = str(said.get("message") or answer.text[:300].strip() or answer.reason_phrase)
    rule, fix = _RULES.get(code, ("", ""))
    failure = ProviderFailure("kling", message, code, answer.status_code, rule, fix)
    unnamed = code not in _RULES and (answer.status_code in (408, 429) or answer.status_code >= 500)
    return Retryable(failure) if code in _PASSING or unnamed else Refused(failure)
