"""CAM++ speaker embeddings: which voice is it, as a direction in 192 dimensions.

Network: Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking",
Interspeech 2023; code and weights of 3D-Speaker (Apache-2.0). A 2-D front end (FCM) halves the 80 mel bands three
times, a TDNN halves the frames, three densely connected blocks of 12, 24 and 16 layers follow, each layer scaled by a
mask made from the mean over the clip and over segments of 100 frames, then mean and deviation over time, then 192
numbers.

Every BatchNorm that follows a convolution is folded into it; those that come before one stay as scale and shift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from prep.models.onnx_build import Floats, Graph, Recipe, made_up, network, open_session, run
from prep.models.registry import Progress
from prep.models.unpickle import Tensor
from prep.parallel import ordered
from prep.store import digest, file_sha256

RATE_HZ = 16_000
N_MELS = 80
N_DIMS = 192
FRAME = 400
HOP = 160
BATCH = 8
"""Windows per call; more is no faster on one thread."""
SEGMENT_FRAMES = 100
BLOCKS = ((12, 1), (24, 2), (16, 2))
"""Layers and dilation of each dense block."""
EPS = 1e-5


class Embedder(Protocol):
    """Samples to a voice's direction."""

    digest: str

    def embed(self, samples_16k: Floats) -> Floats:
        """Unit vector `(192,)` of `(n,)` samples at 16 kHz; zeros for digital silence or no samples."""
        ...

    def embed_windows(self, samples_16k: Floats, window: int, starts: Sequence[int]) -> Floats:
        """Unit vectors `(len(starts), 192)` of the windows `[start, start + window)`, each as if it were alone."""
        ...


