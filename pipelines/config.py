"""Configuration: default.toml < --config FILE < --set K=V, checked once, frozen, hashed into every row."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipelines.toml import Strict, configs_folder, read_toml, validated
from pipelines.vendors import load_vendor, vendor_names
from prep.errors import ConfigError
from prep.stage import Gate, Limit
from prep.stages.ingest import Ingest
from prep.stages.segment import Segmenting
from prep.store import digest

__all__ = ["Config", "RenderConfig", "SelectConfig", "load", "load_vendor", "vendor_names"]


class RunConfig(Strict):
    """How the work is done; changes no result."""

    threads: int = Field(0, ge=0)


class IngestConfig(Strict):
    """See `prep.stages.ingest.Ingest`."""

    rate_hz: int = Field(24_000, ge=16_000, le=48_000, multiple_of=100)
    channels: str = Field("auto", pattern=r"^(auto|mix|split|[1-9]\d*)$")
    stream: int = Field(0, ge=0)
    max_duration_s: float = Field(86_400.0, gt=0)
    min_duration_s: float = Field(0.01, gt=0)


class SegmentConfig(Strict):
    """See `prep.stages.segment.Segmenting`."""

    min_s: float = Field(2.0, gt=0)
    ideal_s: float = Field(8.0, gt=0)
    max_s: float = Field(15.0, gt=0)
    hard_max_s: float = Field(30.0, gt=0, le=60)
    cut_pause_s: float = Field(0.3, gt=0)
    long_pause_s: float = Field(2.0, gt=0)
    keep_pause_s: float = Field(0.4, gt=0)
    on_prob: float = Field(0.5, gt=0, lt=1)
    off_prob: float = Field(0.35, gt=0, lt=1)
    min_silence_s: float = Field(0.15, gt=0)
    pad_s: float = Field(0.02, ge=0)
    min_speech_s: float = Field(0.1, ge=0)


class Bounds(Strict):
    """Limits of one measure, inclusive."""

    min: float | None = None
    max: float | None = None
    unit: str = ""


class AsrConfig(Strict):
    """Which recogniser, and how it runs; device and threads do not change its answers' keys."""

    model: str = "faster-whisper-base"
    path: str = ""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    compute_type: str = "int8"
    beam_size: int = Field(5, ge=1, le=20)
    threads: int = Field(0, ge=0)
    language: str = ""


class SpeakersConfig(Strict):
    """Who speaks when, and who is who across recordings; see `prep.stages.turns` and `prep.measures.voices`.

    Args:
        turns: whether to find out; without it voices are "not checked".
        model: a speaker network of the user's own (kaldi features in, ONNX), instead of the registry's.
        same_voice: cosine from which two stretches of one recording are one speaker.
        across: cosine from which speakers of two recordings are one voice, and a voice is the one of `--speaker`.
        near_tie: a second voice with at least this share of the first one's minutes makes the choice a tie.
    """

    turns: bool = True
    model: str = ""
    same_voice: float = Field(0.38, gt=0, lt=1)
    across: float = Field(0.4, gt=0, lt=1)
    near_tie: float = Field(0.8, gt=0, le=1)


class MosConfig(Strict):
    """Predicted opinion scores (DNSMOS) of every usable clip; `on` costs about as much as transcribing them."""

    on: bool = False


class RenderConfig(Strict):
    """See `prep.stages.render.RenderSpec`."""

    lufs: float = Field(-23.0, ge=-40, le=-10)
    peak_dbtp: float = Field(-1.0, le=0)


class SelectConfig(Strict):
    """See `prep.stages.select.SetSpec`."""

    max_tries: int = Field(24, ge=1)


class Config(Strict):
    """Everything that can be set; unknown keys are errors."""

    run: RunConfig
    ingest: IngestConfig
    segment: SegmentConfig
    gates: dict[str, Bounds]
    asr: AsrConfig
    render: RenderConfig
    select: SelectConfig
    speakers: SpeakersConfig
    mos: MosConfig

    @property
    def sha256(self) -> str:
        """Digest of all settings but how the work is done (32 hex digits), written into every row."""
        return digest(self.model_dump(mode="json", exclude={"run": True, "asr": {"threads", "device"}}))

    @property
    def ingesting(self) -> Ingest:
        """Settings of ingest."""
        return Ingest(**self.ingest.model_dump())

    @property
    def segmenting(self) -> Segmenting:
        """Settings of segmentation."""
        return Segmenting(**self.segment.model_dump())

    @property
    def gate(self) -> Gate:
        """All limits, in the order of the file."""
        limits = [Limit(name, bounds.unit, bounds.min, bounds.max) for name, bounds in self.gates.items()]
        return Gate(tuple(limits))


def load(file: Path | None = None, settings: Sequence[str] = ()) -> Config:
    """The merged configuration.

    Args:
        file: a TOML with some of the keys.
        settings: `KEY=VALUE` texts; a gate may be named without its `gates.`.

    Raises:
        ConfigError: unreadable file, unknown key, or a value out of range; says where and what is allowed.
    """
    merged = read_toml(configs_folder() / "default.toml")
    if file is not None:
        merged = _merge(merged, read_toml(file))
    for text in settings:
        merged = _merge(merged, _setting(text, merged))
    return validated(Config, merged, str(file) if file else "--set")


def _setting(text: str, known: Mapping[str, Any]) -> dict[str, Any]:
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: write KEY=VALUE, for example --set snr_db.min=20")
    path = key.strip().split(".")
    if path[0] not in known and path[0] in known["gates"]:
        path = ["gates", *path]
    value: Any = _literal(raw.strip())
    for part in reversed(path):
        value = {part: value}
    return dict(value)


def _literal(raw: str) -> Any:
    try:
        return tomllib.loads(f"x = {raw}")["x"]
    except tomllib.TOMLDecodeError:
        return raw


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        out[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out
