"""Configuration: default.toml < --config FILE < --set K=V, checked once, frozen, hashed into every row."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prep.errors import ConfigError
from prep.stage import Gate, Limit
from prep.stages.fit import FitSpec
from prep.stages.ingest import Ingest
from prep.stages.render import RenderSpec
from prep.stages.segment import Segmenting
from prep.stages.select import SetSpec
from prep.store import digest

T = TypeVar("T", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IngestConfig(_Strict):
    """See `prep.stages.ingest.Ingest`."""

    rate_hz: int = Field(24_000, ge=16_000, le=48_000, multiple_of=100)
    channels: str = Field("auto", pattern=r"^(auto|mix|split|[1-9]\d*)$")
    stream: int = Field(0, ge=0)
    max_duration_s: float = Field(86_400.0, gt=0)
    min_duration_s: float = Field(0.01, gt=0)


class SegmentConfig(_Strict):
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
    min_silence_s: float = Field(0.1, gt=0)
    pad_s: float = Field(0.03, ge=0)
    min_speech_s: float = Field(0.1, ge=0)


class Bounds(_Strict):
    """Limits of one measure, inclusive."""

    min: float | None = None
    max: float | None = None
    unit: str = ""


class AsrConfig(_Strict):
    """Which recogniser, and how it runs; device and threads do not change its answers' keys."""

    model: str = "faster-whisper-base"
    path: str = ""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    compute_type: str = "int8"
    beam_size: int = Field(5, ge=1, le=20)
    threads: int = Field(0, ge=0)
    language: str = ""


class RenderConfig(_Strict):
    """See `prep.stages.render.RenderSpec`."""

    lufs: float = Field(-23.0, ge=-40, le=-10)
    peak_dbtp: float = Field(-1.0, le=0)


class SelectConfig(_Strict):
    """See `prep.stages.select.SetSpec`."""

    max_tries: int = Field(24, ge=1)


class Config(_Strict):
    """Everything that can be set; unknown keys are errors."""

    ingest: IngestConfig
    segment: SegmentConfig
    gates: dict[str, Bounds]
    asr: AsrConfig
    render: RenderConfig
    select: SelectConfig

    @property
    def sha256(self) -> str:
        """Digest of all settings (32 hex digits), written into every row."""
        return digest(self.model_dump(mode="json"))

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


class VendorLimit(_Strict):
    """One published or assumed limit of a vendor, with where it comes from."""

    rule: str
    min: float | None = None
    max: float | None = None
    one_of: tuple[float, ...] = ()
    unit: str = ""
    kind: Literal["hard", "advised"]
    source: str
    date: str
    confidence: str


class Target(_Strict):
    """What voxprep makes for a vendor, inside its limits."""

    clips: int = Field(ge=1)
    min_s: float = Field(gt=0)
    ideal_s: float = Field(gt=0)
    max_s: float = Field(gt=0)
    max_total_s: float | None = None
    max_pause_s: float = 0.8
    pad_s: float = Field(0.25, ge=0.1)
    rate_hz: int = 24_000


class Vendor(_Strict):
    """One vendor's TOML."""

    vendor: str
    title: str
    limits_version: str
    upload: bool
    delivery: Literal["multipart", "url", "data_url"]
    text: Literal["required", "optional", "none"]
    target: Target
    limit: tuple[VendorLimit, ...]

    @property
    def least_clips(self) -> int:
        """Fewest files of a set."""
        return int(max((limit.min or 1 for limit in self.limit if limit.rule == "clips"), default=1))

    @property
    def most_clips(self) -> int | None:
        """Most files of a set; None = no limit known."""
        known = [limit.max for limit in self.limit if limit.rule == "clips" and limit.max is not None]
        return int(min(known)) if known else None

    def fit_spec(self) -> FitSpec:
        """How long a file is."""
        t = self.target
        return FitSpec(t.min_s, t.ideal_s, t.max_s, t.max_pause_s, t.pad_s)

    def render_spec(self, render: RenderConfig) -> RenderSpec:
        """How a file sounds."""
        return RenderSpec(self.target.rate_hz, render.lufs, render.peak_dbtp)

    def set_spec(self, config: Config, wanted: int | None, text: bool) -> SetSpec:
        """How many files, and whether with text.

        Raises:
            ConfigError: more or fewer files wanted than the vendor takes.
        """
        n, most = wanted or self.target.clips, self.most_clips
        if n < self.least_clips or (most is not None and n > most):
            raise ConfigError(f"--clips {n}: {self.vendor} takes {self.least_clips} to {most or 'any number of'} clips")
        carries = self.text == "required" or (text and self.text == "optional")
        return SetSpec(n, self.least_clips, self.target.max_total_s, config.select.max_tries, carries)


def configs_folder() -> Path:
    """Where the shipped TOML files lie: in the wheel inside this package, in the repository beside it."""
    inside = Path(__file__).parent / "configs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "configs"


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


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict.

    Raises:
        ConfigError: missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def validated(kind: type[T], data: Mapping[str, Any], where: str) -> T:
    """A pydantic model, its errors turned into one sentence each."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(lines)) from error


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


def vendor_names() -> list[str]:
    """Vendors with a TOML, sorted."""
    return sorted(path.stem for path in (configs_folder() / "vendors").glob("*.toml"))


def load_vendor(name: str) -> Vendor:
    """A vendor's limits and targets.

    Raises:
        ConfigError: no such vendor; the message lists those there are.
    """
    if name not in vendor_names():
        raise ConfigError(f"unknown vendor {name!r}; there are: {', '.join(vendor_names())}")
    return validated(Vendor, read_toml(configs_folder() / "vendors" / f"{name}.toml"), f"vendors/{name}.toml")
