"""Limits held against requests: what is measured, what is unknown, and names that fit."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_kit import request_of, sample

from prep.providers.limits import VendorLimit
from prep.providers.rules import DATA_URL_HEAD, ascii_slug, base64_length, judge, name_within, options_known, shortened


def limit(rule, **bounds):
    facts = {"kind": "hard", "source": "S", "date": "2026-01-02", "confidence": "documented"}
    return VendorLimit(rule=rule, **{**facts, **bounds})


def judged(request, *limits, skip=frozenset(), sent_name="Ann"):
    return judge(request, limits, "acme", sent_name, skip)[1:]


def test_bounds_are_inclusive_and_the_source_is_told():
    low, high = limit("clip_s", min=5.0, unit="s"), limit("clip_s", max=30.0, unit="s")
    for seconds, ok in ((4.999, (False, True)), (5.0, (True, True)), (30.0, (True, True)), (30.001, (True, False))):
        checks = judged(request_of(sample(duration_s=seconds)), low, high)
        assert tuple(check.ok for check in checks) == ok
    assert [check.rule for check in checks] == ["shortest length", "longest length"]
    assert checks[1].source == "S, 2026-01-02 (documented)"
    assert str(checks[1]) == (
        "a.wav: longest length: 30.001 s, limit at most 30 s. Fix: take a shorter part:"
        " run `voxprep prepare --for acme` again"
    )
    assert checks[0].fix == ""


@pytest.mark.parametrize(
    ("rule", "fact"),
    [("clip_s", "duration_s"), ("speech_s", "longest_speech_s"), ("pause_s", "longest_pause_s"),
     ("sample_rate", "sample_rate"), ("channels", "channels"), ("total_s", "duration_s")],
)  # fmt: skip
def test_what_nobody_measured_is_not_good(rule, fact):
    (check,) = judged(request_of(sample(**{fact: None})), limit(rule, max=1000.0))
    assert (check.ok, check.measured) == (False, None)


def test_sums():
    request = request_of(sample(duration_s=10.0, n_bytes=5), sample(duration_s=5.25, n_bytes=6))
    checks = judged(request, limit("total_s", max=15.25), limit("total_bytes", max=10), limit("clips", min=3))
    assert [(check.measured, check.ok) for check in checks] == [(15.25, True), (11, False), (2, False)]
    assert judged(request_of(), limit("total_s", min=1.0))[0].measured == 0.0


def test_rules_that_do_not_apply_are_skipped_and_advice_does_not_block():
    request = request_of(sample(n_bytes=100))
    assert judged(request, limit("bytes", max=1), skip=frozenset({"bytes"})) == ()
    (advice,) = judged(request, limit("bytes", max=1, kind="advised"))
    assert (advice.ok, advice.advised, advice.blocks) == (False, True, False)
    (stops,) = judged(request, limit("bytes", max=1, kind="advised", stops=True))
    assert stops.blocks


def test_encodings_and_formats():
    form, kind = limit("format", one_of=("WAV",)), limit("encoding", one_of=("PCM_16",))
    assert [check.measured for check in judged(request_of(sample(b"x")), form, kind)] == ["not audio"] * 2
    assert all(check.ok for check in judged(request_of(sample()), form, kind))


def test_the_name_that_is_sent_is_the_one_that_is_judged():
    chars, letters = limit("name_chars", min=1, max=3), limit("name_pattern", pattern="[a-z]+")
    checks = judged(request_of(sample(), name="A long one"), chars, letters, sent_name="abc")
    assert all(check.ok for check in checks)
    checks = judged(request_of(sample(), name="x"), chars, letters, sent_name="ABCD")
    assert [(check.measured, check.ok) for check in checks] == [(4, False), ("ABCD", False)]
    assert "'ABCD'" in checks[0].fix


@pytest.mark.parametrize(
    ("name", "good"),
    [("Ann", True), ("关羽", True), ("\u0645\u06cc\u200c\u062e\u0648\u0627", True), ("👩\u200d🎤", True),
     ("", False), (" \t", False), ("a\nb", False), ("a\x00", False), ("\u200d", False), ("a\u202eb", False),
     ("\ud800", False)],
)  # fmt: skip
def test_names_that_are_none(name, good):
    check = judge(request_of(name=name), (), "acme", name, frozenset())[0]
    assert (check.rule, check.ok, bool(check.fix)) == ("voice name given", good, not good)


@given(n_bytes=st.integers(0, 4000))
def test_base64_length_is_that_of_the_data_url(n_bytes):
    import base64

    assert base64_length(n_bytes) == len(DATA_URL_HEAD + base64.b64encode(bytes(n_bytes)).decode())


@given(name=st.text(st.characters(), max_size=60))
def test_names_are_shortened_only_where_they_are_longer(name):
    short = shortened(name, 20)
    assert len(short) <= 20
    assert (short == name) == (len(name) <= 20)
    assert shortened(name, None) == name


def test_long_names_with_one_beginning_stay_apart():
    limits = (limit("name_chars", max=20), limit("name_chars", max=30))
    for head in ("x" * 30, "声音" * 15, "🎤" * 30, "word " * 6):
        one, other = (name_within(head + end, limits) for end in ("1", "2"))
        assert one != other
        assert one == name_within(head + "1", limits)
    assert name_within("x" * 50, ()) == "x" * 50


@given(name=st.text())
def test_slugs_are_plain(name):
    slug = ascii_slug(name)
    assert set(slug) <= set(string.ascii_lowercase + string.digits + "_")
    assert slug == slug.strip("_")


@pytest.mark.parametrize(
    ("name", "slug"), [("Zoë O'Hara", "zoe_o_hara"), ("关羽", ""), ("__A--b__", "a_b"), ("ﬁ①", "fi1")]
)
def test_slugs_in_print(name, slug):
    assert ascii_slug(name) == slug


def test_options():
    assert options_known({}, {}).ok
    check = options_known({"b": "", "a": "", "ok": ""}, {"ok": "help"})
    assert (check.ok, check.measured, check.fix) == (False, "a, b", "use only: ok")
    assert options_known({"a": ""}, {}).fix == "use only: none"
