"""DNSMOS: how clean and natural a listener would find 9.01 s of speech (Microsoft's P.835 and P.808 networks).

Same windows and same numbers as the `speechmos` package (personalised models off), for less work: 95 % of the P.835
network is four convolutions that see 50 ms to each side, so windows that overlap share them, and only a window's own
edges are worked out anew (see `P835`). The mel matrix of P.808 is librosa's (a test compares them), written out here
because importing `librosa.filters` for it costs every worker 3.5 s and 160 MB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prep.audio import Samples

RATE_HZ = 16_000
WINDOW = 144_160
"""Samples the networks take: 9.01 s."""
FFT, HOP, MELS = 321, 160, 120
TOP_DB = 80.0
Floats = npt.NDArray[np.float32]

PAIR = 2 * HOP
"""Samples per row of the pooled map."""
PAIRS = (WINDOW - HOP) // PAIR
REACH = 4
"""Frames that four 3x3 convolutions see to each side."""
CHUNK_PAIRS = 64
# Names inside the network; its bytes are pinned.
_STFT = ("time2freq/stft-real/kernel:0", "time2freq/stft-imag/kernel:0")
_SPECTRUM = "adjusted_input6"
_POOLED = "mos_estimator_logpow/conv2d_3/Relu:0_pooling0"
_RAW = "Identity:0"

# The published polynomials from raw outputs to scores, highest power first.
SIG = (-0.08397278, 1.22083953, 0.0052439)
BAK = (-0.13166888, 1.60915514, -0.39604546)
OVRL = (-0.06766283, 1.11546468, 0.04602535)


@dataclass(frozen=True)
class Scores:
    """Predicted opinion of listeners, about 1 (bad) to 5 (excellent): overall, speech, background, and P.808."""

    ovrl: float
    sig: float
    bak: float
    p808: float


class Dnsmos:
    """The two networks, open.

    Args:
        folder: where `sig_bak_ovr.onnx` and `model_v8.onnx` lie (the registry's `dnsmos`).
    """

    def __init__(self, folder: Path) -> None:
        self._p835 = P835((folder / "sig_bak_ovr.onnx").read_bytes())
        self._p808 = _open((folder / "model_v8.onnx").read_bytes())

    def score(self, samples: Samples, starts: Sequence[int]) -> Scores:
        """Mean scores over windows of `WINDOW` samples.

        Args:
            samples: `(n,)` at 16 kHz, full scale = 1.
            starts: first sample of each window, ascending; at least one, all windows inside.
        """
        scores = []
        for start, (sig, bak, ovrl) in zip(starts, self._p835.raw(samples, starts), strict=True):
            mel = log_mel(samples[start : start + WINDOW - HOP])
            p808 = float(self._p808.run(None, {"input_1": mel[None]})[0][0, 0])
            scores.append([*map(_score, (OVRL, SIG, BAK), (ovrl, sig, bak)), p808])
        return Scores(*np.mean(scores, axis=0).tolist())


def _score(polynomial: tuple[float, ...], raw: float) -> float:
    return float(np.polyval(polynomial, raw))


class P835:
    """The network for speech, background and overall quality, cut in two where windows stop being alike.

    Its lower half (spectrum, four 3x3 convolutions, 2x2 pooling) is run over stretches of `CHUNK` frames with
    `REACH` frames of margin, and once more over each window's two edges, where the network sees zeros beyond the
    window; its upper half runs once per window.

    Args:
        model: bytes of `sig_bak_ovr.onnx`.
    """

    def __init__(self, model: bytes) -> None:
        import onnx

        whole = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
        cutter = onnx.utils.Extractor(whole)
        self._lower = _open(_cut(cutter, _SPECTRUM, _POOLED))
        self._upper = _open(_cut(cutter, _POOLED, _RAW))
        kernels = {
            item.name: onnx.numpy_helper.to_array(item)[:, :, 0].T
            for item in whole.graph.initializer[:]
            if item.name in _STFT
        }
        self._bases = np.ascontiguousarray(np.concatenate([kernels[name] for name in _STFT], axis=1))

    def raw(self, samples: Samples, starts: Sequence[int]) -> Iterator[tuple[float, float, float]]:
        """Raw (speech, background, overall) of each window; windows a multiple of 20 ms apart share their work."""
        shared: dict[int, tuple[int, dict[int, Floats]]] = {}
        for start in starts:
            origin, chunks = shared.setdefault(start % PAIR, (start, {}))
            first = (start - origin) // PAIR
            yield self._window(samples[origin:], first, chunks)

    def _window(self, samples: Samples, first: int, chunks: dict[int, Floats]) -> tuple[float, float, float]:
        """One window, `first` pairs of frames after the origin; `chunks` holds what earlier windows worked out."""
        margin = REACH // 2
        inner = range((first + margin) // CHUNK_PAIRS, -(-(first + PAIRS - margin) // CHUNK_PAIRS))
        for at in [at for at in chunks if at < inner.start]:
            del chunks[at]
        for at in inner:
            if at not in chunks:
                chunks[at] = self._chunk(samples, at * CHUNK_PAIRS)
        middle = np.concatenate([chunks[at] for at in inner], axis=2)
        skip = first + margin - inner.start * CHUNK_PAIRS
        middle = middle[:, :, skip : skip + PAIRS - 2 * margin]
        window, n_edge = samples[first * PAIR :][:WINDOW], (2 * REACH + 1) * HOP
        edges = np.stack([self._spectrum(window[:n_edge]), self._spectrum(window[-n_edge:])])
        head, tail = self._pooled(edges)
        pooled = np.concatenate([head[None, :, :margin], middle, tail[None, :, -margin:]], axis=2)
        sig, bak, ovrl = self._upper.run(None, {_POOLED: pooled})[0][0].tolist()
        return sig, bak, ovrl

    def _chunk(self, samples: Samples, first: int) -> Floats:
        """Pooled map of the pairs `[first, first + CHUNK_PAIRS)`, or of as many as there are samples for."""
        before = min(first, REACH // 2)
        begin = (first - before) * PAIR
        frames = self._spectrum(samples[begin : begin + (before + CHUNK_PAIRS + REACH // 2) * PAIR + HOP])
        return self._pooled(frames[None])[:, :, before : before + CHUNK_PAIRS]

    def _pooled(self, spectra: Floats) -> Floats:
        """`(n, frames, 161)` -> `(n, 32, frames / 2, 80)`."""
        return np.asarray(self._lower.run(None, {_SPECTRUM: spectra[:, None]})[0], np.float32)

    def _spectrum(self, samples: Samples) -> Floats:
        """log10 power `(frames, 161)`: 20 ms, every 10 ms."""
        frames = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(samples, 2 * HOP)[::HOP])
        turns = frames @ self._bases
        half = turns.shape[1] // 2
        return np.asarray(np.log10(np.maximum(turns[:, :half] ** 2 + turns[:, half:] ** 2, 1e-12)), np.float32)


def _cut(cutter: Any, source: str, target: str) -> bytes:
    """The part of a network between two of its values, for any number of frames."""
    part = cutter.extract_model([source], [target])
    for value in (*part.graph.input, *part.graph.output):
        for axis in (0, 2):
            if axis < len(value.type.tensor_type.shape.dim):
                value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}_{axis}"
    del part.graph.value_info[:]
    return bytes(part.SerializeToString())


def fill_window(samples: Samples) -> Samples:
    """`(n,)` samples, n > 0, repeated until they fill one window; a signal that already fills one as it is."""
    return samples if len(samples) >= WINDOW else np.resize(samples, WINDOW)


def spread_starts(n_samples: int) -> tuple[int, ...]:
    """Starts of the fewest windows that cover `n_samples >= WINDOW`, evenly spread, a multiple of 20 ms apart.

    So that they share their work, they may end up to 20 ms early.
    """
    n_windows = -(-n_samples // WINDOW)
    return tuple(int(start) // PAIR * PAIR for start in np.linspace(0, n_samples - WINDOW, n_windows))


def log_mel(samples: Samples) -> Floats:
    """Log-mel power `(frames, 120)` as the P.808 network was given it: dB under the loudest bin, 80 deep, (dB+40)/40.

    Args:
        samples: `(n,)` at 16 kHz; one frame per 160 samples, zeros before and after.
    """
    cosine_sine, bank = _bases()
    padded = np.pad(samples, FFT // 2)
    frames = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP])
    spectrum = frames @ cosine_sine
    half = spectrum.shape[1] // 2
    mel = (spectrum[:, :half] ** 2 + spectrum[:, half:] ** 2) @ bank
    loudest = max(1e-10, float(mel.max()))
    db = 10 * np.log10(np.maximum(mel, 1e-10) / np.float32(loudest))
    return np.asarray((np.maximum(db, db.max() - TOP_DB) + 40) / 40, np.float32)


@cache
def _bases() -> tuple[Floats, Floats]:
    """Hann-windowed DFT as a matrix `(321, 2 * 161)` (321 = 3 * 107 has no fast transform), and the mel bank."""
    n = np.arange(FFT)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / FFT)
    turns = hann[:, None] * np.exp(-2j * np.pi * np.outer(n, np.arange(FFT // 2 + 1)) / FFT)
    return np.concatenate([turns.real, turns.imag], axis=1).astype(np.float32), mel_bank()


def mel_bank() -> Floats:
    """Slaney's triangles `(161, 120)` from 0 to 8 kHz, each of unit area: `librosa.filters.mel`'s defaults."""
    edges = _mel_to_hz(np.linspace(0, _HIGHEST_MEL, MELS + 2))
    bins = np.fft.rfftfreq(FFT, 1 / RATE_HZ)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (edges[2:] - edges[:-2])), np.float32)


# Slaney's scale: 200/3 Hz a mel up to 1 kHz, then 27 mels for each factor of 6.4.
_LINEAR_HZ, _KNEE_HZ, _LOG_STEP = 200.0 / 3, 1000.0, np.log(6.4) / 27
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ
_HIGHEST_MEL = _KNEE_MEL + float(np.log(RATE_HZ / 2 / _KNEE_HZ) / _LOG_STEP)


def _mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL))
    return np.asarray(np.where(mel < _KNEE_MEL, mel * _LINEAR_HZ, above))


def _open(model: bytes) -> Any:
    """One thread, no memory arena (it would keep the largest activations for good)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"], sess_options=options)
