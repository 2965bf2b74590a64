"""Reasons, limits and sums as sentences a person understands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHECKS: Mapping[str, tuple[str, str]] = {
    # check: (what is wrong, what to do about it)
    "speech_ratio": ("no or too little speech", "nothing: pauses, music and noise are left out"),
    "duration_s": ("too short or too long a stretch of speech", "speak in longer stretches"),
    "gap_ratio": ("audio is missing in the file", "send the original file again"),
    "clipped_ratio": ("clipped: recorded too loud", "lower the input level and record again"),
    "flat_top_ratio": ("clipped, and turned down afterwards", "lower the input level and record again"),
    "lufs": ("too quiet", "come closer to the microphone"),
    "snr_db": ("too noisy, or its noise cannot be told", "record in a quieter room, closer to the microphone"),
    "overlap_ratio": ("two people talk at once", "let one finish before the other begins"),
    "n_speakers": ("more than one voice", "record one person at a time"),
    "speaker_purity": ("more than one voice", "record one person at a time"),
    "speaker_agreement": ("it does not sound like one voice all through", "record one person at a time"),
    "speaker_margin": ("it is not clear whose voice it is", "record one person at a time"),
    "bandwidth_hz": (
        "muffled: the high frequencies are missing",
        "send the original, not a phone call or a resampled copy",
    ),
    "music_ratio": ("music, or music under the speech", "record without music"),
    "singing_ratio": ("singing", "speak, do not sing"),
    "hum_db": ("mains hum", "use another cable or a battery"),
    "dc_offset": ("a constant offset: a broken sound card", "record with another device"),
    "c50_db": ("too much room", "come closer to the microphone, or hang up a blanket"),
    "dnsmos_ovrl": ("listeners would find it poor", "record in a quieter, softer room"),
    "edge_quiet_ms": ("it would begin or end inside speech", "leave short pauses between sentences"),
    "own_end_below_db": ("the recording begins or breaks off inside a word", "record a moment longer on both sides"),
    "text_confidence": ("its words are not understood", "speak more clearly, or give the text yourself"),
    "words_per_s": ("its text does not fit its length", "check the text by ear"),
    "repeat_ratio": ("its text goes round in circles", "check the text by ear"),
    "gzip_ratio": ("its text goes round in circles", "check the text by ear"),
    "wrong_script_ratio": ("its text is in another script than its language", "name it: --set asr.language=CODE"),
    "second_error": ("heard twice, it is two texts", "speak more clearly, or give the text yourself"),
    "double": ("the same take as one in the set", "nothing: one is enough"),
    "part": ("outside the part asked for", "ask for a longer part"),
    "unreadable": ("the file cannot be read", "send the original file again"),
}


def what(check: str) -> str:
    """What a broken check means."""
    return CHECKS.get(check, (check, ""))[0]


def fix(check: str) -> str:
    """What to do about it; empty where nothing is known."""
    return CHECKS.get(check, (check, ""))[1]


def sentence(reason: Mapping[str, Any]) -> str:
    """A reason as one sentence with its numbers."""
    measured, limit, unit = reason["measured"], reason["limit"], reason["unit"]
    tail = f" {unit}" if unit else ""
    if measured is None:
        return f"{what(reason['check'])} ({reason['check']} unknown; limit {limit:g}{tail})"
    side = "at least" if limit is not None and measured < limit else "at most"
    return f"{what(reason['check'])} ({reason['check']} {measured:.3g}{tail}, {side} {limit:g}{tail} allowed)"


def clock(seconds: float) -> str:
    """Seconds as m:ss.s."""
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
