"""Voices at a vendor, through the helpers the command line calls."""

import pytest
import soundfile
from upload_kit import good_run, job, where, wire

from pipelines.sandbox.app import running
from pipelines.upload import upload
from pipelines.voices import Saying, Wire, account_for, delete_voice, list_voices, say, show_voice
from prep.errors import ConfigError, Refused
from prep.providers.base import NotOffered


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with running() as sandbox:
        upload(job(good_run(tmp_path_factory.mktemp("run")), options={"public": "true"}), wire(sandbox))
        yield sandbox


def test_list_and_show(here):
    (voice,) = list_voices(where(here))
    assert (voice.voice_id, voice.status, voice.detail["public"]) == ("Ann", "ready", "public")
    assert show_voice(where(here), "Ann") == voice
    with pytest.raises(Refused, match="no voice named"):
        show_voice(where(here), "Bob")


@pytest.mark.parametrize(("ending", "form"), [(".wav", "WAV"), (".mp3", "MP3"), (".opus", "OGG"), ("", "MP3")])
def test_the_files_ending_names_the_format(here, tmp_path, ending, form):
    out = say(where(here), Saying("Ann", "Hello", tmp_path / f"hello{ending}"))
    with soundfile.SoundFile(out) as sound:
        assert (sound.format, round(sound.frames / sound.samplerate, 1)) == (form, 10.5)


def test_what_cannot_be_said(here, tmp_path):
    with pytest.raises(ConfigError, match="response_format"):
        say(where(here), Saying("Ann", "Hello", tmp_path / "hello.flac"))
    with pytest.raises(ConfigError, match="no folder"):
        say(where(here), Saying("Ann", "Hello", tmp_path / "no" / "hello.wav"))
    with pytest.raises(Refused, match="nobody"):
        say(where(here), Saying("nobody", "Hello", tmp_path / "hello.wav"))
    assert list(tmp_path.iterdir()) == []


def test_delete_says_how_by_hand(here):
    with pytest.raises(NotOffered, match=r"support@qhaigc\.net"):
        delete_voice(where(here), "Ann")


def test_where_address_and_key_come_from():
    assert account_for("qhaigc", wire=Wire({})).base_url == "https://api.qhaigc.net"
    environ = {"VOXPREP_QHAIGC_BASE_URL": "https://api-hk.qhaigc.net/", "VOXPREP_QHAIGC_API_KEY": "sk-1"}
    account = account_for("qhaigc", wire=Wire(environ))
    assert (account.base_url, account.needed_key().reveal()) == ("https://api-hk.qhaigc.net", "sk-1")
    assert account_for("qhaigc", "http://127.0.0.1:1/q", Wire(environ)).base_url == "http://127.0.0.1:1/q"
    assert "sk-1" not in repr((account, Wire(environ)))
    with pytest.raises(ConfigError, match="no vendor named"):
        account_for("nobody")
