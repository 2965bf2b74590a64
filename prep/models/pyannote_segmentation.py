"""Who speaks when inside ten seconds, overlap included: pyannote segmentation 3.0 on onnxruntime.

Network: Plaquet and Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023;
weights MIT (pyannote). SincNet (Ravanelli and Bengio 2018) turns samples into 60 channels every 270 samples, four
bidirectional LSTM layers follow, then one of seven classes per frame: nobody, one of three local speakers, two of them.
The band-pass filters of SincNet depend on the weights alone, so they are worked out here once and stored as a plain
convolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from prep.models.onnx_build import Floats, Graph, Recipe, made_up, network, open_session, run
from prep.models.registry import Progress
from prep.models.unpickle import Tensor

RATE_HZ = 16_000
WINDOW = 160_000
"""Samples the network was trained on at once."""
STEP = 270
"""Samples from one frame to the next."""
REACH = 991
"""Samples one frame sees before the LSTM; its centre is the frame's time."""
N_FRAMES = 589
SHORTEST = 8000
"""Half a second: less is padded with zeros to that."""
N_SPEAKERS = 3
POWERSET = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], np.float32)
"""Class -> which of the three local speakers talk."""
MIN_HZ = 50.0
LAYERS = 4
SLOPE = 0.01


class Segmenter(Protocol):
    """Samples to the activity of local speakers."""

    digest: str

    def probs(self, samples_16k: Floats) -> Floats:
        """Probability of each class of `POWERSET`, `(frames, 7)`, of `(n,)` samples, n <= `WINDOW`.

        Frame i is centred on sample `270 i + 495`. The order of speakers holds inside this window only.
        """
        ...

    def probs_of(self, windows: Sequence[Floats]) -> list[Floats]:
        """`probs` of each; windows of full length are worked out together."""
        ...

    def activity(self, samples_16k: Floats) -> Floats:
        """Activity 0 or 1 of each of three local speakers, `(frames, 3)`: the likeliest class, written out."""
        ...


def decoded(probs: Floats) -> Floats:
    """Activity 0 or 1 of each local speaker, `(frames, 3)`: the likeliest of the classes `(frames, 7)`, written out."""
    return np.asarray(POWERSET[probs.argmax(-1)])


def overlap_of(probs: Floats) -> Floats:
    """Probability that two talk at once, `(frames,)`, of the classes `(frames, 7)`."""
    return np.asarray(probs[:, POWERSET.sum(1) > 1].sum(1))


