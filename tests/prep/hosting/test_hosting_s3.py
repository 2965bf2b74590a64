"""Our S3 host against a real S3 server."""

import logging
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from seaweed_kit import DOMAIN, seaweed

from prep.errors import ConfigError, Refused
from prep.hosting import Hosted, open_hosting
from prep.hosting.check import verify
from prep.hosting.s3 import LINK_LIFE
from prep.providers.http import Backoff

DATA = b"RIFF" + bytes(range(256)) * 40
QUICK = Backoff(sleep=lambda pause_s: None)
TOKEN = "session-token-in-full"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with seaweed(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def host(server):
    return open_hosting(f"s3://{server.bucket}/a/b", server.environ, backoff=QUICK)


def put(host, data=DATA, media_type="audio/wav"):
    return host.put(host.place(data, ".wav"), data, media_type)


class TestAgainstAServer:
    def test_anyone_with_the_link_gets_the_bytes_and_the_type(self, host):
        hosted = put(host)
        answer = httpx.get(hosted.url)
        assert answer.content == DATA
        assert answer.headers["content-type"] == "audio/wav"
        assert answer.headers["content-length"] == str(len(DATA))
        verify(hosted, DATA, "audio/wav", backoff=QUICK)

    def test_without_the_signature_the_object_is_private(self, host):
        assert httpx.get(put(host).url.partition("?")[0]).status_code == 403

    def test_the_link_is_for_get_alone(self, host):
        url = put(host).url
        assert httpx.head(url).status_code == httpx.delete(url).status_code == 403
        assert httpx.put(url, content=b"other").status_code == 403

    def test_the_link_lives_as_long_as_promised(self, host):
        assert parse_qs(urlsplit(put(host).url).query)["X-Amz-Expires"] == [str(int(LINK_LIFE.total_seconds()))]
        assert "2 hours" in host.promise

    def test_removed_is_gone_and_removing_again_is_fine(self, host):
        hosted = put(host)
        host.remove(hosted.key)
        host.remove(hosted.key)
        assert httpx.get(hosted.url).status_code in (403, 404)

    def test_removing_what_was_never_put_is_fine(self, host):
        host.remove(host.place(DATA, ".wav"))

    def test_a_ledger_row_is_enough_to_remove(self, host, server):
        hosted = put(host)
        again = open_hosting(hosted.spec, server.environ, backoff=QUICK)
        again.remove(hosted.key)
        assert httpx.get(hosted.url).status_code == 404

    def test_putting_again_at_a_key_replaces(self, host):
        key = host.place(DATA, ".wav")
        host.put(key, b"half", "audio/wav")
        assert httpx.get(host.put(key, DATA, "audio/wav").url).content == DATA

    def test_no_prefix_and_a_file_larger_than_one_part(self, server):
        host = open_hosting(f"s3://{server.bucket}", server.environ, backoff=QUICK)
        data = bytes(12_000_000)
        hosted = put(host, data)
        verify(hosted, data, "audio/wav", backoff=QUICK)
        host.remove(hosted.key)

    def test_an_empty_file(self, host):
        assert httpx.get(put(host, b"").url).content == b""

    def test_virtual_addressing(self, server, monkeypatch):
        """No name server knows the test domain, so the server itself stands in as the HTTP proxy to it."""
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, server.endpoint)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        endpoint = f"http://{DOMAIN}:{urlsplit(server.endpoint).port}"
        virtual = {**server.environ, "AWS_S3_ADDRESSING_STYLE": "virtual", "AWS_ENDPOINT_URL_S3": endpoint}
        host = open_hosting(f"s3://{server.bucket}/v", virtual, backoff=QUICK)
        hosted = put(host)
        assert urlsplit(hosted.url).hostname == f"{server.bucket}.{DOMAIN}"
        assert urlsplit(hosted.url).path == "/" + hosted.key
        verify(hosted, DATA, "audio/wav", backoff=QUICK)
        host.remove(hosted.key)
        assert httpx.get(hosted.url).status_code == 404

    def test_no_proxy_stands_between_this_machine_and_itself(self, server, monkeypatch):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        hosted = put(open_hosting(f"s3://{server.bucket}", server.environ, backoff=QUICK))
        verify(hosted, DATA, "audio/wav", backoff=QUICK)

    def test_a_wrong_secret_is_refused_in_clear_words_without_the_secret(self, server, caplog):
        wrong = {**server.environ, "AWS_SECRET_ACCESS_KEY": "not-the-right-secret"}
        host = open_hosting(f"s3://{server.bucket}", wrong, backoff=QUICK)
        with caplog.at_level(logging.DEBUG), pytest.raises(Refused) as caught:
            put(host)
        said = str(caught.value)
        assert "SignatureDoesNotMatch" in said
        assert "AWS_SECRET_ACCESS_KEY" in said
        for text in (said, repr(caught.value), repr(host), caplog.text):
            assert "not-the-right-secret" not in text
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    def test_a_wrong_session_token_does_not_show(self, server):
        host = open_hosting(f"s3://{server.bucket}", {**server.environ, "AWS_SESSION_TOKEN": TOKEN}, backoff=QUICK)
        with pytest.raises(Refused) as caught:
            put(host)
        assert TOKEN not in str(caught.value) + repr(host)

    def test_no_such_bucket(self, server):
        with pytest.raises(Refused, match=r"NoSuchBucket.*Fix: make the bucket"):
            put(open_hosting("s3://nonesuch/a", server.environ, backoff=QUICK))

    def test_the_process_environment_does_not_leak_in(self, server, monkeypatch):
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "of-somebody-else")
        monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
        hosted = put(open_hosting(f"s3://{server.bucket}", server.environ, backoff=QUICK))
        assert httpx.get(hosted.url).content == DATA
        assert "of-somebody-else" not in hosted.url

    @pytest.mark.parametrize("key", ["../a.wav", "a/b/../../x.wav", "other/" + "0" * 32 + ".wav", "a/b/song.wav", ""])
    def test_only_its_own_keys_are_touched(self, host, key):
        with pytest.raises(ConfigError, match="left alone"):
            host.remove(key)
        with pytest.raises(ConfigError, match="left alone"):
            host.put(key, DATA, "audio/wav")

    def test_the_url_is_not_in_the_repr(self, host):
        hosted = put(host)
        assert "Signature" in hosted.url
        assert "Signature" not in repr(hosted)
        assert hosted == Hosted(host.spec, hosted.key, hosted.url, True)
