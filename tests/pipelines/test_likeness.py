"""A consent's recording must be of the voice and say the words; a vendor's voice is measured against the set."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from sandbox_kit import RATE_HZ, talk, written
from upload_kit import creates, job, where, wire, write_consent, write_set

from pipelines import cli
from pipelines.build import Session
from pipelines.config import load
from pipelines.likeness import Verifying, verify_voice
from pipelines.sandbox.app import running
from pipelines.sandbox.settings import Settings
from pipelines.upload import RulesBroken, upload
from prep.audio import read_mono
from prep.errors import ConfigError
from prep.models.registry import cache_root
from prep.providers.base import NotOffered

pytestmark = pytest.mark.model
SAMPLES = Path(__file__).parents[2] / "sample_data"
LINES = tomllib.loads((SAMPLES / "expected.toml").read_text("utf-8"))
SPOKEN = LINES["talk.mp4"]["speech"][2:4]
STATEMENT = " ".join(line["text"] for line in SPOKEN)


@pytest.fixture(scope="module")
def sandbox():
    with running(Settings(train_s=0.02)) as here:
        yield here


def cut(samples, lines):
    return samples[int((lines[0]["start_s"] - 0.1) * RATE_HZ) : int((lines[-1]["end_s"] + 0.1) * RATE_HZ)]


def run_of(folder):
    """A set of the talk's last twelve seconds of speech, so that the statement is not in it."""
    sound = talk()[-int(14 * RATE_HZ) : -int(2 * RATE_HZ)]
    return write_set(folder, [written(sound, RATE_HZ, "WAV", "PCM_16")], "qwen")


def consent_with(folder, recording, statement=STATEMENT):
    (folder / "said.wav").write_bytes(written(np.asarray(recording, np.float32), RATE_HZ, "WAV", "PCM_16"))
    path = write_consent(folder, 'recording = "said.wav"\n')
    path.write_text(path.read_text().replace("I agree.", statement))
    return path


def guest():
    """The other voice of the recording with two."""
    samples, rate_hz = read_mono(SAMPLES / "two_voices.flac")
    assert rate_hz == RATE_HZ
    lines = [line for line in LINES["two_voices.flac"]["speech"] if line["voice"] == "guest"]
    return np.concatenate([cut(samples, [line]) for line in (lines[0], lines[-1])])


def test_the_same_voice_saying_the_statement(sandbox, tmp_path):
    sandbox.books.reset()
    wish = job(run_of(tmp_path), vendor="qwen", consent=consent_with(tmp_path, cut(talk(), SPOKEN)))
    result = upload(wish, wire(sandbox))
    checks = {check.rule: check for check in result.checks}
    assert checks["voice of the consent recording"].measured > 0.6
    assert checks["words of the consent recording"].measured < 0.3
    assert result.state == "enrolled"


def test_another_voice_is_refused(sandbox, tmp_path):
    sandbox.books.reset()
    lines = [line["text"] for line in LINES["two_voices.flac"]["speech"] if line["voice"] == "guest"]
    statement = f"{lines[0]} {lines[-1]}"
    wish = job(run_of(tmp_path), vendor="qwen", consent=consent_with(tmp_path, guest(), statement))
    with pytest.raises(RulesBroken, match="voice of the consent recording") as caught:
        upload(wish, wire(sandbox))
    assert "in their own voice" in str(caught.value)
    assert creates(sandbox, "qwen") == 0


def test_other_words_are_refused(sandbox, tmp_path):
    sandbox.books.reset()
    other = "I allow that my voice is cloned for the audio guide of the museum, and for nothing else."
    wish = job(run_of(tmp_path), vendor="qwen", consent=consent_with(tmp_path, cut(talk(), SPOKEN), other))
    with pytest.raises(RulesBroken, match="words of the consent recording"):
        upload(wish, wire(sandbox))
    assert creates(sandbox, "qwen") == 0


def test_a_recording_that_is_not_there_is_named(sandbox, tmp_path):
    wish = job(run_of(tmp_path), vendor="qwen", consent=write_consent(tmp_path, 'recording = "none.wav"\n'))
    with pytest.raises(ConfigError, match=r"none\.wav is not there"):
        upload(wish, wire(sandbox))


def test_verify_measures_what_the_voice_says(sandbox, tmp_path):
    """The sandbox says the enrolled clip whatever the text: the voice is right, the words are not."""
    sandbox.books.reset()
    run = run_of(tmp_path)
    voice_id = upload(job(run, vendor="qwen"), wire(sandbox)).receipt["voice_id"]
    with Session(load(), cache_root()) as session:
        (row,) = verify_voice(
            where(sandbox, "qwen"), Verifying(voice_id, run, tmp_path / "v", ("Good morning.",)), session
        )
    assert row.similarity > 0.9
    assert row.error > 0.5
    assert row.heard
    assert 2.5 < row.dnsmos_ovrl < 3.6  # a clean synthetic voice
    assert Path(row.file).is_file()


def test_verify_where_a_voice_cannot_speak(sandbox, tmp_path):
    run = write_set(tmp_path, [written(talk()[: RATE_HZ * 8], RATE_HZ, "WAV", "PCM_16")], "kling")
    with Session(load(), cache_root()) as session, pytest.raises(NotOffered):
        verify_voice(where(sandbox, "kling"), Verifying("v", run, tmp_path / "v"), session)


def test_verify_on_the_command_line(sandbox, tmp_path, monkeypatch, capsys):
    sandbox.books.reset()
    for name, value in wire(sandbox).environ.items():
        monkeypatch.setenv(name, value)
    run = run_of(tmp_path)
    voice_id = upload(job(run, vendor="qwen"), wire(sandbox)).receipt["voice_id"]
    call = ["voices", "verify", voice_id, str(run), "--provider", "qwen", "--text", "Good morning."]
    assert cli.run(call) == 0
    assert "similarity" in capsys.readouterr().out
