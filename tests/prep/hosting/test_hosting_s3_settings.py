"""What our S3 host makes of specs, AWS variables and a library's error text; nothing here reaches a server."""

import subprocess
import sys

import pytest

from prep.errors import ConfigError, Refused, Retryable
from prep.hosting import open_hosting
from prep.hosting.base import checked_name
from prep.hosting.s3 import _address
from prep.hosting.s3_errors import translated
from prep.providers.http import Backoff

DATA = b"RIFF"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "very-secret"}
ELSEWHERE = {**KEYS, "AWS_ENDPOINT_URL_S3": "https://s3.example.com"}
TOKEN = "session-token-in-full"
MALFORMED = (
    " // ///prefix //UPPER/x //b //voices//x //voices/../x //voices/声音 //voices/./x //id:pass@voices/x /voices/x"
)


def test_a_key_is_fresh_below_the_prefix_and_keeps_the_ending():
    host = open_hosting("s3://voices/a/b/", ELSEWHERE)
    keys = {host.place(DATA, ".WAV") for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("a/b/") and key.endswith(".wav") for key in keys)
    assert all(checked_name(key.rpartition("/")[2]) for key in keys)
    assert host.spec == "s3://voices/a/b"


@pytest.mark.parametrize("suffix", ["", "wav", ".w/v", "..", ".语音", ".verylong"])
def test_a_file_without_a_plain_ending_is_not_hosted(suffix):
    with pytest.raises(ConfigError, match=r"ending like \.wav"):
        open_hosting("s3://voices", ELSEWHERE).place(DATA, suffix)


def test_out_of_reach_is_tried_again_and_says_so():
    pauses_s = []
    nobody = {**KEYS, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    host = open_hosting("s3://voices", nobody, backoff=Backoff(tries=3, sleep=pauses_s.append))
    key = host.place(DATA, ".wav")
    with pytest.raises(Retryable, match=r"connection refused.*AWS_ENDPOINT_URL_S3"):
        host.put(key, DATA, "audio/wav")
    assert len(pauses_s) == 2


def test_ctrl_c_ends_an_upload_that_hangs():
    code = """
import os, signal, socket, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with it ignored
from prep.hosting import open_hosting
with socket.create_server(("127.0.0.1", 0)) as silent:
    keys = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}
    port = silent.getsockname()[1]
    host = open_hosting("s3://voices", {**keys, "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}"})
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        host.put(host.place(b"", ".wav"), b"", "audio/wav")
    except KeyboardInterrupt:
        print("interrupted")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert ran.stdout.strip() == "interrupted"


@pytest.mark.parametrize(
    "spec",
    [*(f"s3:{rest}" for rest in MALFORMED.split(" ")), "s3://voices/a b"],
)
def test_a_malformed_spec_is_refused(spec):
    with pytest.raises(ConfigError, match="--hosting") as caught:
        open_hosting(spec, ELSEWHERE)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_missing_key_is_named(name):
    with pytest.raises(ConfigError, match=name):
        open_hosting("s3://voices", {**ELSEWHERE, name: " "})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"AWS_ENDPOINT_URL_S3": ""}, "AWS_ENDPOINT_URL_S3"),
        ({"AWS_ENDPOINT_URL_S3": "s3.example.com"}, "AWS_ENDPOINT_URL_S3"),
        ({"AWS_ENDPOINT_URL_S3": "https://s3.example.com/voices"}, "without bucket or path"),
        ({"AWS_ENDPOINT_URL_S3": "http://s3.example.com"}, "in the clear"),
        ({"AWS_S3_ADDRESSING_STYLE": "vhost"}, "virtual, path"),
        ({"AWS_ENDPOINT_URL_S3": "", "AWS_REGION": "eu-west-1", "AWS_S3_ADDRESSING_STYLE": "cname"}, "cname needs"),
        ({"AWS_SECRET_ACCESS_KEY": "se cret"}, "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_settings_are_checked_before_anything_is_sent(more, words):
    with pytest.raises(ConfigError, match=words) as caught:
        open_hosting("s3://voices", {**ELSEWHERE, **more})
    assert "se cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "style", "expected"),
    [
        ("https://s3.example.com", "auto", ("https://s3.example.com", False)),
        ("https://s3.example.com:9000", "virtual", ("https://b1.s3.example.com:9000", True)),
        ("https://s3.oss-cn-hongkong.aliyuncs.com", "auto", ("https://b1.s3.oss-cn-hongkong.aliyuncs.com", True)),
        ("https://b1.oss-cn-hongkong.aliyuncs.com", "auto", ("https://b1.oss-cn-hongkong.aliyuncs.com", True)),
        ("https://s3.oss-cn-hongkong.aliyuncs.com", "path", ("https://s3.oss-cn-hongkong.aliyuncs.com", False)),
        ("https://cos.ap-hongkong.myqcloud.com", "auto", ("https://b1.cos.ap-hongkong.myqcloud.com", True)),
        ("https://voices.example.com", "cname", ("https://voices.example.com", True)),
        ("http://127.0.0.1:9000", "auto", ("http://127.0.0.1:9000", False)),
    ],
)
def test_where_the_bucket_stands_in_the_address(endpoint, style, expected):
    assert _address("b1", endpoint, style) == expected


def test_a_dotted_bucket_name_is_addressed_by_path_where_it_may_be():
    assert _address("a.b", "https://s3.eu-west-1.amazonaws.com", "auto") == (
        "https://s3.eu-west-1.amazonaws.com",
        False,
    )


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"AWS_REGION": "eu-west-1"}, "https://voices.s3.eu-west-1.amazonaws.com/"),
        ({"AWS_DEFAULT_REGION": "cn-north-1"}, "https://voices.s3.cn-north-1.amazonaws.com.cn/"),
        ({"AWS_ENDPOINT_URL": "https://one.example.com"}, "https://one.example.com/voices/"),
        (
            {"AWS_ENDPOINT_URL": "https://one.example.com", "AWS_ENDPOINT_URL_S3": "https://two.example.com"},
            "https://two.example.com/voices/",
        ),
    ],
)
def test_endpoint_and_region_come_from_the_aws_variables(environ, url):
    host = open_hosting("s3://voices", {**KEYS, **environ})
    assert host._sign("k.wav").startswith(url + "k.wav?")


def test_a_session_token_goes_into_the_link():
    host = open_hosting("s3://voices", {**ELSEWHERE, "AWS_SESSION_TOKEN": TOKEN})
    assert f"X-Amz-Security-Token={TOKEN}" in host._sign("k.wav")


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("x - Server returned non-2xx status code: 503 Slow: <Code>SlowDown</Code>", Retryable, "SlowDown"),
        ("x - Server returned non-2xx status code: 500 Oops: ", Retryable, "no reason given"),
        ("x status code: 400 Bad: <Code>PublicEndpointForbidden</Code>", Refused, "a domain of your own"),
        ("x status code: 403 F: <Code>SecondLevelDomainForbidden</Code>", Refused, "STYLE=virtual"),
        ("x status code: 301 Moved: ", Refused, "AWS_REGION"),
        ("Received redirect without LOCATION, this normally indicates a wrong region", Refused, "AWS_REGION"),
        ("HTTP error: error sending request\n\nDebug source:\n operation timed out", Retryable, "no answer in time"),
        ("something new", Retryable, "unreadable"),
        ("status code: 403 F: <Message>got KEY</Message>\n\nDebug source:\n KEY", Refused, r"got \*\*\*"),
    ],
)
def test_what_the_library_says_becomes_ours(text, kind, words):
    error = translated(text, "voices", lambda said: said.replace("KEY", "***"))
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error
