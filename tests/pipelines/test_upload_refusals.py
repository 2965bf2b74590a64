"""What vendors refuse, in their own words, with the rule and the fix; and what is stopped before they see it."""

import json
import time
from contextlib import closing
from dataclasses import replace

import jwt
import pytest
from sandbox_kit import SAID, speech
from seaweed_kit import seaweed
from upload_kit import (
    BY_URL,
    VENDORS,
    creates,
    environment,
    good_run,
    job,
    served,
    wav,
    where,
    wire,
    write_consent,
    write_set,
)

from pipelines import cli
from pipelines.sandbox.app import running
from pipelines.sandbox.settings import Settings
from pipelines.upload import RulesBroken, upload
from pipelines.voices import Wire, account_for, connect, list_voices
from prep.errors import ConfigError, OutcomeUnknown, ProviderError, Refused
from prep.hosting import open_hosting
from prep.providers.base import EnrolRequest, SampleFile
from prep.providers.notes import Notes

NO_CREDIT = {
    # vendor: (its own words or code, a word of our fix)
    "ai302": ("-10006", "top it up"),
    "kling": ("1102", "waiting does not help"),
    "qwen": ("Arrearage", "pay the account"),
}
WRONG_KEY = {
    "ai302": ("-10001", "VOXPREP_AI302_API_KEY"),
    "kling": ("1002", "VOXPREP_KLING_API_KEY"),
    "qhaigc": ("invalid_api_key", "VOXPREP_QHAIGC_API_KEY"),
    "qiniu": ("401", "VOXPREP_QINIU_API_KEY"),
    "qwen": ("InvalidApiKey", "keys are per region"),
}


@pytest.fixture(scope="module")
def server():
    with running(Settings(train_s=0.02, hang_s=0.2, retry_after_s=0)) as here:
        yield here


@pytest.fixture
def sandbox(server):
    server.books.reset()
    return server


@pytest.fixture
def www(tmp_path):
    with served(tmp_path / "www") as spec:
        yield spec


def keyed(sandbox, vendor, key):
    return wire(sandbox, **{f"VOXPREP_{vendor.upper()}_API_KEY": key})


