"""Our Qwen client: every row of the vendor's error table, and every rule; the size as base64 to the byte."""

import httpx
import pytest
from provider_kit import KEY, Notes, limits_of, request_of, sample
from test_provider_qwen import REALTIME, Vendor, failing, wish

from prep.errors import OutcomeUnknown, Refused, Retryable
from prep.providers.qwen import create_body


@pytest.mark.parametrize(
    "body", [b"{", b"", b"[]", b"{}", b'{"output": {}}', b'{"output": {"voice": ""}}', b'{"output": {"voice": 3}}']
)
def test_garbage_is_a_lost_answer(body):
    vendor = Vendor(create=httpx.Response(200, content=body), list=httpx.Response(200, content=body))
    with pytest.raises(OutcomeUnknown, match="unreadable"):
        vendor.open().enrol(wish(), Notes())
    assert len(vendor.asked) == 1
    with pytest.raises(Retryable, match="unreadable"):
        vendor.open().list()


NO = (Refused, Refused)
YES = (Retryable, Retryable)
LOST = (OutcomeUnknown, Retryable)
AGAIN = "run the same command again"
REFUSALS = [
    # HTTP, code, what a create and a query become, a word of the fix
    (400, "InvalidParameter", NO, "--dry-run"),
    (400, "Audio.PreprocessError", NO, "text=no"),
    (400, "Audio.DecoderError", NO, "prepare --for qwen"),
    (400, "Audio.AudioRateError", NO, "24 kHz"),
    (400, "Audio.DurationLimitError", NO, "prepare --for qwen"),
    (400, "BadRequest.VoiceNotFound", NO, "voices list"),
    (400, "BadRequest.InputDownloadFailed", NO, "--hosting"),
    (400, "BadRequest.UnsupportedFileFormat", NO, "prepare --for qwen"),
    (400, "BadRequest.ResourceNotExist", NO, "--hosting"),
    (400, "Arrearage", NO, "pay"),
    (401, "InvalidApiKey", NO, "region"),
    (401, "NOT AUTHORIZED", NO, "workspace"),
    (403, "AccessDenied", NO, "console"),
    (403, "AccessDenied.Unpurchased", NO, "console"),
    (403, "Model.AccessDenied", NO, "console"),
    (403, "Workspace.AccessDenied", NO, "console"),
    (403, "AllocationQuota.FreeTierOnly", NO, "free tier only"),
    (404, "ModelNotFound", NO, "target_model"),
    (404, "WorkSpaceNotFound", NO, "workspace"),
    (404, "NotFound", NO, "VOXPREP_QWEN_BASE_URL"),
    (429, "Throttling", YES, AGAIN),
    (429, "Throttling.RateQuota", YES, AGAIN),
    (429, "Throttling.BurstRate", YES, AGAIN),
    (429, "Throttling.AllocationQuota", YES, "quota"),
    (429, "CommodityNotPurchased", NO, "billing"),
    (429, "PrepaidBillOverdue", NO, "billing"),
    (429, "PostpaidBillOverdue", NO, "billing"),
    (500, "InternalError", LOST, AGAIN),
    (500, "InternalError.Timeout", LOST, AGAIN),
    (500, "SystemError", LOST, AGAIN),
    (500, "ModelServiceFailed", LOST, AGAIN),
    (500, "RequestTimeOut", LOST, AGAIN),
    (503, "ModelUnavailable", LOST, AGAIN),
    (503, "ModelServingError", LOST, AGAIN),
    (400, "Unheard.Of", NO, ""),
    (502, "", LOST, ""),
]


@pytest.mark.parametrize(("status", "code", "errors", "fix"), REFUSALS)
def test_every_row_of_the_error_table(status, code, errors, fix):
    vendor = Vendor(create=failing(code, status), list=failing(code, status))
    provider = vendor.open()
    for ask, error in zip((lambda: provider.enrol(wish(words=""), Notes()), provider.list), errors, strict=True):
        vendor.asked.clear()
        with pytest.raises(error) as caught:
            ask()
        failure = caught.value.failure
        assert type(caught.value) is error
        assert (failure.message, failure.code, failure.http_status) == ("the vendor's words", code, status)
        assert len(vendor.asked) == (5 if error is Retryable else 1)
        assert fix in failure.fix
        assert bool(failure.rule) == bool(fix)


def test_the_key_is_blotted_out_of_what_the_vendor_says():
    with pytest.raises(Refused) as caught:
        Vendor(list=failing("InvalidApiKey", 401, f"no such key {KEY}")).open().ping()
    assert KEY not in str(caught.value) + repr(caught.value.failure)


def broken(request):
    checks = Vendor().open().validate(request)
    assert all(check.fix for check in checks if not check.ok)
    return {check.rule for check in checks if check.blocks}


@pytest.mark.parametrize(
    ("request_", "rules"),
    [
        (request_of(sample(), by_url=False), set()),
        (request_of(sample(), name="关羽", language="zh", text="yes", target_model=REALTIME), set()),
        (request_of(sample(), language="xx"), {"language"}),
        (request_of(sample(), text="maybe"), {"text"}),
        (request_of(sample(), target_model="gpt"), {"target_model"}),
        (request_of(sample(), target_model=""), {"target_model"}),
        (request_of(sample(), colour="red"), {"options known"}),
        (request_of(), {"number of clips"}),
        (request_of(sample(), sample()), {"number of clips"}),
        (request_of(sample(duration_s=60.01)), {"longest length"}),
        (request_of(sample(duration_s=60.0)), set()),
        (request_of(sample(sample_rate=16000)), {"sample rate"}),
        (request_of(sample(longest_speech_s=2.9)), {"speech without a pause"}),
        (request_of(sample(longest_speech_s=None)), {"speech without a pause"}),
        (request_of(sample(encoding="WAV FLOAT")), {"sample encoding"}),
    ],
)
def test_each_rule(request_, rules):
    assert broken(request_) == rules


def test_the_size_as_base64_is_that_of_the_very_data_url():
    fits, too_large = (sample(n_bytes=count) for count in (7_499_982, 7_499_983))
    most = next(limit.max for limit in limits_of("qwen") if limit.rule == "base64_bytes")
    assert most == 9_999_999
    for count in (1, 2, 3, 4, 100):
        given = sample(bytes(count))
        body = create_body(request_of(given, by_url=False), "n", "")
        check = next(c for c in Vendor().open().validate(request_of(given, by_url=False)) if c.rule == "size as base64")
        assert check.measured == len(body["input"]["audio"]["data"])
    assert broken(request_of(fits, by_url=False)) == set()
    assert broken(request_of(too_large, by_url=False)) == {"size as base64"}
    assert broken(request_of(too_large, by_url=True)) == set()
    assert broken(request_of(sample(n_bytes=10_000_000), by_url=True)) == {"file size"}
