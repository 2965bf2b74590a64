"""Kling's signatures: the token we sign, when it is signed anew, and callbacks that are not believed."""

import base64
import hashlib
import hmac
import json

import httpx
import pytest
from provider_kit import PATIENT, Answers, Notes, limits_of, request_of, sample

from prep.errors import Refused
from prep.providers.account import Secret
from prep.providers.kling import Kling
from prep.providers.kling_keys import BadCallback, Tokens, sign, verify_callback

VECTOR = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJpc3MiOiJhay10ZXN0IiwiZXhwIjoxNzAwMDAxODAwLCJuYmYiOjE2OTk5OTk5OTV9"
    ".tMljlG8Xy1G8AKj5WkEZRcRIADvbH0FP6wgzpwHAfs4"
)
SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
STAMP = 1781080794
BODY = b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}'
SIGNATURE = "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="
HEADERS = {"webhook-id": "9876543210", "webhook-timestamp": str(STAMP), "webhook-signature": SIGNATURE}


def test_the_token_is_the_vendors_own_vector():
    assert sign("ak-test", "sk-test", 1_700_000_000) == VECTOR


@pytest.mark.parametrize("access", ['a"b\\c', "a" * 64])
def test_a_token_reads_back(access):
    head, claims, signature = sign(access, "sk-test", 1_700_000_000).split(".")
    wanted = hmac.new(b"sk-test", f"{head}.{claims}".encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=") == wanted
    said = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert said == {"iss": access, "exp": 1_700_001_800, "nbf": 1_699_999_995}


def test_a_token_is_kept_for_eighty_percent_of_its_life():
    now = [1_700_000_000.9]
    tokens = Tokens(Secret("ak-test"), Secret("sk-test"), lambda: now[0])
    first = tokens()
    assert first.reveal() == VECTOR
    now[0] += 1439.9
    assert tokens() is first
    now[0] += 0.2
    second = tokens()
    assert second.reveal() != first.reveal()
    tokens.renew()
    assert tokens() is not second
    assert VECTOR not in repr(first) + str(first)


def opened(vendor, now):
    account = vendor.account(key=None, pair=("ak-test", "sk-test"))
    client = httpx.Client(transport=httpx.MockTransport(vendor.handle))
    return Kling(account, client, PATIENT, limits_of("kling"), now)


def expired():
    return httpx.Response(401, json={"code": 1004, "message": "token expired", "request_id": "r"})


def test_an_expired_token_is_signed_anew_and_the_create_repeated():
    times = iter([1_700_000_000.0, 1_700_000_010.0])
    made = httpx.Response(200, json={"code": 0, "data": {"task_id": "1", "task_status": "submitted"}})
    vendor = Answers("kling", {"POST custom-voices": [expired(), made]})
    assert opened(vendor, lambda: next(times)).enrol(request_of(sample(url="https://x/a.wav")), Notes()).handle == "1"
    sent = [asked.headers["authorization"] for asked in vendor.asked]
    assert sent == [f"Bearer {VECTOR}", f"Bearer {sign('ak-test', 'sk-test', 1_700_000_010)}"]
    assert vendor.asked[0].content == vendor.asked[1].content


def test_a_vendor_that_always_says_expired_is_asked_no_more_than_five_times():
    vendor = Answers("kling", {"GET custom-voices": expired()})
    with pytest.raises(Exception, match="token expired") as caught:
        opened(vendor, lambda: 1_700_000_000.0).ping()
    assert len(vendor.asked) == 5
    assert VECTOR not in str(caught.value)


def test_one_token_serves_many_requests():
    vendor = Answers("kling", {"GET custom-voices": httpx.Response(200, json={"code": 0, "data": []})})
    provider = opened(vendor, lambda: 1_700_000_000.0)
    provider.ping()
    provider.ping()
    assert {asked.headers["authorization"] for asked in vendor.asked} == {f"Bearer {VECTOR}"}


def test_keys_and_tokens_are_blotted_out_of_refusals():
    words = f"bad token {VECTOR} of ak-test with sk-test"
    vendor = Answers("kling", {"GET custom-voices": httpx.Response(401, json={"code": 1002, "message": words})})
    with pytest.raises(Refused) as caught:
        opened(vendor, lambda: 1_700_000_000.0).ping()
    assert caught.value.failure.message == "bad token *** of *** with ***"


def test_the_callback_vector():
    told = verify_callback(HEADERS, BODY, SECRET, STAMP)
    assert (told.webhook_id, told.task_id, told.status, told.voices) == ("9876543210", "1234567890", "succeeded", ())
    upper = {name.upper(): value for name, value in HEADERS.items()}
    assert verify_callback(upper, BODY, SECRET, STAMP + 300) == verify_callback(HEADERS, BODY, SECRET, STAMP - 300)


def test_the_second_of_two_signatures_is_enough():
    both = HEADERS | {"webhook-signature": f"v1,{base64.b64encode(bytes(32)).decode()} {SIGNATURE}"}
    assert verify_callback(both, BODY, SECRET, STAMP).task_id == "1234567890"


@pytest.mark.parametrize(
    ("changes", "body", "secret", "now_s"),
    [
        ({}, BODY, "whsec_b3RoZXI=", STAMP),
        ({}, BODY, "whsec_", STAMP),
        ({}, BODY, "", STAMP),
        ({}, BODY, "whsec_!", STAMP),
        ({}, BODY, SECRET, STAMP + 301),
        ({}, BODY, SECRET, STAMP - 301),
        ({}, BODY.replace(b"succeeded", b"submitted"), SECRET, STAMP),
        ({}, BODY + b" ", SECRET, STAMP),
        ({"webhook-id": "1"}, BODY, SECRET, STAMP),
        ({"webhook-timestamp": str(STAMP + 1)}, BODY, SECRET, STAMP),
        ({"webhook-timestamp": "soon"}, BODY, SECRET, STAMP),
        ({"webhook-timestamp": "9" * 400}, BODY, SECRET, STAMP),
        ({"webhook-timestamp": "9" * 5000}, BODY, SECRET, STAMP),
        ({"webhook-signature": ""}, BODY, SECRET, STAMP),
        ({"webhook-signature": SIGNATURE.replace("v1", "v2")}, BODY, SECRET, STAMP),
        ({"webhook-signature": "v1,é"}, BODY, SECRET, STAMP),
    ],
)
def test_callbacks_that_are_not_believed(changes, body, secret, now_s):
    with pytest.raises(BadCallback) as caught:
        verify_callback(HEADERS | changes, body, secret, now_s)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("missing", sorted(HEADERS))
def test_each_header_is_needed(missing):
    headers = {name: value for name, value in HEADERS.items() if name != missing}
    with pytest.raises(BadCallback, match=missing):
        verify_callback(headers, BODY, SECRET, STAMP)


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_nobody_signs_with_an_empty_secret(secret):
    forged = base64.b64encode(hmac.new(b"", f"1.{STAMP}.".encode() + BODY, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "1", "webhook-timestamp": str(STAMP), "webhook-signature": f"v1,{forged}"}
    with pytest.raises(BadCallback, match="empty"):
        verify_callback(headers, BODY, secret, STAMP)


def signed(body):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, f"1.{STAMP}.".encode() + raw, hashlib.sha256).digest()
    headers = {"webhook-id": "1", "webhook-timestamp": str(STAMP)}
    return headers | {"webhook-signature": "v1," + base64.b64encode(digest).decode()}, raw


def test_both_body_forms():
    row = {"voice_id": "v1", "voice_name": "Ann", "trial_url": "https://x", "owned_by": "1"}
    old = {
        "task_id": "t",
        "task_status": "succeed",
        "task_status_msg": "fine",
        "task_info": {"external_task_id": "ours"},
        "task_result": {"voices": [row]},
    }
    told = verify_callback(*signed(old), SECRET, STAMP)
    assert (told.task_id, told.external_task_id, told.status, told.message) == ("t", "ours", "succeed", "fine")
    assert told.voices == (row,)
    made = {"type": "voice", "id": "v1", "name": "Ann", "url": "https://x", "owned_by": "1", "status": "succeeded"}
    gone, image = made | {"id": "v2", "status": "deleted"}, {"type": "image", "id": "i"}
    new = {"id": "t", "status": "succeeded", "message": "", "external_id": "ours", "outputs": [made, gone, image]}
    told = verify_callback(*signed(new), SECRET, STAMP)
    assert (told.task_id, told.external_task_id, told.status) == ("t", "ours", "succeeded")
    assert told.voices == (made,)


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b"\xff", b"[" * 100_000])
def test_a_signed_callback_that_is_no_object(body):
    with pytest.raises(BadCallback, match="no JSON"):
        verify_callback(*signed(body), SECRET, STAMP)


@pytest.mark.parametrize("body", [{}, {"task_info": 3, "task_result": []}, {"outputs": "x"}, {"outputs": [1, None]}])
def test_a_signed_callback_with_little_in_it(body):
    assert verify_callback(*signed(body), SECRET, STAMP).voices == ()