class CamPlusPlus:
    """A speaker network on onnxruntime; the features are Kaldi's.

    80 log mel bands, 25 ms every 10 ms, no dither, samples in [-1, 1], the mean over the window taken off each band: as
    3D-Speaker trains and tests it.

    Args:
        session: of a network `(batch, frames, 80)` -> `(batch, dims)`.
        digest: of weights and builder, for the keys of results.
        threads: that work on the windows of one call.
    """

    def __init__(self, session: Any, digest: str, threads: int = 1) -> None:
        self._session = session
        self._threads = threads
        self.digest = digest

    def embed(self, samples_16k: Floats) -> Floats:
        """See `Embedder.embed`."""
        return np.asarray(self.embed_windows(samples_16k, len(samples_16k), [0])[0])

    def embed_windows(self, samples_16k: Floats, window: int, starts: Sequence[int]) -> Floats:
        """See `Embedder.embed_windows`.

        Windows that start on the 10 ms grid of the first one share their features; the others are computed apart.
        Samples beyond the end count as zeros, and a window of less than 25 ms is taken as long as that.
        """
        window = max(window, FRAME)
        if not len(starts):
            return np.zeros((0, N_DIMS), np.float32)
        first, last = min(starts), max(starts) + window
        stretch = samples_16k[first:last]
        stretch = np.pad(stretch, (0, last - first - len(stretch)))
        if any((start - first) % HOP for start in starts):
            parts = [fbank(stretch[start - first : start - first + window]) for start in starts]
        else:
            whole, n = fbank(stretch), (window - FRAME) // HOP + 1
            parts = [whole[(start - first) // HOP :][:n] for start in starts]
        features = np.stack([part - part.mean(0, dtype=np.float64).astype(np.float32) for part in parts])
        batches = [features[i : i + BATCH] for i in range(0, len(features), BATCH)]
        found = np.concatenate(list(ordered(partial(run, self._session), batches, self._threads)))
        silent = [not np.any(stretch[start - first : start - first + window]) for start in starts]
        found[np.asarray(silent)] = 0.0
        return unit(found)


def unit(vectors: Floats) -> Floats:
    """Each row of `(n, dims)` at length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def fbank(samples_16k: Floats) -> Floats:
    """Kaldi's log mel energies `(frames, 80)` of `(n,)` samples in [-1, 1] at 16 kHz.

    Frames of 400 samples every 160, only whole ones; less than one frame is padded with zeros to one.
    """
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.samp_freq = RATE_HZ
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = N_MELS
    online = knf.OnlineFbank(options)
    online.accept_waveform(RATE_HZ, np.pad(samples_16k, (0, max(0, FRAME - len(samples_16k)))).tolist())
    online.input_finished()
    return np.stack([online.get_frame(i) for i in range(online.num_frames_ready)])


def open_campplus(
    cache: Path,
    *,
    path: Path | None = None,
    provider: str = "cpu",
    offline: bool = False,
    progress: Progress | None = None,
    threads: int = 1,
) -> CamPlusPlus:
    """The speaker network, fetched and built where it is not on this machine yet.

    Args:
        cache: root of the cache.
        path: the PyTorch file; or an `.onnx` file of any speaker network that takes these features, used as it is.
        provider: `cpu`, `cuda` or `coreml`.
        offline: fetch nothing.
        progress: told the bytes of a download.
        threads: that work on the windows of one call.

    Raises:
        ModelError: see `prep.models.onnx_build.network`.
    """
    if path is not None and path.suffix == ".onnx":
        return CamPlusPlus(open_session(path, provider), digest(file_sha256(path)), threads)
    built = network(RECIPE, cache, explicit=path, offline=offline, progress=progress)
    return CamPlusPlus(open_session(built, provider), RECIPE.digest, threads)


def build(tensors: Mapping[str, Tensor]) -> bytes:
    """The graph: `features` `(batch, frames, 80)` -> `(batch, 192)`, not normalised. Raises KeyError."""
    maker = _Maker(tensors)
    g = maker.graph
    x = g.op("Unsqueeze", g.op("Transpose", "features", perm=[0, 2, 1]), g.ints(1))
    x = maker.front(x)
    x = maker.conv(x, "xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm", strides=[2], pads=[2, 2])
    x = g.op("Relu", x)
    share = maker.shares(x)
    for i, (n_layers, dilation) in enumerate(BLOCKS, 1):
        for j in range(1, n_layers + 1):
            x = g.op("Concat", x, maker.dense(x, f"xvector.block{i}.tdnnd{j}", dilation, share), axis=1)
        x = maker.norm_relu(x, f"xvector.transit{i}.nonlinear.batchnorm")
        x = maker.conv(x, f"xvector.transit{i}.linear")
    x = maker.statistics(maker.norm_relu(x, "xvector.out_nonlinear.batchnorm"))
    x = maker.conv(x, "xvector.dense.linear", "xvector.dense.nonlinear.batchnorm")
    return g.model("features", ("batch", "frames", N_MELS), g.op("Squeeze", x, g.ints(2)), ("batch", N_DIMS))


class _Maker:
    """Layers of CAM++ as nodes of a graph."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.graph = Graph("campplus")
        self._t = tensors

    def conv(self, x: str, name: str, norm: str = "", **attributes: Any) -> str:
        """A convolution with the BatchNorm after it, if any, folded in."""
        kernel = self._t[f"{name}.weight"].astype(np.float64)
        bias = self._t.get(f"{name}.bias", np.zeros(len(kernel)))
        if norm:
            scale, shift = self._affine(norm)
            kernel, bias = kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1)), bias * scale + shift
        return self.graph.op("Conv", x, self.graph.const(kernel), self.graph.const(bias), **attributes)

    def norm_relu(self, x: str, name: str) -> str:
        """A BatchNorm that no convolution comes before, and ReLU: `max(0, scale x + shift)`."""
        g = self.graph
        scale, shift = self._affine(name)
        plain = g.const(np.zeros(len(scale))), g.const(np.ones(len(scale)))
        return g.op("Relu", g.op("BatchNormalization", x, g.const(scale), g.const(shift), *plain, epsilon=0.0))

    def _affine(self, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        mean, var = (self._t[f"{name}.running_{part}"].astype(np.float64) for part in ("mean", "var"))
        scale = self._t.get(f"{name}.weight", np.ones(len(mean))) / np.sqrt(var + EPS)
        return scale, self._t.get(f"{name}.bias", np.zeros(len(mean))) - mean * scale

    def front(self, x: str) -> str:
        """FCM: `(batch, 1, 80, frames)` -> `(batch, 320, frames)`."""
        g, same = self.graph, {"pads": [1, 1, 1, 1]}
        x = g.op("Relu", self.conv(x, "head.conv1", "head.bn1", **same))
        for layer in ("layer1", "layer2"):
            for j, stride in enumerate((2, 1)):
                name = f"head.{layer}.{j}"
                out = g.op("Relu", self.conv(x, f"{name}.conv1", f"{name}.bn1", strides=[stride, 1], **same))
                out = self.conv(out, f"{name}.conv2", f"{name}.bn2", **same)
                if stride > 1:
                    x = self.conv(x, f"{name}.shortcut.0", f"{name}.shortcut.1", strides=[stride, 1])
                x = g.op("Relu", g.op("Add", out, x))
        x = g.op("Relu", self.conv(x, "head.conv2", "head.bn2", strides=[2, 1], **same))
        return g.op("Reshape", x, g.ints(0, 4 * N_MELS, -1))

    def shares(self, x: str) -> str:
        """Which segment of 100 frames each frame of `x` is in, `(frames,)` int64."""
        g = self.graph
        n_frames = g.op("Squeeze", g.op("Shape", x, start=2, end=3), g.ints(0))
        frames = g.op("Range", g.const(0, np.int64), n_frames, g.const(1, np.int64))
        return g.op("Div", frames, g.const(SEGMENT_FRAMES, np.int64))

    def dense(self, x: str, name: str, dilation: int, share: str) -> str:
        """One layer of a block: its 32 new channels.

        The mask is the same for all frames of a segment, so it is worked out once for each and spread over them.
        """
        g, cam = self.graph, f"{name}.cam_layer"
        x = self.norm_relu(x, f"{name}.nonlinear1.batchnorm")
        x = g.op("Relu", self.conv(x, f"{name}.linear1", f"{name}.nonlinear2.batchnorm"))
        local = self.conv(x, f"{cam}.linear_local", dilations=[dilation], pads=[dilation, dilation])
        size = [SEGMENT_FRAMES]
        segments = g.op("AveragePool", x, kernel_shape=size, strides=size, ceil_mode=1, count_include_pad=0)
        context = g.op("Add", segments, g.op("GlobalAveragePool", x))
        mask = self.conv(g.op("Relu", self.conv(context, f"{cam}.linear1")), f"{cam}.linear2")
        return g.op("Mul", local, g.op("Gather", g.op("Sigmoid", mask), share, axis=2))

    def statistics(self, x: str) -> str:
        """Mean and unbiased deviation over time, `(batch, 2 channels, 1)`; one frame alone has deviation 0.01."""
        g = self.graph
        mean = g.op("GlobalAveragePool", x)
        away = g.op("Sub", x, mean)
        squares = g.op("ReduceSum", g.op("Mul", away, away), g.ints(2), keepdims=1)
        n_frames = g.op("Cast", g.op("Shape", x, start=2, end=3), to=1)
        others = g.op("Max", g.op("Sub", n_frames, g.const(1.0)), g.const(1.0))
        deviation = g.op("Sqrt", g.op("Div", squares, others))
        alone = g.op("Equal", n_frames, g.const([1.0]))
        return g.op("Concat", mean, g.op("Where", alone, g.const([0.01]), deviation), axis=1)


def probe() -> Floats:
    """Features for the check: 2.6 s, so that the last segment of frames is a short one."""
    return 3 * made_up((1, 260, N_MELS), seed=192)


RECIPE = Recipe("campplus-zh-en", "1", build, probe, "campplus")
