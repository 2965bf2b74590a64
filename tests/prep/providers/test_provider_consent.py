"""Consent records: what is read, what is refused, what travels on."""

import datetime
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.errors import ConfigError
from prep.providers import consent

TODAY = datetime.date(2026, 6, 1)
GOOD = 'speaker = "Ann"\nstatement = "I agree."\ngiven_by = "Ann"\ndate = 2026-01-02\npurpose = "tests"\n'


def read(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")
    return consent.read(path)


def test_a_good_record(tmp_path):
    record = read(tmp_path, GOOD)
    assert record.speaker == "Ann"
    assert record.check("qhaigc", TODAY) == []
    assert record.summary == {
        "consent_id": record.consent_id,
        "speaker": "Ann",
        "given_by": "Ann",
        "date": "2026-01-02",
        "purpose": "tests",
    }


def test_the_id_is_that_of_the_content(tmp_path):
    shuffled = "# a comment\n" + "".join(reversed(GOOD.splitlines(keepends=True)))
    record = read(tmp_path, GOOD)
    assert read(tmp_path, shuffled).consent_id == record.consent_id
    assert read(tmp_path, GOOD.replace("agree", "do not agree")).consent_id != record.consent_id
    content = (
        '{"date":"2026-01-02","expires":null,"given_by":"Ann","purpose":"tests","recording":null,'
        '"speaker":"Ann","statement":"I agree.","vendors":null}'
    )
    assert record.consent_id == hashlib.sha256(content.encode()).hexdigest()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("expires = 2026-05-31\n", "ended on 2026-05-31"),
        ("expires = 2026-06-01\n", ""),
        ('vendors = ["kling", "qwen"]\n', "covers kling, qwen, not qhaigc"),
        ("vendors = []\n", "covers no vendor, not qhaigc"),
        ('vendors = ["qhaigc"]\n', ""),
    ],
)
def test_who_and_until_when(tmp_path, extra, words):
    refused = read(tmp_path, GOOD + extra).check("qhaigc", TODAY)
    assert len(refused) == (1 if words else 0)
    assert words in "".join(refused)


def test_a_date_in_the_future(tmp_path):
    refused = read(tmp_path, GOOD).check("qhaigc", datetime.date(2026, 1, 1))
    assert refused == ["the consent of Ann is dated 2026-01-02, which is in the future"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "speaker: Field required"),
        (GOOD + 'colour = "red"\n', "colour: Extra inputs"),
        (GOOD.replace('"Ann"', '" "'), "speaker: String should have at least 1"),
        (GOOD.replace("2026-01-02", '"yesterday"'), "date: "),
        ("speaker = ", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read(tmp_path, text)
    assert "c.toml" in str(caught.value)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not TOML"):
        consent.read(tmp_path / "c.toml")


def test_no_file_names_the_verb_that_makes_one(tmp_path):
    with pytest.raises(ConfigError, match="voxprep consent new"):
        consent.read(tmp_path / "none.toml")


WORDS = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip())


@settings(max_examples=40)
@given(speaker=WORDS, vendors=st.none() | st.lists(WORDS), expires=st.none() | st.dates())
def test_what_is_written_is_read_again(tmp_path_factory, speaker, vendors, expires):
    answers = {"speaker": speaker, "statement": "s", "given_by": "g", "date": TODAY, "purpose": "p"}
    record = consent.new(answers | {"vendors": vendors, "expires": expires})
    path = tmp_path_factory.mktemp("c") / "c.toml"
    consent.write(record, path)
    assert consent.read(path) == record


def test_a_consent_is_not_overwritten(tmp_path):
    record = read(tmp_path, GOOD)
    with pytest.raises(ConfigError, match="not overwritten"):
        consent.write(record, tmp_path / "c.toml")
    with pytest.raises(ConfigError, match="cannot be written"):
        consent.write(record, tmp_path / "no" / "c.toml")


def test_answers_that_will_not_do_are_named():
    with pytest.raises(ConfigError, match="purpose: Field required"):
        consent.new({"speaker": "Ann", "statement": "s", "given_by": "g", "date": TODAY})
