"""Decoding, placing by timestamp, resampling, reading back."""

import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_kit import (
    decode,
    level_dbfs,
    noise,
    onset_s,
    silence,
    talk,
    tone,
    with_marker,
    write_coded,
    write_pcm,
)
from hypothesis import given
from hypothesis import strategies as st

from prep.audio import CopyReader, CopyWriter, Decoder, Resampler, read_mono, read_span, resample, write_wav16
from prep.errors import BadAudio
from prep.span import Span, rescale

RATES = [(48_000, 24_000), (44_100, 24_000), (24_000, 16_000), (8_000, 24_000), (11_025, 24_000)]


def pushed(samples, from_hz, to_hz, block):
    resampler = Resampler(from_hz, to_hz, samples.shape[1])
    parts = [resampler.push(samples[at : at + block]) for at in range(0, len(samples), block)]
    return np.concatenate([*parts, resampler.push(samples[:0], last=True)])


# Resampling


@pytest.mark.parametrize("block", [1, 7, 441, 1023, 4801])
@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_resampled_in_blocks_is_bit_for_bit_the_whole(from_hz, to_hz, block):
    samples = noise(0.3 if block == 1 else 1.0, from_hz)
    got = pushed(samples[:, None], from_hz, to_hz, block)[:, 0]
    assert np.array_equal(got, resample(samples, from_hz, to_hz))


def test_channels_are_resampled_apart():
    left, right = noise(0.5, 48_000, seed=1), noise(0.5, 48_000, seed=2)
    both = pushed(np.stack([left, right], axis=1), 48_000, 24_000, 997)
    assert np.array_equal(both[:, 1], resample(right, 48_000, 24_000))


@given(st.integers(1, 5000), st.sampled_from(RATES))
def test_resampled_length_is_the_rescaled_length(n, rates):
    assert len(resample(np.zeros(n, np.float32), *rates)) == rescale(n, *rates)


def test_resampling_to_the_same_rate_is_the_same_samples():
    samples = noise(0.1, 24_000)
    assert np.array_equal(pushed(samples[:, None], 24_000, 24_000, 100)[:, 0], samples)


@pytest.mark.parametrize("from_hz", [48_000, 44_100, 16_000])
def test_a_resampled_sine_is_the_sine(from_hz):
    got = resample(tone(1.0, from_hz, 1000.0), from_hz, 24_000)
    want = tone(1.0, 24_000, 1000.0)
    assert np.abs(got - want)[1000:-1000].max() < 1e-4
    assert got.dtype == np.float32


@pytest.mark.parametrize("from_hz", [48_000, 44_100])
@pytest.mark.parametrize("hz", [12_200.0, 13_000.0, 17_000.0, 21_000.0])
def test_what_lies_above_the_new_nyquist_is_gone(from_hz, hz):
    got = resample(tone(2.0, from_hz, hz), from_hz, 24_000)[2400:-2400]
    assert level_dbfs(got) - level_dbfs(tone(1.0, from_hz, hz)) < -100


@pytest.mark.parametrize("from_hz", [48_000, 44_100])
def test_what_lies_at_nine_tenths_of_the_new_nyquist_is_kept(from_hz):
    got = resample(tone(2.0, from_hz, 0.9 * 12_000), from_hz, 24_000)[2400:-2400]
    assert abs(level_dbfs(got) - level_dbfs(tone(1.0, from_hz, 10_800.0))) < 0.1


# Sample formats


