"""Qiniu xrobo: reserve a voice slot, train it from an audio URL, ask until it is usable.

Sources: Qiniu "音色克隆API" document (read 2026-11-21) for calls, rules and states; `language` and `tier`, quotas
and the 403 of a paid slot from its newer revision (high confidence). There is no token of ours at the vendor: a
slot whose answer was lost is the one that is new since the list was read before it was asked for. A slot that
was there before is never touched, though it may stand empty: it is somebody's.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from prep.errors import OutcomeUnknown, ProviderError, ProviderFailure, Refused, Retryable
from prep.providers.account import Account
from prep.providers.base import Capabilities, EnrolRequest, Journal, NotOffered, Poll, RuleCheck, Speech, Voice
from prep.providers.envelope import envelope, says_zero
from prep.providers.http import Backoff, VendorHttp, json_object
from prep.providers.limits import Rule, VendorLimit
from prep.providers.rules import judge, name_within, options_known

PATH = "/v1/voice-clones"
MODEL_ID = "QN_ACV"
LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "free": ("zh", "en"),
    "pro": ("zh", "en", "ja", "ko", "es", "pt", "id", "de", "fr", "ar", "hi", "it", "tr", "yue"),
}
"""Tier -> what it speaks."""
LOST_SLOT_S = 1800.0
"""For so long a new empty slot is taken for the one whose answer was lost; later it may be anybody's."""
PAID = "403"
STATES: Mapping[str, str] = {"Success": "ready", "Training": "training", "Failed": "failed"}