class PyannoteSegmentation:
    """See `Segmenter`.

    Args:
        session: of a network `(batch, 1, samples)` -> log probabilities `(batch, frames, 7)`.
        digest: of weights and builder, for the keys of results.
    """

    def __init__(self, session: Any, digest: str) -> None:
        self._session = session
        self.digest = digest

    def probs(self, samples_16k: Floats) -> Floats:
        """See `Segmenter.probs`.

        A signal shorter than a window is taken at its own length: padding shifts the network's normalisation (on the
        labelled recordings error 26.1 % padded, 25.4 % not). Where the network has no frame at the very end, the last
        one is repeated. No samples give no frames.
        """
        return self.probs_of([samples_16k])[0]

    def probs_of(self, windows: Sequence[Floats]) -> list[Floats]:
        """See `Segmenter.probs_of`."""
        full = [i for i, window in enumerate(windows) if len(window) == WINDOW]
        found = {i: self._alone(window) for i, window in enumerate(windows) if len(window) != WINDOW}
        if full:
            together = np.exp(self.log_probs(np.stack([windows[i] for i in full])))
            found |= dict(zip(full, together, strict=True))
        return [found[i] for i in range(len(windows))]

    def _alone(self, samples_16k: Floats) -> Floats:
        n_frames = min(N_FRAMES, max(0, (len(samples_16k) - REACH // 2 - 1) // STEP + 1))
        if n_frames == 0:
            return np.zeros((0, len(POWERSET)), np.float32)
        padded = np.pad(samples_16k, (0, max(0, SHORTEST - len(samples_16k))))
        found = np.exp(self.log_probs(padded[None])[0, :n_frames])
        return np.pad(found, ((0, n_frames - len(found)), (0, 0)), mode="edge")

    def activity(self, samples_16k: Floats) -> Floats:
        """See `Segmenter.activity`."""
        return decoded(self.probs(samples_16k))

    def log_probs(self, windows: Floats) -> Floats:
        """Log probability of each class of `POWERSET`, `(k, frames, 7)`, for `(k, samples)`."""
        return run(self._session, windows[:, None])


def open_segmentation(
    cache: Path,
    *,
    path: Path | None = None,
    provider: str = "cpu",
    offline: bool = False,
    progress: Progress | None = None,
) -> PyannoteSegmentation:
    """The segmentation network, fetched and built where it is not on this machine yet.

    Args:
        cache: root of the cache.
        path: the PyTorch file, where the user named one.
        provider: `cpu`, `cuda` or `coreml`.
        offline: fetch nothing.
        progress: told the bytes of a download.

    Raises:
        ModelError: see `prep.models.onnx_build.network`.
    """
    built = network(RECIPE, cache, explicit=path, offline=offline, progress=progress)
    return PyannoteSegmentation(open_session(built, provider), RECIPE.digest)


def sinc_filters(low_hz: Tensor, band_hz: Tensor, half_window: Tensor, half_time: Tensor) -> npt.NDArray[np.float64]:
    """The 80 band-pass filters `(80, 1, 251)`: 40 even (cosine), then 40 odd (sine).

    Args:
        low_hz: `(40, 1)`, lower edges less `MIN_HZ`.
        band_hz: `(40, 1)`, widths less `MIN_HZ`.
        half_window: `(125,)`, left half of a Hamming window.
        half_time: `(1, 125)`, 2 pi t of its samples, t in seconds, negative.

    With edges f1 < f2 the even filter is the difference of two sincs, (sin f2 n - sin f1 n) / (n / 2), in the middle
    2 (f2 - f1), the odd one (cos f1 n - cos f2 n) / (n / 2), mirrored with changed sign; both windowed and divided by
    2 (f2 - f1). As in asteroid-filterbanks' `ParamSincFB`.
    """
    low, band, window, n = (values.astype(np.float64) for values in (low_hz, band_hz, half_window, half_time))
    low = MIN_HZ + np.abs(low)
    high = np.clip(low + MIN_HZ + np.abs(band), MIN_HZ, RATE_HZ / 2)
    even = (np.sin(high * n) - np.sin(low * n)) / (n / 2) * window
    odd = (np.cos(low * n) - np.cos(high * n)) / (n / 2) * window
    cosines = np.concatenate([even, 2 * (high - low), even[:, ::-1]], axis=1)
    sines = np.concatenate([odd, np.zeros_like(low), -odd[:, ::-1]], axis=1)
    return np.concatenate([cosines, sines])[:, None] / np.tile(2 * (high - low), (2, 1))[:, None]


def build(tensors: Mapping[str, Tensor]) -> bytes:
    """The graph: `samples` `(batch, 1, samples)` -> log probabilities `(batch, frames, 7)`. Raises KeyError."""
    t = {name.removeprefix("state_dict."): values for name, values in tensors.items()}
    g = Graph("pyannote-segmentation-3.0")
    x = _sincnet(g, t)
    x = g.op("Transpose", x, perm=[2, 0, 1])
    for layer in range(LAYERS):
        x = _lstm(g, t, x, layer)
    x = g.op("Transpose", x, perm=[1, 0, 2])
    for name in ("linear.0", "linear.1"):
        x = g.op("LeakyRelu", _linear(g, t, x, name), alpha=SLOPE)
    x = g.op("LogSoftmax", _linear(g, t, x, "classifier"), axis=-1)
    return g.model("samples", ("batch", 1, "samples"), x, ("batch", "frames", len(POWERSET)))


def _sincnet(g: Graph, t: Mapping[str, Tensor]) -> str:
    x = _instance_norm(g, t, "samples", "sincnet.wav_norm1d")
    bank = "sincnet.conv1d.0.filterbank"
    filters = sinc_filters(*(t[f"{bank}.{name}"] for name in ("low_hz_", "band_hz_", "window_", "n_")))
    for i in range(3):
        if i == 0:
            x = g.op("Abs", g.op("Conv", x, g.const(filters), strides=[10]))
        else:
            kernel, bias = (g.const(t[f"sincnet.conv1d.{i}.{part}"]) for part in ("weight", "bias"))
            x = g.op("Conv", x, kernel, bias)
        x = _instance_norm(g, t, g.op("MaxPool", x, kernel_shape=[3], strides=[3]), f"sincnet.norm1d.{i}")
        x = g.op("LeakyRelu", x, alpha=SLOPE)
    return x


def _instance_norm(g: Graph, t: Mapping[str, Tensor], x: str, name: str) -> str:
    return g.op("InstanceNormalization", x, g.const(t[f"{name}.weight"]), g.const(t[f"{name}.bias"]), epsilon=1e-5)


def _linear(g: Graph, t: Mapping[str, Tensor], x: str, name: str) -> str:
    return g.op("Add", g.op("MatMul", x, g.const(t[f"{name}.weight"].T)), g.const(t[f"{name}.bias"]))


def _lstm(g: Graph, t: Mapping[str, Tensor], x: str, layer: int) -> str:
    """One bidirectional layer, `(frames, batch, in)` -> `(frames, batch, 2 hidden)`.

    PyTorch stacks the gates as input, forget, cell, output; ONNX wants input, output, forget, cell.
    """
    ways = [f"_l{layer}", f"_l{layer}_reverse"]
    kernel, inner = (np.stack([_gates(t[f"lstm.weight_{part}{way}"]) for way in ways]) for part in ("ih", "hh"))
    biases = [np.concatenate([_gates(t[f"lstm.bias_{part}{way}"]) for part in ("ih", "hh")]) for way in ways]
    n_hidden = inner.shape[-1]
    constants = (g.const(values) for values in (kernel, inner, np.stack(biases)))
    y = g.op("LSTM", x, *constants, hidden_size=n_hidden, direction="bidirectional")
    return g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), g.ints(0, 0, 2 * n_hidden))


def _gates(values: Tensor) -> Tensor:
    i, f, c, o = np.split(values, 4)
    return np.concatenate([i, o, f, c])


def probe() -> Floats:
    """Samples for the check: 10 s of noise whose loudness comes and goes."""
    envelope = np.sin(np.arange(WINDOW) / RATE_HZ * 3.0) ** 2
    return (0.2 * made_up((1, 1, WINDOW), seed=3) * envelope.astype(np.float32)).astype(np.float32)


RECIPE = Recipe("pyannote-segmentation-3.0", "1", build, probe, "pyannote_segmentation")