@pytest.mark.parametrize(
    ("subtype", "error", "bits"),
    [
        ("PCM_U8", 2**-7, 8),
        ("PCM_16", 2**-15, 16),
        ("PCM_24", 2**-23, 32),
        ("PCM_32", 2**-24, 32),
        ("FLOAT", 0, 32),
        ("DOUBLE", 1e-7, 64),
        ("ULAW", 0.02, 16),
    ],
)
def test_every_sample_format_has_the_same_scale(tmp_path, subtype, error, bits):
    samples = np.stack([tone(0.5, 16_000, 300.0), tone(0.5, 16_000, 700.0, 0.9)], axis=1)
    path = write_pcm(tmp_path / "x.wav", samples, 16_000, subtype)
    got, rate_hz, stats = decode(path)
    assert (rate_hz, got.dtype, got.shape) == (16_000, np.float32, samples.shape)
    assert np.abs(got - samples).max() <= error
    assert (stats.decoded_s, stats.decode_errors, stats.gap_s) == (0.5, 0, 0.0)
    with Decoder(path) as decoder:
        assert (decoder.probe.n_channels, decoder.probe.bit_depth) == (2, bits)


def test_full_scale_is_kept_and_floats_may_exceed_it(tmp_path):
    samples = np.array([1.0, -1.0, 1.5, -2.0] * 500, np.float32)
    got, _, _ = decode(write_pcm(tmp_path / "x.wav", samples, 8_000, "FLOAT"))
    assert np.array_equal(got[:, 0], samples)


def test_nan_and_infinity_are_counted_and_silenced(tmp_path):
    samples = tone(2.5, 16_000)
    bad = samples.copy()
    bad[[3, 39_990, 39_999]] = [np.nan, np.inf, -np.inf]
    got, _, stats = decode(write_pcm(tmp_path / "x.wav", bad, 16_000, "FLOAT"))
    assert stats.nonfinite_samples == 3
    assert got[[3, 39_990, 39_999], 0].tolist() == [0, 0, 0]
    assert np.array_equal(np.delete(got[:, 0], [3, 39_990, 39_999]), np.delete(samples, [3, 39_990, 39_999]))


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "late_s"),
    [
        ("x.mp3", "libmp3lame", 44_100, 0.0),
        ("x.opus", "libopus", 48_000, 0.0),
        ("x.m4a", "aac", 44_100, 0.0),
        ("x.mkv", "libopus", 48_000, 0.0),
    ],
)
def test_coded_audio_begins_where_it_began(tmp_path, name, codec, rate_hz, late_s):
    samples = with_marker(noise(4.0, rate_hz, 0.01), 2.5, rate_hz)
    got, got_hz, stats = decode(write_coded(tmp_path / name, samples, rate_hz, codec))
    assert got_hz == rate_hz
    assert onset_s(got[:, 0], rate_hz) == pytest.approx(2.5 + late_s, abs=0.005)
    assert stats.decoded_s == pytest.approx(4.0, abs=0.05)
    assert (stats.n_gaps, stats.decode_errors, stats.lead_s) == (0, 0, 0.0)


# Damage


@pytest.fixture(scope="module")
def minute_mp3(tmp_path_factory):
    samples = with_marker(np.tile(talk(5.0, 24_000), 12), 50.0, 24_000)
    return write_coded(tmp_path_factory.mktemp("mp3") / "minute.mp3", samples, 24_000, "libmp3lame")


def test_a_damaged_middle_costs_only_itself(minute_mp3, tmp_path):
    raw = bytearray(minute_mp3.read_bytes())
    middle = len(raw) // 2
    rng = np.random.default_rng(1)
    raw[middle : middle + 3000] = bytes(
        byte ^ int(flip) for byte, flip in zip(raw[middle : middle + 3000], rng.integers(1, 256, 3000), strict=True)
    )
    path = tmp_path / "damaged.mp3"
    path.write_bytes(raw)
    got, rate_hz, stats = decode(path)
    assert stats.decoded_s >= 59.0
    assert stats.decode_errors >= 1
    # A bare MP3 has no times: frames whose heads are gone are lost without a trace, a quarter second here.
    assert stats.decoded_s + stats.gap_s == pytest.approx(60.0, abs=0.3)
    assert onset_s(got[:, 0], rate_hz, after_s=45.0) == pytest.approx(50.0, abs=0.3)


