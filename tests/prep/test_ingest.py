"""Sources to working copies."""

import csv
import socket
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_kit import DATA, noise, onset_s, silence, source_of, talk, tone, with_marker, write_pcm

from prep.audio import read_span
from prep.clip import Source, WorkingCopy
from prep.errors import BadAudio
from prep.span import rescale
from prep.stages.ingest import CLIP_LEVEL, Ingest, NativeMeter, clipped_mask, ingest, true_peak
from prep.store import Store


def copies_of(samples, native_hz, store, **settings):
    folder = store.root.parent
    return ingest(source_of(write_pcm(folder / "x.wav", samples, native_hz, "FLOAT")), Ingest(**settings), store)


def left_over(store: Store) -> list[Path]:
    return list((store.root / "tmp").glob("*"))


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 44_100, 48_000])
def test_a_working_copy_is_the_recording_at_24_khz(store, rate_hz):
    n = rate_hz * 2 + 17
    samples = with_marker(noise(3.0, rate_hz, 0.01), 1.25, rate_hz)[:n]
    (copy,) = copies_of(samples, rate_hz, store)
    assert (copy.channel, copy.span.start, copy.span.rate_hz) == ("mono", 0, 24_000)
    assert copy.span.stop == rescale(n, rate_hz, 24_000)
    info = soundfile.info(copy.path)
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (copy.span.stop, 24_000, 1, "PCM_24")
    assert onset_s(read_span(copy.path, copy.span), 24_000) == pytest.approx(1.25, abs=0.001)
    assert copy.facts["native_rate_hz"] == rate_hz
    assert left_over(store) == []


def test_the_rate_is_a_setting(store):
    (copy,) = copies_of(tone(1.0, 48_000), 48_000, store, rate_hz=16_000)
    assert (copy.span.rate_hz, copy.span.stop) == (16_000, 16_000)


def test_a_second_time_nothing_is_decoded(store, tmp_path):
    path = write_pcm(tmp_path / "x.wav", talk(2.0, 16_000), 16_000)
    source = source_of(path)
    first = ingest(source, Ingest(), store)
    path.unlink()
    assert ingest(source, Ingest(), store) == first


def test_the_same_bytes_under_another_name_share_the_copy_and_keep_their_name(store, tmp_path):
    path = write_pcm(tmp_path / "x.wav", talk(2.0, 16_000), 16_000)
    (a,) = ingest(source_of(path, "monday.wav"), Ingest(), store)
    (b,) = ingest(source_of(path, "tuesday.wav"), Ingest(), store)
    assert (a.key, a.path) == (b.key, b.path)
    assert (a.source.name, b.source.name) == ("monday.wav", "tuesday.wav")


def test_another_setting_is_another_copy(store, tmp_path):
    source = source_of(write_pcm(tmp_path / "x.wav", np.stack([talk(2.0, 16_000)] * 2, axis=1), 16_000))
    keys = {
        ingest(source, settings, store)[0].key for settings in [Ingest(), Ingest(rate_hz=16_000), Ingest(channels="1")]
    }
    assert len(keys) == 3


def test_a_lost_blob_is_made_again(store, tmp_path):
    source = source_of(write_pcm(tmp_path / "x.wav", talk(2.0, 16_000), 16_000))
    (first,) = ingest(source, Ingest(), store)
    first.path.unlink()
    assert ingest(source, Ingest(), store) == (first,)
    assert first.path.exists()


def test_an_error_names_the_source_as_the_user_did_and_leaves_nothing(store, tmp_path):
    path = write_pcm(tmp_path / "x.wav", noise(5.0, 16_000), 16_000)
    with pytest.raises(BadAudio, match=r"^my talk\.wav: decodes to more than 0\.001 h") as refused:
        ingest(source_of(path, "my talk.wav"), Ingest(max_duration_s=3.6), store)
    assert refused.value.source == "my talk.wav"
    assert left_over(store) == []
    assert store.size_bytes() == 0


def test_text_named_wav_is_refused_by_the_users_name(store, tmp_path):
    (tmp_path / "x.wav").write_text("Dear all,\n" * 100)
    with pytest.raises(BadAudio) as refused:
        ingest(source_of(tmp_path / "x.wav", "letters/x.wav"), Ingest(), store)
    assert refused.value.cause.startswith("not audio")
    assert refused.value.source == "letters/x.wav"


def test_too_little_is_refused(store):
    with pytest.raises(BadAudio, match=r"only 0\.0050 s"):
        copies_of(tone(0.005, 16_000), 16_000, store)


