"""Speech probability over time: the protocol, and Silero's network run as a stream.

The ONNX file is the one faster-whisper carries; its own wrapper takes a whole recording in one array and zeroes the
last 64 samples of the caller's audio, so the network is driven here directly, state carried from block to block.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Probs = npt.NDArray[np.float32]


class SpeechStream(Protocol):
    """Speech probability, frame by frame; holds state for one recording."""

    rate_hz: int
    hop: int

    def push(self, samples: npt.NDArray[np.float32], last: bool = False) -> Probs:
        """Probabilities of the frames completed by `(n,)` more samples; `last` pads the final frame with zeros."""
        ...


class SileroStream:
    """Silero VAD v6 at 16 kHz: one probability per 512 samples (32 ms). Chunked equals whole.

    Args:
        session: an onnxruntime session of the network (see `open_silero`).
    """

    rate_hz = 16_000
    hop = 512
    context = 64

    def __init__(self, session: Any) -> None:
        self._session = session
        self._h = np.zeros((1, 1, 128), np.float32)
        self._c = np.zeros((1, 1, 128), np.float32)
        self._tail = np.zeros(self.context, np.float32)
        self._waiting = np.zeros(0, np.float32)

    def push(self, samples: npt.NDArray[np.float32], last: bool = False) -> Probs:
        """See `SpeechStream.push`; an empty recording gives no frames."""
        waiting = np.concatenate([self._waiting, samples])
        if last and len(waiting) % self.hop:
            waiting = np.concatenate([waiting, np.zeros(-len(waiting) % self.hop, np.float32)])
        n = len(waiting) // self.hop
        self._waiting = waiting[n * self.hop :]
        if n == 0:
            return np.zeros(0, np.float32)
        whole = np.concatenate([self._tail, waiting[: n * self.hop]])
        self._tail = whole[-self.context :]
        frames = np.lib.stride_tricks.sliding_window_view(whole, self.hop + self.context)[:: self.hop]
        feed = {"input": np.ascontiguousarray(frames), "h": self._h, "c": self._c}
        probs, self._h, self._c = self._session.run(None, feed)
        return np.asarray(probs, np.float32).reshape(-1)


def open_silero(path: Path) -> Any:
    """An onnxruntime session of the Silero network, one thread, no memory arena (it would hold the largest block)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"], sess_options=options)
