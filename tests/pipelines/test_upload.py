"""Uploads from a finished run folder to a real server on loopback: good, refused, faulty, twice."""

import datetime
import json
import shlex
import sqlite3
from contextlib import closing

import httpx
import pytest
from upload_kit import KEY, QUICK, creates, good_run, job, voices, wav, wire, write_consent, write_set

from pipelines.sandbox.app import running
from pipelines.sandbox.settings import PlannedFault, Settings
from pipelines.upload import RulesBroken, check_row, upload
from pipelines.voices import Wire
from prep.errors import ConfigError, OutcomeUnknown, ProviderError, Refused, Retryable
from prep.providers.ledger import Ledger, LedgerBusy

CREATE = "/qhaigc/v1/voice/model"
LISTS = "/qhaigc/v1/"


@pytest.fixture(scope="module")
def server():
    with running(Settings(hang_s=0.2, retry_after_s=0)) as here:
        yield here


@pytest.fixture
def sandbox(server):
    server.books.reset()
    return server


def fault(sandbox, kind, path=CREATE, method="POST", times=1):
    sandbox.books.plan(PlannedFault(kind, path, method, times))


def states(run):
    with closing(sqlite3.connect(run / "uploads.sqlite")) as db:
        return [row[0] for row in db.execute("SELECT state FROM enrolments ORDER BY created_at, attempt")]


def impatient(here):
    """A client that gives up reading after 50 ms: the sandbox's hanging faults become read timeouts."""

    class Short(httpx.HTTPTransport):
        def handle_request(self, request):
            request.extensions["timeout"] = {"connect": 5, "read": 0.05, "write": 5, "pool": 5}
            return super().handle_request(request)

    return Wire(here.environment, Short(), QUICK)


def test_a_voice_is_enrolled_and_the_receipt_speaks(sandbox, tmp_path):
    points = []
    result = upload(job(good_run(tmp_path), " Ann "), wire(sandbox), points.append)
    assert (result.state, result.ok) == ("enrolled", True)
    assert voices(sandbox) == ["Ann"]
    receipt = result.receipt
    assert json.loads((tmp_path / "vendors/qhaigc/receipt.json").read_text(encoding="utf-8")) == receipt
    assert receipt["voice_id"] == "Ann"
    assert receipt["consent"]["speaker"] == "Ann"
    assert receipt["base_url"] == sandbox.base_url("qhaigc")
    assert points == [
        "planned",
        "look:begun",
        "look:answered",
        "look:done",
        "create:begun",
        "create:answered",
        "create:done",
        "voice:begun",
        "voice:answered",
        "voice:done",
        "ready",
        "receipt",
        "consent",
    ]


def test_the_receipts_call_really_speaks(sandbox, tmp_path):
    """The printed curl line, taken apart and sent by another client."""
    words = shlex.split(upload(job(good_run(tmp_path), "O'Hara 私人"), wire(sandbox)).receipt["say"]["call"])
    assert words[:2] == ["curl", "-sS"]
    headers = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
    headers["Authorization"] = headers["Authorization"].replace("$VOXPREP_QHAIGC_API_KEY", KEY)
    with httpx.Client(trust_env=False) as client:
        said = client.post(words[2], headers=headers, content=words[words.index("-d") + 1].encode())
    assert said.headers["content-type"] == "audio/mpeg"


def test_dry_run_sends_nothing_and_needs_neither_key_nor_consent(sandbox, tmp_path):
    sent = []
    transport = httpx.MockTransport(lambda request: sent.append(request) or httpx.Response(500))
    result = upload(job(good_run(tmp_path), consent=None, dry_run=True), Wire({}, transport))
    assert (result.state, result.ok, result.receipt, sent) == ("dry-run", True, None, [])
    assert result.plan["audio_bytes"] == 2 * len(wav())
    assert result.plan["audio_s"] == 21.0
    assert not (tmp_path / "uploads.sqlite").exists()
    assert {check.rule for check in result.checks} >= {
        "set satisfied",
        "bytes as prepared",
        "mono",
        "file format",
    }
    json.dumps([check_row(check) for check in result.checks])