def test_digital_silence_is_a_recording(store):
    (copy,) = copies_of(silence(5.0, 16_000), 16_000, store)
    assert copy.span.duration_s == 5.0
    assert (copy.facts["sample_peak_dbfs"], copy.facts["true_peak_dbtp"]) == (None, None)


# Channels, from file to copy


def test_opposite_phase_keeps_its_level(store):
    voice = talk(3.0, 24_000)
    (copy,) = copies_of(np.stack([voice, -voice], axis=1), 24_000, store)
    assert copy.channel == "1"
    assert np.abs(read_span(copy.path, copy.span) - voice).max() < 1e-6
    assert copy.facts["channel_correlation"] == -1.0


def test_two_parties_become_two_copies_of_one_length(store):
    on, off = talk(4.0, 24_000), silence(4.0, 24_000)
    a, b = np.concatenate([on, off, on]), np.concatenate([off, 0.9 * on, off])
    first, second = copies_of(np.stack([a, b], axis=1), 24_000, store)
    assert (first.channel, second.channel) == ("1", "2")
    assert first.key != second.key
    assert np.abs(read_span(first.path, first.span) - a).max() < 1e-6
    assert np.abs(read_span(second.path, second.span) - b).max() < 1e-6


def test_a_plan_the_whole_recording_speaks_against_is_made_anew(store):
    voice = np.tile(talk(5.0, 16_000), 40)
    right = np.concatenate([silence(40.0, 16_000), voice[40 * 16_000 :]])
    (copy,) = copies_of(np.stack([voice, right], axis=1), 16_000, store, rate_hz=16_000)
    assert copy.channel == "mix"
    samples = read_span(copy.path, copy.span)
    assert np.abs(samples[:640_000] - voice[:640_000] / 2).max() < 1e-6
    assert np.abs(samples[640_000:] - voice[640_000:]).max() < 1e-6
    assert left_over(store) == []
    assert len(list((store.root / "blobs").rglob("*.flac"))) == 1


# What resampling would hide


