"""Whether a piece of sound is who and what it is said to be: the consent recording, and what a vendor's voice says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.build import Session
from pipelines.sampleset import read_samples, read_set
from pipelines.voices import Saying, Where, say
from prep.audio import Decoder, Resampler, Samples, read_mono, resample
from prep.errors import BadAudio, ConfigError
from prep.measures.voices import similarity
from prep.models.dnsmos import Dnsmos, fill_window, spread_starts
from prep.models.whisper import RATE_HZ
from prep.providers.base import RuleCheck, SampleFile
from prep.providers.consent import Consent
from prep.store import file_sha256
from prep.text import error_rate

Floats = npt.NDArray[np.float32]
MAX_STATEMENT_ERROR = 0.4
"""Words of a consent that may be heard otherwise; the base model alone gets a tenth to a third of them wrong."""
SENTENCES = (
    "Good morning, this is a short test of my voice.",
    "The weather was bright and cold, and the streets were almost empty.",
    "If you can hear every word of this sentence, then it works.",
)
SENTENCES_ZH = (
    "早上好,这是一个简短的声音测试。",
    "今天天气很好,街上几乎没有人。",
    "如果你能听清这句话里的每一个字,那就可以了。",
)


def print_of(samples: Sequence[SampleFile], session: Session) -> Floats:
    """The voiceprint of a sample set: the mean over its files, unit length; zeros where nothing can be taken."""
    prints = []
    for sample in samples:
        sound, rate_hz = read_mono(sample.data)
        prints.append(session.networks.embedder.embed(resample(sound, rate_hz, RATE_HZ)))
    total = np.sum(prints, axis=0) if prints else np.zeros(192, np.float32)
    size = float(np.linalg.norm(total))
    return np.asarray(total / size if size > 0 else total, np.float32)


def check_recording(
    consent: Consent, beside: Path, samples: Sequence[SampleFile], session: Session
) -> tuple[RuleCheck, ...]:
    """Whether the consent's recording is spoken by the voice of the samples, and says the statement.

    `beside` is the consent file: a relative `recording` lies beside it. None where the consent names no recording.

    Raises:
        ConfigError: the recording is not there or cannot be read.
    """
    if consent.recording is None:
        return ()
    path = beside.parent / consent.recording
    said = _heard(path, session)
    alike = similarity(print_of(samples, session), said.print)
    least = session.config.speakers.across
    error = error_rate(consent.statement, said.text, said.language)
    again = f"record the statement of {consent.speaker} in their own voice, word for word, and name it in the consent"
    return (
        RuleCheck("voice of the consent recording", alike >= least, round(alike, 3), least, "cosine", again, path.name),
        RuleCheck(
            "words of the consent recording",
            error <= MAX_STATEMENT_ERROR,
            round(error, 3),
            MAX_STATEMENT_ERROR,
            "of the words differ",
            again,
            path.name,
        ),
    )


@dataclass(frozen=True)
class _Said:
    text: str
    language: str
    print: Floats


def _heard(path: Path, session: Session) -> _Said:
    try:
        sound = _at_16k(path)
    except (OSError, BadAudio) as error:
        raise ConfigError(f"consent recording {path} cannot be read: {error}") from error
    probs = session.recogniser().languages(sound)
    language = max(probs, key=lambda code: probs[code])
    heard = session.hear(sound, language, file_sha256(path))
    return _Said(heard.text, language, session.networks.embedder.embed(sound))


def _at_16k(path: Path) -> Samples:
    if not path.is_file():
        raise ConfigError(f"consent recording {path} is not there")
    with Decoder(path) as decoder:
        parts, resampler = [np.zeros((0, 1), np.float32)], None
        for block in decoder.blocks():
            resampler = resampler or Resampler(block.rate_hz, RATE_HZ, 1)
            parts.append(resampler.push(block.samples.mean(axis=1, keepdims=True)))
        if resampler is not None:
            parts.append(resampler.push(np.zeros((0, 1), np.float32), last=True))
    return np.concatenate(parts)[:, 0]


@dataclass(frozen=True)
class Likeness:
    """What one sentence said by a vendor's voice measures.

    `similarity` is the cosine to the sample set's voiceprint, `error` the WER (CER for zh) of what is heard against
    what was to be said, `dnsmos_ovrl` how listeners would score its sound, about 1 to 5 (see `prep.measures.mos`);
    None where it says nothing.
    """

    text: str
    heard: str
    error: float
    similarity: float
    dnsmos_ovrl: float | None
    file: str


@dataclass(frozen=True)
class Verifying:
    """Which voice is to be verified, against which run's set, what it is to say, and where the files go."""

    voice_id: str
    directory: Path
    out: Path
    sentences: tuple[str, ...] = ()


def verify_voice(where: Where, wish: Verifying, session: Session) -> list[Likeness]:
    """Let the voice speak and measure what it says; the files stay in `wish.out`.

    Raises:
        NotOffered: the vendor has no call that speaks.
        ConfigError: no set to compare with.
    """
    listing = read_set(wish.directory, where.vendor)
    samples, _ = read_samples(wish.directory, listing, listen=False)
    own = print_of(samples, session)
    language = next((clip.language for clip in listing.clips if clip.language), "en")
    wish.out.mkdir(parents=True, exist_ok=True)
    sentences = wish.sentences or (SENTENCES_ZH if language == "zh" else SENTENCES)
    networks = Dnsmos(session.dnsmos_folder())

    def said(number: int, text: str) -> Likeness:
        path = say(where, Saying(wish.voice_id, text, wish.out / f"{where.vendor}_{number}.wav"))
        return _likeness(path, text, language, own, session, networks)

    return [said(number, text) for number, text in enumerate(sentences, 1)]


def _likeness(path: Path, text: str, language: str, own: Floats, session: Session, networks: Dnsmos) -> Likeness:
    sound = _at_16k(path)
    heard = session.hear(sound, language, file_sha256(path)).text
    alike = similarity(own, session.networks.embedder.embed(sound))
    error = round(error_rate(text, heard, language), 3)
    return Likeness(text, heard, error, round(alike, 3), _quality(sound, networks), str(path))


def _quality(sound: Samples, networks: Dnsmos) -> float | None:
    if not len(sound):
        return None
    filled = fill_window(sound)
    return round(networks.score(filled, spread_starts(len(filled))).ovrl, 2)
