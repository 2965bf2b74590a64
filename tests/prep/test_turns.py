"""Turns of recordings whose speakers are known because the networks are made up: a tone's pitch is its voice."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from audio_kit import copy_of, noise, silence, tone

from prep.audio import read_mono
from prep.models.campplus import open_campplus
from prep.models.pyannote_segmentation import N_FRAMES, POWERSET, STEP, WINDOW, open_segmentation
from prep.models.registry import cache_root
from prep.stages.diarize import Turning, cluster, turns, turns_of, windows
from prep.stages.turns import overlap_spans, speaker_changes

RATE_HZ = 16_000
PITCHES = (300.0, 700.0, 1500.0, 2600.0)


def strengths(frames):
    """How strong each voice's tone is in each row of `(k, n)`."""
    waves = np.exp(-2j * np.pi * np.outer(np.arange(frames.shape[1]), PITCHES) / RATE_HZ)
    return np.abs(frames @ waves) / max(1, frames.shape[1])


def n_frames_of(n):
    return min(N_FRAMES, max(0, (n - 496) // STEP + 1))


class ToneSegmenter:
    """Local speakers are numbered by first appearance, so the numbers change from window to window."""

    digest = "tones"

    def __init__(self):
        self.calls = 0

    def probs(self, samples):
        self.calls += 1
        n = n_frames_of(len(samples))
        if n == 0:
            return np.zeros((0, 7), np.float32)
        samples = np.pad(samples, (0, 270))
        active = strengths(np.stack([samples[360 + STEP * i :][:STEP] for i in range(n)])) > 0.06
        seen = sorted(np.flatnonzero(active.any(0)), key=lambda v: np.argmax(active[:, v]))[:3]
        out = np.zeros((n, 3), np.float32)
        out[:, : len(seen)] = active[:, seen]
        return (out[:, None] == POWERSET).all(2).astype(np.float32)

    def probs_of(self, windows):
        return [self.probs(window) for window in windows]


class ToneEmbedder:
    digest = "tones"

    def embed(self, samples):
        return self.embed_windows(samples, len(samples), [0])[0]

    def embed_windows(self, samples, window, starts):
        found = np.zeros((len(starts), 192), np.float32)
        found[:, : len(PITCHES)] = strengths(np.stack([samples[start : start + window] for start in starts])) > 0.03
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


class Tones:
    def __init__(self):
        self.segmenter, self.embedder = ToneSegmenter(), ToneEmbedder()


def turning():
    return Turning(Tones(), "s", "e")


def said(*parts):
    """Parts `(seconds, voice or None or a tuple of voices)`."""
    made = []
    for n_s, who in parts:
        voices = () if who is None else who if isinstance(who, tuple) else (who,)
        made.append(sum((tone(n_s, RATE_HZ, PITCHES[v], 0.3) for v in voices), silence(n_s, RATE_HZ)))
    return np.concatenate(made)


def found(samples, block=7777):
    return turns_of([samples[i : i + block] for i in range(0, len(samples), block)], RATE_HZ, turning())


def rows(found):
    """(start s, stop s, speaker) of each turn, to 0.05 s."""
    return [
        (pytest.approx(a / RATE_HZ, abs=0.05), pytest.approx(b / RATE_HZ, abs=0.05), int(s))
        for a, b, s in zip(found.starts, found.stops, found.speakers, strict=True)
    ]


def test_two_voices_over_many_windows():
    got = found(said((8, 0), (1, None), (13, 1), (1, None), (9, 0), (1, None), (2, 1)))
    assert rows(got) == [(0, 8, 0), (9, 22, 1), (23, 32, 0), (33, 35, 1)]
    assert got.n_speakers == 2
    assert got.speech_s == pytest.approx([17, 15], abs=0.2)


def test_speakers_are_numbered_by_how_long_they_talk():
    got = found(said((3, 2), (1, None), (9, 0), (1, None), (5, 1)))
    assert [int(s) for s in got.speakers] == [2, 0, 1]
    assert got.centroids.argmax(1).tolist() == [0, 1, 2]


def test_overlap_is_known_and_embedded_apart():
    got = found(said((6, 0), (2, (0, 1)), (5, 1)))
    assert rows(got) == [(0, 8, 0), (6, 13, 1)]
    assert [(a / RATE_HZ, b / RATE_HZ) for a, b in overlap_spans(got)] == [pytest.approx((6, 8), abs=0.05)]
    assert (got.pieces @ got.centroids.T).max(1) == pytest.approx(1, abs=1e-3)


def test_somebody_who_only_talks_over_the_one_speaker_is_a_second_one():
    got = found(said((4, 0), (1.5, (0, 3)), (4, 0)))
    assert got.n_speakers == 2
    assert not got.centroids[1].any()


def test_a_word_put_in_is_no_overlap():
    got = found(said((4, 0), (0.4, 1), (4, 0), (0.4, None), (3, 1)))
    assert rows(got) == [(0, 4, 0), (4, 4.4, 1), (4.4, 8.4, 0), (8.8, 11.8, 1)]
    assert sum(b - a for a, b in overlap_spans(got)) <= 2 * STEP  # the frames that hold both


def test_a_short_pause_ends_no_turn():
    assert rows(found(said((4, 0), (0.4, None), (4, 0), (0.7, None), (2, 0)))) == [(0, 8.4, 0), (9.1, 11.1, 0)]


def test_changes_lie_between_the_words():
    got = found(said((6, 0), (1, None), (6, 1), (6, 0), (2, None), (3, 0)))
    changes = speaker_changes(got)
    assert [c.at / RATE_HZ for c in changes] == pytest.approx([6.5, 13], abs=0.05)
    assert changes[0].earliest / RATE_HZ == pytest.approx(6, abs=0.05)
    assert changes[0].latest / RATE_HZ == pytest.approx(7, abs=0.05)


def test_overlap_begins_and_ends_with_a_change():
    changes = speaker_changes(found(said((6, 0), (2, (0, 1)), (6, 0))))
    assert [c.at / RATE_HZ for c in changes] == pytest.approx([6, 8], abs=0.05)


@pytest.mark.parametrize("n_s", [0.0, 0.01, 1.0, 10.0, 10.2, 25.0])
def test_nobody_talks(n_s):
    got = found(silence(n_s, RATE_HZ))
    assert got.n_speakers == len(got.starts) == len(got.pieces) == 0
    assert speaker_changes(got) == overlap_spans(got) == []


@pytest.mark.parametrize("n_s", [0.3, 0.6, 9.99, 10.0, 10.01, 15.0, 24.98])
def test_a_turn_reaches_both_ends_of_the_recording(n_s):
    got = found(said((n_s, 0)))
    assert got.starts.tolist() == [0]
    assert got.stops.tolist() == [got.n_samples] == [len(said((n_s, 0)))]


def test_blocks_do_not_matter():
    samples = said((8, 0), (1, None), (13, 1), (5, (0, 1)), (6, 2))
    whole, chunked = found(samples, 1 << 30), found(samples, 1234)
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(chunked, field.name))


@pytest.mark.parametrize("n", [1, 500, WINDOW - 1, WINDOW, WINDOW + 1, 400_000, 1_000_000])
def test_every_frame_is_believed_once(n):
    believed = []
    for window, first, part in windows([np.zeros(n, np.float32)]):
        believed += [first + i for i in range(n_frames_of(len(window)))[part]]
    assert believed == list(range(len(believed)))
    assert max(0, (n - 991) // STEP + 1) <= len(believed) <= max(0, (n - 496) // STEP + 1)


def test_another_rate_gives_the_same_times(tmp_path, store):
    samples = np.repeat(said((8, 0), (1, None), (6, 1)), 3)  # 48 kHz
    got = turns_of([samples], 48_000, turning())
    assert got.stops[-1] == len(samples)
    assert got.starts[1] / 48_000 == pytest.approx(9, abs=0.05)


def test_turns_are_kept_by_settings(tmp_path, store):
    copy, settings = copy_of(tmp_path, np.repeat(said((3, 0), (3, 1)), 3)[::2].copy()), turning()
    first = turns(copy, settings, store)
    n_calls = settings.networks.segmenter.calls
    again = turns(copy, settings, store)
    assert settings.networks.segmenter.calls == n_calls > 0
    for field in dataclasses.fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    turns(copy, dataclasses.replace(settings, same_voice=0.6), store)
    assert settings.networks.segmenter.calls > n_calls


def voices(n_voices, n_each, spread, seed=1):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_voices, 192))
    vectors = (centres[:, None] + spread * rng.standard_normal((n_voices, n_each, 192))).reshape(-1, 192)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("n_each", [1, 7, 900])