def sent(sandbox, vendor, name="Ann", sample=None, url="", **options):
    """Straight to the vendor, past our own rules: what it says itself."""
    made = sample or SampleFile.of("a.wav", speech(12.0), SAID)
    made = replace(made, url=url, text_confidence=0.95)
    samples = (made, made) if vendor == "qhaigc" else (made,)
    options = options or ({"contact_email": "a@b.c"} if vendor == "qhaigc" else {})
    request = EnrolRequest(name, samples, options, "0123456789abcdef" * 2, bool(url))
    with where(sandbox, vendor).open() as provider:
        voice = provider.enrol(request, Notes())
        while voice.status == "training":
            time.sleep(0.01)
            voice = provider.status(voice)
    return voice


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_wrong_key(sandbox, tmp_path, www, vendor):
    hosting = www if vendor in BY_URL else ""
    code, fix = WRONG_KEY[vendor]
    with pytest.raises(Refused) as caught:
        upload(
            job(good_run(tmp_path, vendor), vendor=vendor, hosting=hosting), keyed(sandbox, vendor, "sk-wrong-key-9")
        )
    failure = caught.value.failure
    assert (failure.http_status, failure.code) == (401, code)
    assert failure.message
    assert fix in failure.fix
    assert "sk-wrong-key-9" not in str(caught.value)
    assert list((tmp_path / "www").iterdir()) == []
    assert not any(b"sk-wrong-key-9" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("vendor", NO_CREDIT)
def test_no_credit_is_not_waited_for(sandbox, tmp_path, www, vendor):
    hosting = www if vendor in BY_URL else ""
    code, fix = NO_CREDIT[vendor]
    with pytest.raises(Refused) as caught:
        upload(
            job(good_run(tmp_path, vendor), vendor=vendor, hosting=hosting), keyed(sandbox, vendor, "sk-sandbox-poor")
        )
    assert caught.value.failure.code == code
    assert fix in caught.value.failure.fix
    assert creates(sandbox, vendor) <= 1


def test_an_expired_token_is_signed_anew(sandbox, tmp_path, www):
    """The clock of this machine runs half an hour late, then is set: the first token is refused as expired."""
    environ = environment(sandbox, VOXPREP_KLING_ACCESS_KEY="ak-sandbox", VOXPREP_KLING_SECRET_KEY="sk-sandbox-secret")
    del environ["VOXPREP_KLING_API_KEY"]
    account = account_for("kling", wire=Wire(environ))
    with connect(account, Wire(environ, backoff=wire(sandbox).backoff)) as provider:
        late = [time.time() - 4000]
        provider._tokens._now = lambda: late.pop() if late else time.time()
        assert provider.list() == ()
    codes = [one.headers["authorization"] for one in sandbox.books.requests]
    assert len(codes) == 2


def test_an_expired_token_that_cannot_be_renewed_is_said(sandbox):
    old = jwt.encode({"iss": "ak-sandbox", "exp": int(time.time()) - 10, "nbf": 0}, "sk-sandbox-secret" * 2)
    with pytest.raises(Refused) as caught:
        list_voices(replace(where(sandbox, "kling"), wire=keyed(sandbox, "kling", old)))
    assert caught.value.failure.code in ("1002", "1004")
    assert old not in str(caught.value)


def test_a_taken_name(sandbox, tmp_path):
    upload(job(good_run(tmp_path / "one")), wire(sandbox))
    with pytest.raises(Refused, match=r"exists there already.*another --name"):
        upload(job(write_set(tmp_path / "two", [wav(seed=3), wav(seed=4)])), wire(sandbox))
    with pytest.raises(Refused, match=r"already exists.*another --name"):
        sent(sandbox, "qhaigc")


@pytest.mark.parametrize("vendor", ["kling", "qiniu"])
def test_a_name_that_is_too_long_is_shortened_and_the_original_kept(sandbox, tmp_path, www, vendor):
    name = "The voice of Ann Müller, reading"
    result = upload(job(good_run(tmp_path, vendor), name, vendor, hosting=www), wire(sandbox))
    assert result.receipt["name"] == name
    assert len(result.receipt["sent_name"]) <= 20
    assert result.receipt["sent_name"].startswith("The voice of An")


@pytest.mark.parametrize(("vendor", "code"), [("kling", "1201"), ("qiniu", "400")])
def test_the_vendors_own_words_on_a_name_that_is_too_long(sandbox, monkeypatch, vendor, code):
    monkeypatch.setattr(f"prep.providers.{vendor}.name_within", lambda name, limits: name)
    with pytest.raises(Refused) as caught:
        sent(sandbox, vendor, name="n" * 21, url="http://127.0.0.1:9/a.wav")
    failure = caught.value.failure
    assert failure.code == code
    assert "name" in failure.message
    assert "20 letters" in failure.rule
    assert failure.fix


@pytest.mark.parametrize(
    ("vendor", "seconds", "rule", "limit"),
    [("kling", 4.0, "length", "5 to 30"), ("qwen", 2.0, "speech without a pause", "at least 3")],
)
def test_a_clip_that_is_too_short_is_stopped_before_anything_is_sent(
    sandbox, tmp_path, www, vendor, seconds, rule, limit
):
    run = write_set(tmp_path, [speech(seconds)], vendor)
    with pytest.raises(RulesBroken) as caught:
        upload(job(run, vendor=vendor, hosting=www), wire(sandbox))
    broken = {check.rule: check for check in caught.value.checks if check.blocks}
    assert broken[rule].limit == limit
    assert broken[rule].measured <= seconds
    assert "voxprep prepare" in broken[rule].fix
    assert not sandbox.books.calls


def test_the_vendors_own_words_on_a_clip_that_is_too_short(sandbox, tmp_path, www):
    with closing(open_hosting(www, {})) as host:
        key = host.place(b"", ".wav")
        url = host.put(key, speech(4.0), "audio/wav").url
    voice = sent(sandbox, "kling", url=url)
    assert (voice.status, "4.00 s" in voice.reason) == ("failed", True)
    with pytest.raises(Refused, match="No segments meet minimum duration requirement"):
        sent(sandbox, "qwen", sample=SampleFile.of("a.wav", speech(2.0), ""))


def test_16_khz_for_qwen(sandbox, tmp_path):
    run = write_set(tmp_path, [speech(12.0, 16_000)], "qwen")
    with pytest.raises(RulesBroken, match="sample rate: 16000 Hz, limit at least 24000 Hz"):
        upload(job(run, vendor="qwen"), wire(sandbox))
    assert not sandbox.books.calls
    with pytest.raises(Refused) as caught:
        sent(sandbox, "qwen", sample=SampleFile.of("a.wav", speech(12.0, 16_000), ""))
    failure = caught.value.failure
    assert (failure.code, failure.rule) == ("Audio.AudioRateError", "at least 24 kHz")
    assert "voxprep prepare --for qwen" in failure.fix


def test_base64_over_the_limit(sandbox, tmp_path, www):
    """48 kHz of 80 s: 7.68 MB as it is, which is allowed, and 10.24 MB once encoded, which is not."""
    big = speech(80.0, 48_000)
    run = write_set(tmp_path, [big], "qwen")
    result = upload(job(run, vendor="qwen", dry_run=True), Wire({}))
    broken = {check.rule: check for check in result.checks if check.blocks}
    assert set(broken) == {"size as base64", "longest length"}
    assert broken["size as base64"].measured == len("data:audio/wav;base64,") + 4 * -(-len(big) // 3)
    assert "--hosting" in broken["size as base64"].fix
    hosted = upload(job(run, vendor="qwen", dry_run=True, hosting=www), Wire({}))
    assert {check.rule for check in hosted.checks if check.blocks} == {"longest length"}
    with pytest.raises(Refused, match="base64"):
        sent(sandbox, "qwen", sample=SampleFile.of("a.wav", big, ""))


def test_a_text_that_does_not_match_is_left_out_the_second_time(sandbox, tmp_path):
    run = write_set(tmp_path, [speech(12.0)], "qwen")
    path = run / "vendors/qwen/set.json"
    listing = json.loads(path.read_text(encoding="utf-8"))
    listing["clips"][0]["text"] = "word " * 400
    path.write_text(json.dumps(listing), encoding="utf-8")
    result = upload(job(run, vendor="qwen"), wire(sandbox))
    assert (result.state, creates(sandbox, "qwen")) == ("enrolled", 2)
    assert "does not match" in result.receipt["detail"]["text"]
    assert len(sandbox.books.stores["qwen"]) == 1


def test_a_text_that_does_not_match_and_was_asked_for_is_refused_with_the_fix(sandbox):
    sample = SampleFile.of("a.wav", speech(2.0), "word " * 400)
    with pytest.raises(Refused) as caught:
        sent(sandbox, "qwen", sample=sample, text="yes")
    assert "text=no" in caught.value.failure.fix


@pytest.mark.parametrize("vendor", BY_URL)
def test_a_url_that_is_not_reachable_is_found_out_before_the_vendor_is_told(sandbox, tmp_path, vendor):
    spec = f"dir:{tmp_path}=http://127.0.0.1:9"  # nobody listens there
    with pytest.raises(ProviderError, match="hosting"):
        upload(job(good_run(tmp_path, vendor), vendor=vendor, hosting=spec), wire(sandbox))
    assert creates(sandbox, vendor) == 0
    assert not list(tmp_path.glob("*.wav"))


def test_the_vendors_own_words_on_a_url_it_cannot_reach(sandbox):
    voice = sent(sandbox, "kling", url="http://127.0.0.1:9/a.wav")
    assert (voice.status, bool(voice.reason)) == ("failed", True)
    with pytest.raises(Refused) as caught:
        sent(sandbox, "qwen", url="http://127.0.0.1:9/a.wav")
    assert caught.value.failure.code == "BadRequest.InputDownloadFailed"
    assert "--hosting" in caught.value.failure.fix


def test_a_file_that_is_not_what_is_seen_at_the_users_link(sandbox, tmp_path):
    with served(tmp_path / "mine") as spec:
        (tmp_path / "mine" / "a.wav").write_bytes(speech(11.0))
        link = f"url:{spec.partition('=')[2]}/a.wav"
        with pytest.raises(Refused, match="hosting"):
            upload(job(good_run(tmp_path, "kling"), vendor="kling", hosting=link), wire(sandbox))
        (tmp_path / "mine" / "a.wav").write_bytes(speech(12.0))
        assert upload(job(tmp_path, vendor="kling", hosting=link), wire(sandbox)).state == "enrolled"
        assert (tmp_path / "mine" / "a.wav").exists()  # the user's own file stays


@pytest.mark.parametrize("vendor", BY_URL)
def test_without_hosting_it_ends_before_any_call_with_the_choices_and_the_file(sandbox, tmp_path, vendor):
    with pytest.raises(ConfigError) as caught:
        upload(job(good_run(tmp_path, vendor), vendor=vendor), wire(sandbox))
    said = str(caught.value)
    assert all(word in said for word in ("s3://", "dir:PATH=URL", "ai302", "url:https://"))
    assert str(tmp_path / "vendors" / vendor / "clip1.wav") in said
    assert not sandbox.books.calls
    assert not (tmp_path / "uploads.sqlite").exists()


def test_a_host_only_this_machine_sees_is_no_host_for_a_vendor_elsewhere(tmp_path, www):
    environ = {"VOXPREP_KLING_API_KEY": "sk-real"}
    with pytest.raises(ConfigError, match="only on this machine"):
        upload(job(good_run(tmp_path, "kling"), vendor="kling", hosting=www), Wire(environ, refuses_all()))
    assert list((tmp_path / "www").iterdir()) == []


def refuses_all():
    """A network in which Kling knows of nothing: whatever is created fails the test."""
    import httpx

    def answer(asked):
        assert asked.method == "GET"
        return httpx.Response(404, json={"code": 1203, "message": "not found", "request_id": "r", "data": None})

    return httpx.MockTransport(answer)


def test_302_does_not_go_to_the_real_host_with_paths_nobody_published(tmp_path, www):
    wish = job(good_run(tmp_path, "ai302"), vendor="ai302", hosting=www)
    with pytest.raises(RulesBroken, match="VOXPREP_AI302_CLONE_PATH"):
        upload(wish, Wire({"VOXPREP_AI302_API_KEY": "sk-real"}, refuses_all()))


def test_302_loses_an_answer_and_never_sends_again(sandbox, tmp_path, www):
    from pipelines.sandbox.settings import PlannedFault

    sandbox.books.plan(PlannedFault("garbage", "/ai302/302/higgs_audio", "POST"))
    for _ in range(3):
        with pytest.raises(OutcomeUnknown, match=r"console of ai302.*never sent again.*another --name"):
            upload(job(good_run(tmp_path, "ai302"), vendor="ai302", hosting=www), wire(sandbox))
    assert creates(sandbox, "ai302") == 1
    assert list((tmp_path / "www").iterdir()) == []


@pytest.mark.parametrize("vendor", ["elevenlabs", "minimax", "fish", "cartesia", "cosyvoice", "siliconflow"])
def test_vendors_that_are_only_prepared_for_say_where_to_go(tmp_path, capsys, vendor):
    code = cli.run(["upload", str(tmp_path), "--to", vendor, "--name", "Ann", "--dry-run"])
    said = capsys.readouterr().err
    assert code == 2
    assert "does not upload" in said
    assert f"vendors/{vendor}" in said


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_key_is_ever_shown(sandbox, tmp_path, www, capsys, monkeypatch, vendor):
    """Through the command line, good and bad: the key is in no output and no file."""
    key = "sk-sandbox"
    for name, value in environment(sandbox).items():
        monkeypatch.setenv(name, value)
    run = good_run(tmp_path, vendor)
    hosting = ["--hosting", www] if vendor in BY_URL else []
    mail = ["--option", "contact_email=a@b.c"] if vendor == "qhaigc" else []
    call = ["upload", str(run), "--to", vendor, "--name", "Ann", *hosting, *mail]
    consent = ["--consent", str(write_consent(tmp_path))]
    assert cli.run([*call, "--dry-run"]) == 0
    assert cli.run([*call, *consent, "--events", str(tmp_path / "events.ndjson")]) == 0
    assert cli.run(["voices", "list", "--provider", vendor]) == (1 if vendor == "ai302" else 0)
    assert cli.run(["doctor", "--for", vendor, *hosting]) == 0
    monkeypatch.setenv(f"VOXPREP_{vendor.upper()}_API_KEY", "sk-sandbox-wrong")
    assert cli.run(["upload", *call[1 : -len(mail) or None], *mail, *consent]) in (0, 1)
    shown = capsys.readouterr()
    assert key not in shown.out.replace("127.0.0.1", "")
    assert key not in shown.err
    assert not any(key.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_presigned_hosting_on_a_real_s3_server(sandbox, tmp_path):
    with seaweed(tmp_path / "s3") as s3:
        environ = {**environment(sandbox), **s3.environ}
        run = good_run(tmp_path / "run", "kling")
        result = upload(
            job(run, vendor="kling", hosting=f"s3://{s3.bucket}/voxprep"), Wire(environ, backoff=wire(sandbox).backoff)
        )
        assert (result.state, result.left) == ("enrolled", ())
        (create,) = [one for one in sandbox.books.requests if one.method == "POST"]
        url = json.loads(create.body)["voice_url"]
        assert "X-Amz-Signature=" in url
        import httpx

        with httpx.Client(trust_env=False) as client:
            assert client.get(url).status_code in (403, 404)  # it is gone
        secrets = (s3.secret_key.encode(), b"X-Amz-Signature")
        files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
        assert not any(secret in path.read_bytes() for path in files for secret in secrets)