def test_dry_run_lists_every_broken_rule(tmp_path):
    problem = {"rule": "clips", "measured": 1, "limit": 2, "unit": "clips", "fix": "record more"}
    run = write_set(tmp_path, [wav(4.0)], satisfied=False, problems=[problem])
    result = upload(job(run, dry_run=True, options={}), Wire({}))
    broken = {check.rule: check for check in result.checks if check.blocks}
    assert set(broken) == {
        "set satisfied",
        "clips",
        "number of clips",
        "contact e-mail for a private voice",
        "shortest length",
    }
    assert (broken["shortest length"].measured, broken["shortest length"].where) == (4.0, "clip1.wav")
    assert broken["clips"].fix == "record more"
    assert not result.ok


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda run: write_set(run, [wav(), wav(9.0)]),
            "clip2.wav: shortest length: 9 s, limit at least 10 s. Fix: join",
        ),
        (lambda run: write_set(run, [wav(), wav(seed=2)], satisfied=False), "set satisfied"),
        (
            lambda run: (run / "vendors/qhaigc/clip2.wav").write_bytes(wav(seed=3)),
            "clip2.wav: bytes as prepared",
        ),
        (lambda run: (run / "vendors/qhaigc/clip2.wav").unlink(), "clip2.wav: size as prepared: 0 bytes"),
    ],
)
def test_broken_rules_stop_before_anything_is_sent(sandbox, tmp_path, change, words):
    change(good_run(tmp_path))
    with pytest.raises(RulesBroken) as caught:
        upload(job(tmp_path), wire(sandbox))
    assert words in str(caught.value)
    assert not sandbox.books.calls


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vendor": "nobody"}, "a set for nobody"),
        ({"clips": [{"file": "../../c.wav", "bytes": 1, "sha256": "x"}]}, "outside its folder"),
        ({"clips": [{"file": "/etc/passwd", "bytes": 1, "sha256": "x"}]}, "outside its folder"),
        ({"clips": [{"file": "a.wav"}]}, r"clips\.0\.bytes"),
        ({"satisfied": None}, "satisfied"),
    ],
)
def test_a_set_that_cannot_be_used_is_named(sandbox, tmp_path, change, words):
    write_set(tmp_path, [wav()], **change)
    with pytest.raises(ConfigError, match=words):
        upload(job(tmp_path), wire(sandbox))


def test_no_set_names_prepare(sandbox, tmp_path):
    with pytest.raises(ConfigError, match="voxprep prepare"):
        upload(job(tmp_path), wire(sandbox))


def test_missing_key_names_the_variable(sandbox, tmp_path):
    environ = {"VOXPREP_QHAIGC_BASE_URL": sandbox.base_url("qhaigc")}
    with pytest.raises(ConfigError, match="VOXPREP_QHAIGC_API_KEY"):
        upload(job(good_run(tmp_path)), Wire(environ))


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("expires = 2026-01-03\n", "ended on"),
        ('vendors = ["kling"]\n', "not qhaigc"),
        ("oops = 1\n", "oops"),
    ],
)
def test_consent_that_does_not_allow_it(sandbox, tmp_path, extra, words):
    wish = job(good_run(tmp_path), consent=write_consent(tmp_path, extra))
    with pytest.raises(ConfigError, match=words):
        upload(wish, wire(sandbox), today=datetime.date(2026, 2, 1))
    assert not sandbox.books.calls


def test_no_consent_names_the_verb_that_makes_one(sandbox, tmp_path):
    with pytest.raises(ConfigError, match="voxprep consent new"):
        upload(job(good_run(tmp_path), consent=None), wire(sandbox))


def test_a_second_run_sends_nothing_and_shows_the_receipt(sandbox, tmp_path):
    wish = job(good_run(tmp_path))
    first = upload(wish, wire(sandbox))
    (tmp_path / "vendors/qhaigc/receipt.json").unlink()
    calls = sum(sandbox.books.calls.values())
    again = upload(wish, wire(sandbox))
    assert (again.state, again.receipt) == ("already", first.receipt)
    assert sum(sandbox.books.calls.values()) == calls
    assert (tmp_path / "vendors/qhaigc/receipt.json").exists()


@pytest.mark.parametrize("kind", ["garbage", "cut", "hang-after"])
def test_a_lost_answer_is_looked_up_and_adopted(sandbox, tmp_path, kind):
    fault(sandbox, kind)
    result = upload(job(good_run(tmp_path)), impatient(sandbox))
    assert result.state == "adopted"
    assert result.receipt["adopted"] is True
    assert (creates(sandbox), voices(sandbox)) == (1, ["Ann"])


@pytest.mark.parametrize("kind", ["429", "500", "503", "hang-before"])
def test_what_was_not_carried_out_is_sent_again(sandbox, tmp_path, kind):
    fault(sandbox, kind, times=2)
    assert upload(job(good_run(tmp_path)), impatient(sandbox)).state == "enrolled"
    assert (creates(sandbox), voices(sandbox)) == (3, ["Ann"])


def test_a_vendor_that_stays_down_is_given_up_and_a_later_run_goes_on_with_the_attempt(sandbox, tmp_path):
    fault(sandbox, "503", times=5)
    with pytest.raises(Retryable, match="503"):
        upload(job(good_run(tmp_path)), wire(sandbox))
    assert (creates(sandbox), states(tmp_path)) == (5, ["failed"])
    again = upload(job(tmp_path), wire(sandbox))
    assert (again.state, again.receipt["attempt"]) == ("enrolled", 1)
    assert voices(sandbox) == ["Ann"]