def test_clusters_are_the_voices_however_many_units(n_each):
    labels = cluster(voices(4, n_each, 0.6), np.ones(4 * n_each, np.float32), 0.45, 0.8)
    assert [len(set(part)) for part in labels.reshape(4, -1).tolist()] == [1] * 4
    assert len(set(labels.tolist())) == 4


def test_a_short_unit_founds_no_voice_and_an_empty_one_has_none():
    vectors = np.concatenate([voices(2, 3, 0.1), voices(1, 1, 0.1, seed=2), np.zeros((1, 192), np.float32)])
    seconds = np.array([2, 2, 2, 2, 2, 2, 0.3, 0], np.float32)
    labels = cluster(vectors, seconds, 0.45, 0.8)
    assert set(labels[:6].tolist()) == {0, 1}
    assert labels[6] in (0, 1)
    assert labels[7] == -1


class OneVoice:
    digest = "one"

    def probs(self, samples):
        return np.tile(np.float32([0, 1, 0, 0, 0, 0, 0]), (n_frames_of(len(samples)), 1))

    def probs_of(self, windows):
        return [self.probs(window) for window in windows]

    def embed(self, samples):
        return self.embed_windows(samples, len(samples), [0])[0]

    def embed_windows(self, samples, window, starts):
        return np.full((len(starts), 192), 192**-0.5, np.float32)


def peak_bytes(minutes):
    class Networks:
        segmenter = embedder = OneVoice()

    block = noise(10, RATE_HZ)
    tracemalloc.start()
    turns_of((block for _ in range(6 * minutes)), RATE_HZ, dataclasses.replace(turning(), networks=Networks()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_grows_by_the_embeddings_alone():
    n_more = 20 * 60 / 5  # pieces in 20 minutes more: one to each 5 s
    assert peak_bytes(24) - peak_bytes(4) < n_more * 192 * 16


@pytest.mark.data
@pytest.mark.model
def test_two_readers_in_a_row(data):
    """Jehanne's turn, then Devauchelle's: one change, near 8.9 s in the labels."""
    samples, rate_hz = read_mono(data / "speakers" / "diarization" / "fr_lamartine_2spk.wav")

    class Networks:
        segmenter, embedder = open_segmentation(cache_root()), open_campplus(cache_root())

    got = turns_of([samples], rate_hz, dataclasses.replace(turning(), networks=Networks()))
    label = (data / "speakers" / "labels" / "fr_lamartine_2spk.rttm").read_text().split("\n")
    second = next(float(line.split()[3]) for line in label if line and line.split()[7] != label[0].split()[7])
    assert got.n_speakers == 2
    (change,) = speaker_changes(got)
    assert change.at / rate_hz == pytest.approx(second, abs=0.6)