class Qiniu:
    """One Qiniu xrobo account; `prep.providers.base.Provider` says what each method promises."""

    name: ClassVar[str] = "qiniu"
    capabilities: ClassVar[Capabilities] = Capabilities(
        delivery=("url",),
        options={
            "language": "newer accounts: language of the voice, zh (default) or en; with tier=pro twelve more",
            "tier": "newer accounts: free (default) or pro; pro training spends quota",
        },
        lookup="token",
        regions={"cn": "https://xrobo.qiniu.com"},
        key_variables=("QINIU_API_KEY",),
        shaping=("language", "tier"),
        settings={
            "poll_s": "seconds between two questions how a training is doing",
        },
        can_say=False,
        say_by_hand="its document has no speech call; `voices show` has the demo to hear, and its agents take the id",
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
        self._now = now
        self._http = VendorHttp(account, client, backoff, read_refusal, says_zero)

    @property
    def poll(self) -> Poll:
        """Ten seconds apart for half an hour: training takes minutes to over ten, says the document."""
        return Poll(start_s=self._account.seconds("poll_s", 10.0), cap_s=15.0, deadline_s=1800.0)

    def sent_name(self, request: EnrolRequest) -> str:
        """The name, shortened where it is longer than Qiniu takes."""
        return name_within(request.name, self._limits)

    def validate(self, request: EnrolRequest) -> tuple[RuleCheck, ...]:
        """Every rule, and the options of the newer revision."""
        skip = frozenset[Rule]({"base64_bytes"})
        checks = judge(request, self._limits, self.name, self.sent_name(request), skip)
        return (*checks, *_option_rules(request.options, self.capabilities.options))

    def plan(self, request: EnrolRequest) -> tuple[str, ...]:
        """List, slot, train, then ask until it is done."""
        return (
            f"GET {PATH} (which slots are there already?)",
            f"POST {PATH} (a slot)",
            f"PUT {PATH}/ID name={self.sent_name(request)!r}",
            f"GET {PATH}/ID until Success or Failed, at most {self.poll.deadline_s:g} s",
        )

    def find(self, request: EnrolRequest, journal: Journal) -> Voice | None:
        """Our slot, where it trains or has; None while there is none, or it stands empty yet."""
        with journal.step("look") as facts:
            slot = _slot(journal) or self._lost_slot(journal)
            if not slot:
                return None
            facts.update(_known(slot))
            row = self._row(slot)
        if row is None:
            return Voice("", "", "failed", {}, slot, "the slot is gone")
        return None if row.get("state") == "Init" else _voice(row)

    def enrol(self, request: EnrolRequest, journal: Journal) -> Voice:
        """A slot, unless this attempt has one; then train it with the sample's URL."""
        slot = _slot(journal) or self._new_slot(request, journal)
        with journal.step("train") as facts:
            wish = {"name": self.sent_name(request), "key": request.samples[0].url}
            # Repeating it is safe but for a slot in training, so a lost answer is looked up first.
            made = self._http.send("PUT", f"{PATH}/{quote(slot, safe='')}", _one, creates=True, json=wish)
            facts["state"] = str(made.get("state") or "")
        return _voice(made) if made.get("state") in STATES else Voice("", "", "training", {}, slot)

    def status(self, voice: Voice) -> Voice:
        """Ask for the slot."""
        row = self._row(voice.handle)
        return Voice("", "", "failed", {}, voice.handle, "the slot is gone") if row is None else _voice(row)

    def clean(self, request: EnrolRequest, journal: Journal) -> str:
        """Delete the slot of this attempt: an empty or failed one would stay and count against the account."""
        slot, stays = _slot(journal), ""
        if not slot:
            return stays
        with journal.step("clean") as facts:
            try:
                self.delete(slot)
            except Refused as error:
                if error.failure.code != PAID:
                    raise
                stays = f"slot {slot} is a paid one and stays; delete it in the Qiniu console"
            facts.update({"cleaned": slot, "stays": stays})
        return stays

    def list(self, presets: bool = False) -> tuple[Voice, ...]:
        """Every slot in every state."""
        if presets:
            raise NotOffered(self.name, "a list of preset voices", "see the Qiniu console")
        return tuple(_voice(row) for row in self._rows())

    def show(self, voice_id: str) -> Voice:
        """One slot by its id."""
        row = self._row(voice_id)
        if row is None:
            fix = "see `voxprep voices list --provider qiniu`"
            raise Refused(ProviderFailure(self.name, f"no voice {voice_id!r}", "404", 404, fix=fix))
        return _voice(row)

    def rename(self, voice_id: str, name: str) -> Voice:
        """Give a voice another name; without a `key` the same call does not train."""
        return _voice(self._http.send("PUT", f"{PATH}/{quote(voice_id, safe='')}", _one, json={"name": name}))

    def say(self, voice_id: str, text: str, options: Mapping[str, str]) -> Speech:
        """Never possible here: raises NotOffered."""
        raise NotOffered(self.name, "speech", self.capabilities.say_by_hand)

    def say_call(self, voice: Voice) -> str:
        """Fetch the demo the vendor made with the voice: its document has no speech call."""
        where = shlex.quote(f"{self._account.base_url}{PATH}/{voice.voice_id}")
        url = voice.detail.get("url", "")
        if url:
            return f"curl -sS {shlex.quote(url)} -o demo.wav"
        return f'curl -sS {where} -H "Authorization: Bearer ${self._account.key_variable}"'

    def delete(self, voice_id: str) -> bool:
        """DELETE; a 404 says that it was not there."""
        try:
            self._http.send("DELETE", f"{PATH}/{quote(voice_id, safe='')}", lambda answer: None)
        except Refused as error:
            if _missing(error):
                return False
            raise
        return True

    def ping(self) -> str:
        """List the slots: free."""
        rows = self._rows()
        return f"the key works; {len(rows)} voice slot(s)"

    def _new_slot(self, request: EnrolRequest, journal: Journal) -> str:
        # as close to the create as can be: the fewer slots of others are new when its answer is lost
        with journal.step("before") as facts:
            facts["before"] = json.dumps([row["id"] for row in self._rows()])
            facts["before_at"] = f"{self._now():.0f}"
        with journal.step("slot", creates=True) as facts:
            try:
                row = self._http.send("POST", PATH, _one, creates=True, json=slot_body(request.options))
            except (Refused, Retryable):
                facts["before"] = ""  # none was made: whichever is new from now on is not ours
                raise
            facts.update(_known(str(row["id"])))
        return str(row["id"])

    def _lost_slot(self, journal: Journal) -> str:
        """The slot of a create whose answer was lost: empty, and new since just before that create.

        Raises:
            OutcomeUnknown: several are new and empty, or one is and the create is long ago; it may be another's.
        """
        before = journal.recall("before")
        if not before or not journal.is_open("slot"):
            return ""
        known = json.loads(before)
        fresh = [str(row["id"]) for row in self._rows() if row.get("state") == "Init" and row["id"] not in known]
        long_ago = self._now() - float(journal.recall("before_at") or 0.0) > LOST_SLOT_S
        if len(fresh) > 1 or (fresh and long_ago):  # nothing at the vendor tells whose a slot is
            said = f"{len(fresh)} empty voice slot(s) are new ({', '.join(fresh)}); one of them may be this upload's"
            fix = "delete those that nobody is about to train, then run this again"
            raise OutcomeUnknown(ProviderFailure(self.name, said, fix=fix))
        return fresh[0] if fresh else ""

    def _rows(self) -> Sequence[dict[str, Any]]:
        return self._http.send("GET", PATH, _many)

    def _row(self, slot: str) -> dict[str, Any] | None:
        try:
            return self._http.send("GET", f"{PATH}/{quote(slot, safe='')}", _one)
        except Refused as error:
            if _missing(error):
                return None
            raise


def slot_body(options: Mapping[str, str]) -> dict[str, str]:
    """The fixed body of the document, or that of its newer revision where an option of it is given."""
    newer = {key: options[key] for key in ("language", "tier") if options.get(key)}
    return {"language": "zh", **newer} if newer else {"model_id": MODEL_ID}


def _slot(journal: Journal) -> str:
    """The slot of this attempt, unless it was deleted again."""
    slot = journal.recall("slot")
    return "" if slot == journal.recall("cleaned") else slot


def _known(slot: str) -> dict[str, str]:
    """Facts once the slot is known: from now on no other is looked for."""
    return {"slot": slot, "before": ""}


def _missing(error: Refused) -> bool:
    """Whether the vendor says so: a 404 without a code of its own may come from what stands before it."""
    failure = error.failure
    return failure.code == "404" or (failure.http_status == 404 and failure.code != "")


def _one(answer: httpx.Response) -> dict[str, Any]:
    row = envelope(answer, dict)
    if not isinstance(row.get("id"), str) or not row["id"]:
        raise ValueError("no voice id in the answer")
    return row


def _many(answer: httpx.Response) -> Sequence[dict[str, Any]]:
    rows = envelope(answer, dict).get("voices")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get("id"), str) for row in rows):
        raise ValueError("no list of voices in the answer")
    return rows