def test_a_truncated_file_gives_what_is_there(minute_mp3, tmp_path):
    raw = minute_mp3.read_bytes()
    (tmp_path / "half.mp3").write_bytes(raw[: len(raw) // 2])
    _, _, stats = decode(tmp_path / "half.mp3")
    assert stats.decoded_s == pytest.approx(30.0, abs=0.2)


@pytest.mark.parametrize(
    "name",
    [
        "x.flac",
        "x.wav",
    ],
)
def test_the_header_may_promise_more_than_there_is(tmp_path, name):
    raw = write_pcm(tmp_path / name, noise(10.0, 16_000), 16_000).read_bytes()
    (tmp_path / f"half_{name}").write_bytes(raw[: len(raw) // 2])
    with Decoder(tmp_path / f"half_{name}") as decoder:
        assert decoder.probe.declared_s == pytest.approx(10.0, abs=0.01)
        n_samples = sum(len(block.samples) for block in decoder.blocks())
        assert decoder.stats.decoded_s == pytest.approx(n_samples / 16_000) == pytest.approx(5.0, abs=0.3)


# Timestamps


def opus(folder: Path, name: str, stamp=None, n_s: float = 10.0) -> Path:
    samples = with_marker(noise(n_s, 48_000, 0.02), 8.0, 48_000)
    return write_coded(folder / name, samples, 48_000, "libopus", stamp)


@pytest.mark.parametrize("name", ["x.mkv", "x.webm"])
@pytest.mark.parametrize("lost", [(100,), (100, 101, 102), (50, 200, 201)], ids=["one", "three", "two places"])
def test_lost_packets_are_filled_where_they_were(tmp_path, name, lost):
    path = opus(tmp_path, name, lambda i, at_s: None if i in lost else at_s)
    got, rate_hz, stats = decode(path)
    runs = [i for i in lost if i - 1 not in lost]
    assert stats.n_gaps == len(runs)
    assert stats.gap_s == pytest.approx(0.02 * len(lost), abs=0.003)
    assert [at_s for at_s, _ in stats.gaps] == pytest.approx([0.02 * i for i in runs], abs=0.01)
    assert onset_s(got[:, 0], rate_hz) == pytest.approx(8.0, abs=0.005)
    for at_s, length_s in stats.gaps:
        hole = got[round((at_s + 0.001) * rate_hz) : round((at_s + length_s - 0.001) * rate_hz), 0]
        assert not hole.any()


def test_packets_lost_in_ogg_leave_the_rest_in_place(tmp_path):
    path = opus(tmp_path, "x.opus", lambda i, at_s: None if 100 <= i < 110 else at_s)
    got, rate_hz, stats = decode(path)
    assert stats.gap_s == pytest.approx(0.2, abs=0.003)
    assert stats.gaps[0][0] == pytest.approx(2.0, abs=1.1)  # an Ogg page holds a second and has one time
    assert onset_s(got[:, 0], rate_hz) == pytest.approx(8.0, abs=0.005)


@pytest.mark.parametrize(
    "stamp",
    [
        lambda i, at_s: at_s + 0.006 * np.sin(1.7 * i) + 0.006,
        lambda i, at_s: max(0.0, at_s - 0.05 * (i % 50) / 50) if i else 0.0,
        lambda i, at_s: at_s * 1.002,
    ],
    ids=["wobble", "early", "drift"],
)
def test_sloppy_stamps_make_no_gaps(tmp_path, stamp):
    last = [-1.0]

    def rising(i, at_s):
        last[0] = max(last[0] + 0.001, stamp(i, at_s))
        return last[0]

    got, rate_hz, stats = decode(opus(tmp_path, "x.mkv", rising))
    assert (stats.n_gaps, stats.gap_s, stats.timestamp_jumps) == (0, 0.0, 0)
    assert len(got) / rate_hz == pytest.approx(10.0, abs=0.02)
    assert onset_s(got[:, 0], rate_hz) == pytest.approx(8.0, abs=0.015)


def test_a_jump_of_hours_is_a_broken_clock_not_a_pause(tmp_path):
    path = opus(tmp_path, "x.mkv", lambda i, at_s: at_s + (7200.0 if i >= 100 else 0.0))
    got, rate_hz, stats = decode(path)
    assert (stats.timestamp_jumps, stats.n_gaps) == (1, 0)
    assert len(got) / rate_hz == pytest.approx(10.0, abs=0.05)


def test_a_clock_that_begins_anew_runs_on(tmp_path):
    part = write_coded(tmp_path / "part.ts", talk(5.0, 48_000), 48_000, "mp2")
    (tmp_path / "joined.ts").write_bytes(part.read_bytes() * 2)
    got, rate_hz, stats = decode(tmp_path / "joined.ts")
    assert len(got) / rate_hz == pytest.approx(10.0, abs=0.1)
    assert (stats.timestamp_jumps, stats.n_gaps) == (1, 0)


def test_audio_that_starts_late_keeps_its_place(tmp_path):
    samples = with_marker(silence(5.0, 48_000), 1.0, 48_000)
    path = write_coded(tmp_path / "x.mkv", samples, 48_000, "libopus", lambda i, at_s: at_s + 2.0, video=True)
    got, rate_hz, stats = decode(path)
    assert stats.lead_s == pytest.approx(2.0, abs=0.01)
    assert stats.decoded_s == pytest.approx(5.0, abs=0.05)
    assert onset_s(got[:, 0], rate_hz) == pytest.approx(3.0, abs=0.005)


@pytest.mark.data
def test_stamps_of_a_windows_media_file_make_no_gaps(data):
    _, _, stats = decode(data / "long" / "columbia_2003.wma")
    assert (stats.n_gaps, stats.timestamp_jumps) == (0, 0)
    assert stats.decoded_s == pytest.approx(198.763, abs=0.2)


@pytest.mark.data
def test_a_second_track_can_be_chosen(data):
    path = data / "media" / "formats" / "jfk_two_tracks.mka"
    first, _, _ = decode(path, 0)
    second, _, _ = decode(path, 1)
    assert not np.array_equal(first[:40_000], second[:40_000])
    with pytest.raises(BadAudio, match=r"2 audio track.*number 2 was asked"):
        Decoder(path, 2)


PRIMING_MS = {
    "adts.aac": 24,
    ".ts": 24,
    ".flv": 26,
    ".avi": 26,
    ".mp2": 11,
    ".mpg": 11,
    ".wma": 46,
    ".ac3": 6,
    ".amr": 6,
    ".3gp": 2,
}
"""Encoder delay that the container does not tell; no reader could take it off."""


@pytest.mark.data
def test_every_format_places_speech_where_it_was(data):
    folder = data / "media" / "formats"
    truth = decode(folder / "jfk_8000hz.wav")[0][3200:11_200, 0]
    wrong = {}
    for path in sorted(folder.glob("jfk_*")):
        if "video_only" in path.name:
            continue
        with Decoder(path) as decoder:
            blocks = list(islice(decoder.blocks(), 6))
        got, rate_hz = np.concatenate([block.samples for block in blocks]), blocks[0].rate_hz
        heard = resample(np.ascontiguousarray(got.mean(axis=1)), rate_hz, 8_000)
        n = 1 << 16
        near = np.fft.irfft(np.fft.rfft(heard, n) * np.conj(np.fft.rfft(truth, n)))[: len(heard)]
        off_ms = (int(np.argmax(near)) - 3200) / 8
        want_ms = 2000 if "starts_at_2s" in path.name else 200 if "fragmented" in path.name else 0
        late_ms = max((ms for end, ms in PRIMING_MS.items() if path.name.endswith(end)), default=1)
        if not -2 <= off_ms - want_ms <= late_ms:
            wrong[path.name] = off_ms
    assert wrong == {}


# Refusals


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.wav", b"Dear all,\nplease find the recording attached.\n" * 50),
        ("empty.mp3", b""),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:5,\nsecret.wav\n#EXT-X-ENDLIST\n"),
        ("list.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nsecret.wav\n#EXT-X-ENDLIST\n"),
        ("joined.txt", b"ffconcat version 1.0\nfile secret.wav\n"),
        ("joined.wav", b"ffconcat version 1.0\nfile secret.wav\n"),
        ("list.pls", b"[playlist]\nFile1=secret.wav\nNumberOfEntries=1\n"),
        ("stream.sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=audio 5004 RTP/AVP 0\n"),
        ("zeros.wav", bytes(4096)),
        ("riff.wav", b"RIFF\xff\xff\xff\xffWAVEfmt "),
    ],
)
def test_what_is_no_recording_is_refused_by_name(tmp_path, name, content):
    write_pcm(tmp_path / "secret.wav", tone(5.0, 8_000), 8_000)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadAudio, match=name) as refused:
        decode(tmp_path / name)
    assert refused.value.source == str(tmp_path / name)
    assert len(refused.value.cause) > 10


def test_a_folder_a_pipe_and_a_missing_file_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for name, cause in [("pipe.wav", "not a regular file"), (".", "not a regular file"), ("none.wav", "No such file")]:
        with pytest.raises(BadAudio, match=cause):
            Decoder(tmp_path / name)


def test_a_video_without_sound_says_so(tmp_path):
    import av

    with av.open(str(tmp_path / "x.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(BadAudio, match="no audio track"):
        Decoder(tmp_path / "x.mkv")


# Working copies


def test_a_copy_reads_back_within_a_24_bit_step(tmp_path):
    samples = noise(3.3, 24_000)
    writer = CopyWriter(tmp_path / "x.flac", 24_000)
    for at in range(0, len(samples), 70_001):
        writer.write(samples[at : at + 70_001])
    writer.close()
    assert soundfile.info(tmp_path / "x.flac").subtype == "PCM_24"
    assert (writer.n_samples, writer.n_overs) == (len(samples), 0)
    with CopyReader(tmp_path / "x.flac") as reader:
        assert (reader.n_samples, reader.rate_hz) == (len(samples), 24_000)
        whole = reader.read(0, reader.n_samples)
        assert np.abs(whole - samples).max() <= 2**-23
        assert np.array_equal(np.concatenate(list(reader.blocks(0.7))), whole)
        assert np.array_equal(reader.read(50_000, 50_010), whole[50_000:50_010])
        assert np.array_equal(reader.read(-5, 10), whole[:10])
        assert np.array_equal(reader.read(79_000, 10**9), whole[79_000:])
        assert len(reader.read(10, 10)) == len(reader.read(10**8, 10**9)) == 0


def test_what_exceeds_full_scale_is_counted_then_clipped(tmp_path):
    writer = CopyWriter(tmp_path / "x.flac", 8_000)
    writer.write(np.array([0.5, 1.0, 1.2, -3.0, -1.0], np.float32))
    writer.close()
    assert writer.n_overs == 2
    assert read_mono(tmp_path / "x.flac")[0] == pytest.approx([0.5, 1, 1, -1, -1], abs=2**-22)


def test_a_span_is_read_at_its_own_rate_only(tmp_path):
    write_wav16(tmp_path / "x.wav", tone(1.0, 8_000), 8_000)
    got = read_span(tmp_path / "x.wav", Span(100, 300, 8_000))
    assert np.abs(got - tone(1.0, 8_000)[100:300]).max() <= 2**-15
    with pytest.raises(ValueError, match="8000 Hz, the span at 16000 Hz"):
        read_span(tmp_path / "x.wav", Span(100, 300, 16_000))
