"""The other three kinds: a served folder, 302.AI's endpoint, the user's own link; and how a kind is found."""

import contextlib
import json
import logging
import os
import stat
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from prep.errors import ConfigError, Refused, Retryable
from prep.hosting import KINDS, Hosted, NotRemovable, open_hosting
from prep.hosting.check import verify
from prep.providers.http import Backoff

DATA = b"RIFF" + bytes(range(256)) * 40
QUICK = Backoff(sleep=lambda pause_s: None)
SECRET = "sk-302-secret"
AI302 = {"VOXPREP_AI302_API_KEY": SECRET}
LINK = "https://files.example.com/clip.wav"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder and the URL at which a web server shows it."""
    folder = tmp_path / "pub=lic"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class TestFolder:
    def test_what_is_put_is_seen_and_what_is_removed_is_gone(self, served):
        folder, url = served
        host = open_hosting(f"dir:{folder}={url}/", {})
        hosted = host.put(host.place(DATA, ".wav"), DATA, "audio/wav")
        verify(hosted, DATA, "audio/wav", backoff=QUICK)
        assert hosted == Hosted(f"dir:{folder}={url}", hosted.key, f"{url}/{hosted.key}", True)
        open_hosting(hosted.spec, {}).remove(hosted.key)
        assert httpx.get(hosted.url).status_code == 404
        host.remove(hosted.key)
        host.close()

    def test_the_web_server_may_read_it_and_nothing_else_is_left(self, served):
        folder, url = served
        host = open_hosting(f"dir:{folder}={url}", {})
        key = host.place(DATA, ".wav")
        mask = os.umask(0o077)
        try:
            host.put(key, b"half", "audio/wav")
            host.put(key, DATA, "audio/wav")
        finally:
            os.umask(mask)
        assert [path.name for path in folder.iterdir()] == [key]
        assert stat.S_IMODE((folder / key).stat().st_mode) == 0o644
        assert (folder / key).read_bytes() == DATA

    @pytest.mark.parametrize("key", ["../x.wav", "/etc/passwd", "a/../../x.wav", "song.wav", "", ".", "%2e%2e/x.wav"])
    def test_no_key_leads_out_of_the_folder(self, served, key):
        folder, url = served
        (folder / "song.wav").write_bytes(b"mine")
        (folder.parent / "x.wav").write_bytes(b"mine")
        host = open_hosting(f"dir:{folder}={url}", {})
        for act in (host.remove, lambda bad: host.put(bad, DATA, "audio/wav")):
            with pytest.raises(ConfigError, match="left alone"):
                act(key)
        assert (folder / "song.wav").read_bytes() == (folder.parent / "x.wav").read_bytes() == b"mine"

    def test_a_link_at_the_key_is_replaced_not_followed(self, served):
        folder, url = served
        host = open_hosting(f"dir:{folder}={url}", {})
        key = host.place(DATA, ".wav")
        outside = folder.parent / "outside"
        outside.write_bytes(b"mine")
        (folder / key).symlink_to(outside)
        host.put(key, DATA, "audio/wav")
        assert outside.read_bytes() == b"mine"
        assert not (folder / key).is_symlink()

    def test_a_folder_that_went_away_is_a_refusal(self, served):
        folder, url = served
        host = open_hosting(f"dir:{folder}={url}", {})
        folder.rmdir()
        with pytest.raises(Refused, match="No such file"):
            host.put(host.place(DATA, ".wav"), DATA, "audio/wav")
        folder.mkdir()

    def test_a_full_disk_leaves_nothing(self, served, monkeypatch):
        folder, url = served
        host = open_hosting(f"dir:{folder}={url}", {})

        def full(handle):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("prep.hosting.folder.os.fsync", full)
        with pytest.raises(Refused, match="No space left"):
            host.put(host.place(DATA, ".wav"), DATA, "audio/wav")
        assert list(folder.iterdir()) == []

    def test_the_spec_kept_is_absolute(self, served, monkeypatch):
        folder, url = served
        monkeypatch.chdir(folder.parent)
        assert open_hosting(f"dir:{folder.name}={url}", {}).spec == f"dir:{folder}={url}"

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("", "dir:PATH=URL"),
            ("=ftp://a.example.com", "dir:PATH=URL"),
            ("=https://a.example.com/?x=1", "no query"),
            ("=https://a.example.com/?", "no query"),
            ("=https://例子.example.com", "ASCII"),
            ("=https://u:hidden@a.example.com", "credentials"),
            ("=https://", "dir:PATH=URL"),
        ],
    )
    def test_a_malformed_spec_says_what_to_write(self, tmp_path, url, words):
        with pytest.raises(ConfigError, match=words) as caught:
            open_hosting(f"dir:{tmp_path}{url}", {})
        assert "hidden" not in str(caught.value)

    def test_a_missing_folder_is_found_at_once(self, tmp_path):
        with pytest.raises(ConfigError, match="is not a folder"):
            open_hosting(f"dir:{tmp_path / 'none'}=https://a.example.com", {})

    def test_a_folder_one_may_not_write_is_found_at_once(self, tmp_path, monkeypatch):
        monkeypatch.setattr("prep.hosting.folder.os.access", lambda path, mode: False)
        with pytest.raises(ConfigError, match="cannot be written"):
            open_hosting(f"dir:{tmp_path}=https://a.example.com", {})


@contextlib.contextmanager
def ai302(*answers, environ=None, backoff=QUICK):
    """A host over a pretended 302.AI that gives these answers in turn; yields (host, requests)."""
    asked = []

    def answer(request):
        asked.append(request)
        return answers[min(len(asked), len(answers)) - 1]

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        host = open_hosting("ai302", AI302 if environ is None else environ, client, backoff)
        yield host, asked
        host.close()
        assert not client.is_closed


def good(url="https://file.302.ai/gpt/a.wav", code=200):
    return httpx.Response(200, json={"code": code, "data": url, "message": "success"})


class TestAi302:
    def test_the_request_is_the_documented_one(self):
        with ai302(good()) as (host, asked):
            hosted = host.put(host.place(DATA, ".wav"), DATA, "audio/wav")
        (request,) = asked
        assert (request.method, str(request.url)) == ("POST", "https://api.302.ai/302/upload-file")
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        body = request.read()
        assert b'name="file"; filename="' in body
        assert b"Content-Type: audio/wav" in body
        assert DATA in body
        assert hosted == Hosted("ai302", "https://file.302.ai/gpt/a.wav", "https://file.302.ai/gpt/a.wav", False)

    def test_another_base_url(self):
        environ = {**AI302, "VOXPREP_AI302_BASE_URL": "http://127.0.0.1:8302/"}
        with ai302(good(), environ=environ) as (host, asked):
            host.put(host.place(DATA, ".wav"), DATA, "audio/wav")
        assert str(asked[0].url) == "http://127.0.0.1:8302/302/upload-file"

    def test_a_signature_in_its_url_is_not_kept(self):
        with ai302(good("https://file.302.ai/a.wav?sign=abc")) as (host, _):
            hosted = host.put(host.place(DATA, ".wav"), DATA, "audio/wav")
        assert hosted.url.endswith("?sign=abc")
        assert hosted.key == "https://file.302.ai/a.wav"

    def test_it_cannot_delete_and_says_so(self):
        with ai302(good()) as (host, asked):
            assert not host.removable
            assert "no way to delete" in host.promise
            with pytest.raises(NotRemovable, match="cannot be deleted"):
                host.remove("https://file.302.ai/a.wav?sign=hidden")
        assert asked == []

    @pytest.mark.parametrize(
        ("answer", "kind", "words"),
        [
            (httpx.Response(401, json={"error": {"err_code": -10001, "message": f"bad {SECRET}"}}), Refused, "-10001"),
            (httpx.Response(429, json={"error": {"err_code": -10006, "message": "no money"}}), Refused, "no money"),
            (httpx.Response(429, json={"error": {"err_code": -1, "message": "slow"}}), Retryable, "slow"),
            (httpx.Response(502, text="bad gateway"), Retryable, "bad gateway"),
            (httpx.Response(413, json={"code": 413, "message": "too large"}), Refused, "too large"),
            (httpx.Response(200, json={"code": 500, "data": "", "message": f"no: {SECRET}"}), Refused, "no: "),
            (httpx.Response(200, json={"code": 200, "message": "success"}), Retryable, "names no URL"),
            (httpx.Response(200, json=[]), Retryable, "not a JSON object"),
            (httpx.Response(200, text="<html>"), Retryable, "unreadable"),
            (good("file:///etc/passwd"), Refused, "cannot be used"),
            (good("https://file.302.ai/声.wav"), Refused, "ASCII"),
        ],
    )
    def test_what_it_refuses_is_said_without_the_key(self, answer, kind, words, caplog):
        with caplog.at_level(logging.DEBUG), ai302(answer) as (host, asked), pytest.raises(kind) as caught:
            host.put(host.place(DATA, ".wav"), DATA, "audio/wav")
        assert words in str(caught.value)
        assert len(asked) == (1 if kind is Refused else QUICK.tries)
        for text in (str(caught.value), repr(caught.value), repr(host), caplog.text):
            assert SECRET not in text

    @pytest.mark.parametrize(
        ("spec", "environ", "words"),
        [
            ("ai302", {}, "VOXPREP_AI302_API_KEY"),
            ("ai302", {"VOXPREP_AI302_API_KEY": "  "}, "VOXPREP_AI302_API_KEY"),
            ("ai302:x", AI302, "takes nothing"),
            ("ai302", {**AI302, "VOXPREP_AI302_BASE_URL": "http://api.302.ai"}, "https"),
        ],
    )
    def test_what_is_missing_is_named(self, spec, environ, words):
        with pytest.raises(ConfigError, match=words):
            open_hosting(spec, environ)

    def test_its_own_client_is_closed(self):
        host = open_hosting("ai302", AI302)
        host.close()
        with pytest.raises(RuntimeError):
            host.put(host.place(DATA, ".wav"), DATA, "audio/wav")


class TestLink:
    def test_nothing_is_uploaded_and_the_query_is_not_kept(self):
        host = open_hosting(f"url:{LINK}?sign=hidden", {})
        key = host.place(DATA, ".wav")
        hosted = host.put(key, DATA, "audio/wav")
        assert hosted.url == f"{LINK}?sign=hidden"
        assert (host.spec, key, hosted.key) == (f"url:{LINK}", LINK, LINK)
        assert "hidden" not in repr(hosted) + repr(host) + host.promise + json.dumps([host.spec, key, hosted.key])
        assert open_hosting(hosted.spec, {}).spec == hosted.spec
        host.close()

    def test_it_is_the_users_to_remove(self):
        host = open_hosting(f"url:{LINK}", {})
        assert not host.removable
        with pytest.raises(NotRemovable, match="your own link"):
            host.remove(host.place(DATA, ".wav"))

    def test_another_link_is_not_its_key(self):
        with pytest.raises(ConfigError, match="is not the link"):
            open_hosting(f"url:{LINK}", {}).put("https://other.example.com/x.wav", DATA, "audio/wav")

    @pytest.mark.parametrize("rest", ["", "clip.wav", "ftp://a.example.com/x.wav", "https://a.example.com/声.wav"])
    def test_a_link_no_vendor_can_use(self, rest):
        with pytest.raises(ConfigError, match="--hosting url:"):
            open_hosting(f"url:{rest}", {})

    def test_its_bytes_are_compared_with_the_file(self, served):
        folder, url = served
        (folder / "clip.wav").write_bytes(DATA)
        host = open_hosting(f"url:{url}/clip.wav", {})
        verify(host.put(host.place(DATA, ".wav"), DATA, "audio/wav"), DATA, "audio/wav", backoff=QUICK)
        other = DATA[:-1] + b"x"
        with pytest.raises(Refused, match="other bytes"):
            verify(host.put(host.place(other, ".wav"), other, "audio/wav"), other, "audio/wav", backoff=QUICK)


@pytest.mark.parametrize("spec", ["", "ftp://x", "/srv/voices", "S3://x", "oss://u:hidden@x?sig=hidden"])
def test_an_unknown_kind_lists_the_four(spec):
    with pytest.raises(ConfigError) as caught:
        open_hosting(spec, {})
    assert all(written in str(caught.value) for written in KINDS.values())
    assert "hidden" not in str(caught.value)


def test_only_the_kind_asked_for_is_loaded():
    import subprocess
    import sys

    code = (
        "import sys; from prep.hosting import open_hosting; open_hosting('url:https://a.example.com/x.wav', {});"
        "print([name for name in sys.modules if name in ('obstore', 'prep.hosting.s3', 'prep.hosting.ai302')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
