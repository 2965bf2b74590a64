"""Whether a clip's edges lie in a pause, by two witnesses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import webrtcvad

from prep.audio import Samples, resample
from prep.clip import Measures
from prep.recordings import View
from prep.stages.listen import FRAME_S, Track

WITNESS_HZ = 16_000
EDGE_S = 0.08


def measure(view: View) -> Measures:
    """`edge_quiet_ms` and `edge_voiced_ratio`, each the worse of the two edges.

    `edge_quiet_ms`: length of the quiet stretch an edge lies in, in the recording (quiet: 20 dB under the speech
    around it and speech probability < 0.5); at the recording's own ends only what is inside. Safe: >= 80 ms.
    `edge_voiced_ratio` (0..1): share of 10 ms frames that webrtcvad (mode 2) hears as voice in the 80 ms inside an
    edge; a witness, not a judge: it hears breaths and hum as voice.
    """
    span = view.clip.span
    ends = (quiet_around_s(view.track, span.start), quiet_around_s(view.track, span.stop))
    return {
        "edge_quiet_ms": 1000 * min(ends),
        "edge_voiced_ratio": voiced_ratio(view.samples, span.rate_hz),
    }


def quiet_around_s(track: Track, position: int) -> float:
    """Seconds of quiet frames in one run through a cut position (samples)."""
    quiet = track.quiet
    at = min(position // track.frame, len(quiet))
    before = _run_length(quiet[:at][::-1])
    after = _run_length(quiet[at:])
    return (before + after) * FRAME_S


def _run_length(flags: npt.NDArray[np.bool_]) -> int:
    loud = np.flatnonzero(~flags)
    return int(loud[0]) if len(loud) else len(flags)


def voiced_ratio(samples: Samples, rate_hz: int) -> float:
    """The worse edge's share of voiced frames, by webrtcvad fed 0.3 s so that its noise floor settles; 0..1."""
    n = int(0.3 * rate_hz)
    return max(_voiced(samples[:n][::-1], rate_hz), _voiced(samples[-n:], rate_hz)) if len(samples) else 0.0


def _voiced(samples: Samples, rate_hz: int) -> float:
    """Voiced share of the last 80 ms; the head of a clip is fed backwards, so its edge comes last too."""
    pcm = (np.clip(resample(np.ascontiguousarray(samples), rate_hz, WITNESS_HZ), -1, 1) * 32767).astype(np.int16)
    vad, frame = webrtcvad.Vad(2), WITNESS_HZ // 100
    heard = [vad.is_speech(pcm[i : i + frame].tobytes(), WITNESS_HZ) for i in range(0, len(pcm) - frame + 1, frame)]
    last = heard[-int(EDGE_S / FRAME_S) :]
    return sum(last) / len(last) if last else 0.0