def _voice(row: Mapping[str, Any]) -> Voice:
    state = str(row.get("state") or "")
    detail = {"state": state, "language": str(row.get("language") or ""), "url": str(row.get("demo_url") or "")}
    detail |= {"tier": str(row["tier"])} if row.get("tier") else {}
    name, slot = str(row.get("name") or ""), str(row["id"])
    if state == "Success":
        return Voice(slot, name, "ready", detail)
    if state == "Failed":
        return Voice(slot, name, "failed", detail, reason="state Failed; the vendor gives no reason")
    return Voice(slot, name, "training", detail)


def _option_rules(options: Mapping[str, str], known: Mapping[str, str]) -> list[RuleCheck]:
    tier, language = options.get("tier", "free"), options.get("language", "zh")
    speaks = LANGUAGES.get(tier, LANGUAGES["pro"])
    more = "" if language not in LANGUAGES["pro"] else " and --option tier=pro"
    return [
        options_known(options, known),
        RuleCheck("tier", tier in LANGUAGES, tier, " or ".join(LANGUAGES), fix="--option tier=free"),
        RuleCheck("language", language in speaks, language, " ".join(speaks), fix=f"use one of them{more}"),
    ]


_RULES: Mapping[str, tuple[str, str]] = {
    "400": ("a name of at most 20 letters, an http(s) URL, a slot that is not in training", "see the vendor's words"),
    "401": ("a valid key", "set VOXPREP_QINIU_API_KEY to a key of the Qiniu console"),
    "403": ("a paid slot is not deleted by API", "delete it in the Qiniu console"),
    "404": ("a voice that exists", "see `voxprep voices list --provider qiniu`"),
    "500": ("a service in order", "wait, then run the same command again"),
}


def read_refusal(answer: httpx.Response) -> ProviderError:
    """By the body's code where it has one, else by the status: the document does not say which of them counts."""
    said = json_object(answer)
    code, status = str(said.get("code") or ""), answer.status_code
    message = str(said.get("msg") or said.get("message") or answer.text[:300].strip() or answer.reason_phrase)
    rule, fix = _RULES.get(code or str(status), ("", ""))
    failure = ProviderFailure("qiniu", message, code, status, rule, fix)
    unnamed = code not in _RULES and (status in (408, 429) or status >= 500)
    passing = code in ("408", "429") or (code[:1] == "5" and len(code) == 3) or unnamed
    return Retryable(failure) if passing else Refused(failure)