def test_unknown_while_the_list_is_down_and_never_sent_again(sandbox, tmp_path):
    """The create is committed and its answer lost; then the list fails, run after run."""
    run = good_run(tmp_path)
    fault(sandbox, "hang-after")

    def lists_down(point):
        if point == "create:begun":
            fault(sandbox, "503", LISTS, "GET", 1000)

    with pytest.raises(OutcomeUnknown, match="look by hand whether qhaigc has a voice named 'Ann'"):
        upload(job(run), impatient(sandbox), lists_down)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            upload(job(run), wire(sandbox))
    assert (creates(sandbox), states(run)) == (1, ["unknown"])
    sandbox.books.faults.clear()
    assert upload(job(run), wire(sandbox)).state == "adopted"
    assert (creates(sandbox), states(run), voices(sandbox)) == (1, ["ready"], ["Ann"])


def test_a_list_that_is_down_before_anything_was_sent_is_only_a_failure(sandbox, tmp_path):
    fault(sandbox, "500", LISTS, "GET", 5)
    with pytest.raises(Retryable):
        upload(job(good_run(tmp_path)), wire(sandbox))
    assert (creates(sandbox), states(tmp_path)) == (0, ["failed"])


def test_a_taken_name_is_refused_before_sending(sandbox, tmp_path):
    upload(job(good_run(tmp_path / "one")), wire(sandbox))
    other = write_set(tmp_path / "two", [wav(seed=5), wav(seed=6)])
    with pytest.raises(Refused, match="choose another --name"):
        upload(job(other), wire(sandbox))
    assert (creates(sandbox), states(other)) == (1, ["failed"])
    assert upload(job(other, "Bea"), wire(sandbox)).state == "enrolled"


def test_a_name_taken_by_a_voice_this_key_does_not_see(tmp_path):
    with running(Settings(keys=("sk-a", "sk-b"))) as here:
        upload(job(good_run(tmp_path)), wire(here))
        other = good_run(tmp_path / "other")
        with pytest.raises(Refused, match="already exists") as caught:
            upload(job(other), wire(here, VOXPREP_QHAIGC_API_KEY="sk-b"))
        assert "--name" in caught.value.failure.fix
        assert caught.value.failure.http_status == 400
        assert states(other) == ["failed"]


def test_a_create_that_ends_late_is_adopted_by_the_next_try(sandbox, tmp_path, monkeypatch):
    """Lost, not in the list yet; sent again, refused as taken; now in the list: it is ours."""
    fault(sandbox, "hang-after")
    short = impatient(sandbox)
    empty = httpx.Response(200, json={"success": True, "voice_characters": [], "total": 0})
    looks = []

    class Late(type(short.transport)):
        def handle_request(self, request):
            if request.method == "GET" and len(looks) < 3:
                looks.append(request)
                return empty
            return super().handle_request(request)

    result = upload(job(good_run(tmp_path)), Wire(sandbox.environment, Late(), QUICK))
    assert result.state == "adopted"
    assert (creates(sandbox), voices(sandbox)) == (2, ["Ann"])


def test_wrong_key(sandbox, tmp_path):
    bad = "sk-wrong-but-secret"
    with pytest.raises(Refused, match="Invalid API key") as caught:
        upload(job(good_run(tmp_path)), wire(sandbox, VOXPREP_QHAIGC_API_KEY=bad))
    assert "VOXPREP_QHAIGC_API_KEY" in caught.value.failure.fix
    assert caught.value.failure.code == "invalid_api_key"
    assert bad not in str(caught.value)


def test_nobody_there(tmp_path):
    with running() as here:
        gone = here
    with pytest.raises(Retryable, match="cannot be reached"):
        upload(job(good_run(tmp_path)), wire(gone))


def test_the_key_is_in_no_file(sandbox, tmp_path):
    key = "sk-needle-in-no-haystack"
    with running(Settings(keys=(key,))) as here:
        run = good_run(tmp_path)
        result = upload(job(run), wire(here))
        here.books.reset()
        fault(here, "500", times=9)
        with pytest.raises(ProviderError) as caught:
            upload(job(run, "Bea"), wire(here))
    assert key not in f"{result!r} {caught.value!r} {caught.value}"
    for file in [path for path in run.rglob("*") if path.is_file()]:
        assert key.encode() not in file.read_bytes(), file


def test_two_uploads_on_one_ledger(sandbox, tmp_path):
    with (
        Ledger.open(good_run(tmp_path) / "uploads.sqlite"),
        pytest.raises(LedgerBusy, match="another upload"),
    ):
        upload(job(tmp_path), wire(sandbox))
    assert creates(sandbox) == 0


def test_another_address_is_another_enrolment(sandbox, tmp_path):
    run = good_run(tmp_path)
    first = upload(job(run), wire(sandbox)).receipt
    with running() as elsewhere:
        second = upload(job(run, base_url=elsewhere.base_url("qhaigc")), wire(sandbox)).receipt
        assert voices(elsewhere) == ["Ann"]
    assert first["enrolment_id"] != second["enrolment_id"]
