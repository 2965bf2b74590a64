"""Purity of clips whose voices are known: hand-made turns, and a made-up network that hears a tone's pitch."""

import numpy as np
import pytest
from audio_kit import Seen, bare_copy, clip_of, silence, tone, track_of

from prep.measures.purity import agreement, margin, measure, shares, talk
from prep.stages.turns import FIRST_S, FRAME_S, Turns

RATE_HZ = 24_000
PITCHES = (300.0, 1000.0, 3000.0)
NAMES = ("n_speakers", "overlap_ratio", "speaker_purity", "speaker_agreement", "speaker_margin")


class Tones:
    digest = "tones"

    def embed_windows(self, samples, window, starts):
        found = np.zeros((len(starts), 192), np.float32)
        for row, start in zip(found, starts, strict=True):
            part = samples[start : start + window]
            waves = np.exp(-2j * np.pi * np.outer(np.arange(len(part)), PITCHES) / 16_000)
            row[:3] = np.abs(part @ waves) / max(1, len(part))
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)


def turns_of(*rows, n_s=10.0, voices=3):
    """Rows `(start s, stop s, speaker)`; speaker i has pitch i."""
    order = sorted(rows)
    places = [np.array([round(row[i] * RATE_HZ) for row in order], np.int64) for i in (0, 1)]
    n = 1 + max((row[2] for row in rows), default=-1)
    centroids = np.eye(192, dtype=np.float32)[:n] * (np.arange(n) < voices)[:, None]
    none = np.zeros(0, np.int64)
    speech_s = np.array([sum(b - a for a, b, s in rows if s == i) for i in range(n)], np.float32)
    speakers = np.array([row[2] for row in order], np.int64)
    empty = np.zeros((0, 192), np.float32)
    seconds = (np.arange(int((n_s - FIRST_S) / FRAME_S)) * FRAME_S + FIRST_S)[:, None]
    overlap = (sum(((a <= seconds) & (seconds < b)) for a, b, _ in rows) > 1)[:, 0] if rows else np.zeros(len(seconds))
    heard = (empty, overlap.astype(np.float32))
    return Turns(*places, speakers, centroids, speech_s, none, none, none, *heard, round(n_s * RATE_HZ), RATE_HZ)


def said(*parts):
    """Parts `(seconds, pitch number or None)` as samples."""
    return np.concatenate([silence(n, RATE_HZ) if v is None else tone(n, RATE_HZ, PITCHES[v]) for n, v in parts])


def measured(samples, turns, start_s=0.0, end_s=None):
    clip = clip_of(bare_copy(len(samples)), start_s, end_s)
    span = clip.span
    view = Seen(clip, samples[span.start : span.stop], track_of([(len(samples) / RATE_HZ, 0.9, -20)]))
    return measure(view, turns, Tones())


def test_one_voice():
    got = measured(said((4, 0), (1, None), (5, 0)), turns_of((0, 4, 0), (5, 10, 0)))
    assert got["n_speakers"] == 1
    assert [got[name] for name in NAMES[1:]] == pytest.approx([0, 1, 1, 1], abs=0.01)


def test_a_second_voice_that_the_turns_know():
    samples = said((7, 0), (3, 1))
    got = measured(samples, turns_of((0, 7, 0), (7, 10, 1)))
    assert (got["n_speakers"], got["overlap_ratio"]) == (2, 0)
    assert got["speaker_purity"] == pytest.approx(0.7)
    assert got["speaker_agreement"] < 0.1
    before = measured(samples, turns_of((0, 7, 0), (7, 10, 1)), 0, 6.5)
    assert before["n_speakers"] == before["speaker_purity"] == 1
    assert before["speaker_margin"] == pytest.approx(1, abs=0.01)


def test_a_second_voice_that_the_turns_missed():
    got = measured(said((5, 0), (1.5, 1), (3.5, 0)), turns_of((0, 10, 0)))
    assert (got["n_speakers"], got["speaker_purity"]) == (1, 1)
    assert got["speaker_agreement"] < 0.1


def test_overlap_is_the_share_of_talk():
    got = measured(said((8, 0), (2, None)), turns_of((0, 8, 0), (3, 5, 1)))
    assert got["overlap_ratio"] == pytest.approx(0.25, abs=0.01)
    assert got["speaker_purity"] == pytest.approx(0.75)
    assert got["n_speakers"] == 2


def test_a_slip_is_no_speaker():
    assert measured(said((10, 0)), turns_of((0, 10, 0), (3, 3.15, 1)))["n_speakers"] == 1


def test_another_voice_altogether_has_a_negative_margin():
    got = measured(said((10, 1)), turns_of((0, 6, 0), (6, 10, 1)), 0, 6)
    assert got["speaker_margin"] == pytest.approx(-1, abs=0.01)


@pytest.mark.parametrize("turns", [turns_of(), turns_of((0, 2, 0))], ids=["nobody at all", "nobody here"])
def test_nobody_talks(turns):
    got = measured(said((10, None)), turns, 3, 9)
    assert got == {"n_speakers": 0, **dict.fromkeys(NAMES[1:])}


def test_a_voice_never_heard_alone_is_unknown():
    got = measured(said((10, 0)), turns_of((0, 10, 0), (0, 10, 1), voices=0))
    assert got["overlap_ratio"] == 1
    assert got["speaker_purity"] == 0
    assert got["speaker_agreement"] is got["speaker_margin"] is None


def test_a_short_clip_is_compared_with_its_speaker():
    turns = turns_of((0, 10, 0))
    assert measured(said((10, 0)), turns, 4, 5)["speaker_agreement"] == pytest.approx(1, abs=0.01)
    assert measured(said((10, 1)), turns, 4, 6)["speaker_agreement"] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (2, 5), (9.5, 10)])
def test_shares_add_up(start, stop):
    turns = turns_of((0, 4, 0), (3, 7, 1), (8, 9.9, 0))
    got = shares(turns, round(start * RATE_HZ), round(stop * RATE_HZ))
    assert got.alone_s.sum() + got.overlap_s == pytest.approx(got.speech_s)
    assert got.speech_s <= stop - start
    assert (got.talk_s >= got.alone_s).all()


def test_only_talk_is_embedded():
    samples = said((10, 0))
    assert len(talk(samples, turns_of((0, 4, 0), (3, 5, 1), (8, 12, 0)), 0)) == 7 * RATE_HZ
    assert len(talk(samples[: 2 * RATE_HZ], turns_of((0, 4, 0)), 3 * RATE_HZ)) == RATE_HZ


@pytest.mark.parametrize("at", [0, 1, 7, 14])
@pytest.mark.parametrize("n_other", [1, 3])
def test_agreement_finds_a_stretch_anywhere(at, n_other):
    axes = np.eye(192, dtype=np.float32)
    found = axes[np.zeros(18, int)]
    assert agreement(found, axes[0]) == pytest.approx(1)
    found[at : at + n_other] = axes[1]
    assert agreement(found, axes[0]) <= 0.3


def test_margin_without_another_voice():
    axes = np.eye(192, dtype=np.float32)
    assert margin(axes[:1], axes[:1], 0) == 1
    assert margin(axes[:1], np.stack([axes[0], 0 * axes[0]]), 0) == 1
    assert margin(axes[:1] + axes[1:2], axes[:2], 0) == pytest.approx(0, abs=1e-6)