def test_clipped_runs_are_marked_whole_and_short_ones_not_at_all():
    signal = np.array([0, 1, 1, 0, 1, 1, 1, 0, -1, -1, -1, -1, 1, 1, -1, 0.98, 0.98, 0.98], np.float32)
    want = [0, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert clipped_mask(signal[:, None])[:, 0].astype(int).tolist() == want


@pytest.mark.parametrize("at", [0, 47])
def test_clipped_runs_at_the_ends_count(at):
    signal = np.zeros((50, 2), np.float32)
    signal[at : at + 3, 1] = -CLIP_LEVEL
    assert np.flatnonzero(clipped_mask(signal)[:, 1]).tolist() == [at, at + 1, at + 2]
    assert not clipped_mask(signal)[:, 0].any()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_less_than_a_run_is_never_clipped(n):
    assert not clipped_mask(np.ones((n, 1), np.float32)).any()


def test_true_peak_between_the_samples():
    between = tone(0.5, 48_000, 12_000.0, amplitude=1.0, phase=np.pi / 4)  # every sample at 0.707
    assert np.abs(between).max() == pytest.approx(0.7071, abs=1e-3)
    over_db = 20 * np.log10(true_peak(between[1000:-1000]) / np.abs(between).max())
    assert over_db == pytest.approx(3.01, abs=0.2)


def test_true_peak_of_slow_sound_is_the_sample_peak():
    assert true_peak(tone(0.5, 48_000, 100.0, 0.5)) == pytest.approx(0.5, rel=2e-3)
    assert true_peak(np.zeros(0, np.float32)) == 0.0
    assert true_peak(np.zeros((100, 2), np.float32)) == 0.0


def test_native_facts_of_a_made_signal(store):
    samples = np.stack([tone(4.0, 16_000, 100.0, 0.5)] * 2, axis=1)
    samples[52_001:52_009, 0] = 1.0  # 8 samples from 3.25 s
    samples[100, 1] = -1.5
    (copy,) = copies_of(samples, 16_000, store, channels="mix")
    assert copy.facts["clipped_samples"] == 8
    assert copy.facts["clipped_bins"] == [[32, pytest.approx(8 / 16_000)]]
    assert copy.facts["overs"] == 1
    assert copy.facts["sample_peak_dbfs"] == pytest.approx(3.52, abs=0.01)


def test_only_the_channels_used_are_measured(store):
    loud = np.stack([tone(2.0, 16_000, 100.0, 0.25), np.clip(tone(2.0, 16_000, 100.0, 3.0), -1, 1)], axis=1)
    (copy,) = copies_of(loud, 16_000, store, channels="1")
    assert (copy.facts["clipped_samples"], copy.facts["clipped_bins"]) == (0, [])
    assert copy.facts["sample_peak_dbfs"] == pytest.approx(-12.04, abs=0.01)


def test_the_meter_finds_the_true_peak_wherever_it_is():
    samples = tone(3.0, 48_000, 100.0, 0.5)
    start = round(1.7 * 48_000)
    samples[start : start + 960] = tone(0.02, 48_000, 12_000.0, 0.9, np.pi / 4)
    meter = NativeMeter()
    for at in range(0, len(samples), 48_000):
        meter.add(samples[at : at + 48_000, None], 48_000)
    assert meter.facts()["true_peak_dbtp"] == pytest.approx(20 * np.log10(0.9), abs=0.3)
    assert meter.facts()["sample_peak_dbfs"] == pytest.approx(20 * np.log10(0.9 * 0.7071), abs=0.01)


def test_clipping_late_in_a_long_recording_lies_in_its_bin():
    meter = NativeMeter()
    for second in range(100):
        block = np.zeros((48_000, 1), np.float32)
        if second == 73:
            block[24_500:24_510] = 1.0
        meter.add(block, 48_000)
    assert meter.facts()["clipped_bins"] == [[735, pytest.approx(10 / 48_000)]]


def test_a_run_across_two_blocks_is_clipped():
    meter = NativeMeter()
    samples = np.zeros((2000, 1), np.float32)
    samples[998:1002] = 1.0
    meter.add(samples[:1000], 16_000)
    meter.add(samples[1000:], 16_000)
    assert meter.clipped == 4


# Every kind of file


def media() -> list[dict[str, str]]:
    path = DATA / "media" / "manifest.csv"
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def outcome(source: Source, store: Store) -> tuple[tuple[WorkingCopy, ...], BadAudio | None]:
    try:
        return ingest(source, Ingest(), store), None
    except BadAudio as error:
        return (), error


@pytest.mark.data
@pytest.mark.parametrize("row", media(), ids=lambda row: ascii(row["file"])[1:-1][:60])
def test_every_kind_of_file_gets_the_outcome_it_should(row, store, data):
    path = data / "media" / row["file"]
    copies, error = outcome(source_of(path, row["file"]), store)
    if error is not None:
        assert row["expect"] not in {"ok", "partial"}, error.cause
        assert row["file"] in str(error)
        assert left_over(store) == []
        return
    assert row["expect"] not in {"reject", "no_audio"}
    facts = copies[0].facts
    assert {copy.span.stop for copy in copies} == {soundfile.info(copies[0].path).frames}
    assert copies[0].span.duration_s == pytest.approx(facts["decoded_s"] + facts["gap_s"] + facts["lead_s"], abs=0.002)
    if row["expect"] == "ok" and row["file"] != "original/fixture2.3gp":  # the reference stopped early on that one
        assert facts["decoded_s"] == pytest.approx(float(row["duration_s"]), abs=0.05)
        assert facts["n_channels"] == int(row["channels"])
    if row["expect"] == "partial":
        assert float(row["duration_s"]) - 0.2 < facts["decoded_s"] < float(row["header_duration_s"])
        assert facts["decode_errors"] > 0


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "channel"),
    [("jfk_antiphase_stereo.flac", "1"), ("jfk_left_only.flac", "1"), ("../formats/jfk_5.1_3s.wav", "3")],
)
def test_channel_choice_on_real_speech(data, store, name, channel):
    (copy,) = ingest(source_of(data / "media" / "signal" / name), Ingest(), store)
    assert copy.channel == channel


@pytest.mark.data
def test_real_clipping_is_seen_and_the_clean_original_has_none(data, store):
    (clipped,) = ingest(source_of(data / "media" / "signal" / "jfk_clipped.flac"), Ingest(), store)
    (clean,) = ingest(source_of(data / "media" / "formats" / "jfk_f32.wav"), Ingest(), store)
    assert clipped.facts["clipped_samples"] > 1000
    assert clean.facts["clipped_samples"] == 0


def test_a_playlist_to_the_network_connects_to_nobody(tmp_path, store):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.3)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        (tmp_path / "x.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n")
        with pytest.raises(BadAudio):
            ingest(source_of(tmp_path / "x.m3u8"), Ingest(), store)
        with pytest.raises(TimeoutError):
            server.accept()
