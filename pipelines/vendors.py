"""A vendor as data: its limits, what is made for it inside them, and the specs of the stages that make it.

Every limit is obeyed, advice too, whatever the target says: a changed limit needs no code.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipelines.toml import Strict, configs_folder, read_toml, validated
from prep.errors import ConfigError
from prep.providers import PROVIDERS
from prep.providers.limits import Rule, VendorLimit, highest, lowest
from prep.providers.rules import DATA_URL_HEAD
from prep.stages.fit import FitSpec
from prep.stages.render import RenderSpec
from prep.stages.select import SetSpec

if TYPE_CHECKING:
    from pipelines.config import Config, RenderConfig

FOLDER_VARIABLE = "VOXPREP_VENDORS"
WAV_HEAD_BYTES = 44
BYTES_PER_SAMPLE = 2
MARGIN_S = 0.01
"""Kept inside a limit on seconds: joins and resampling round to a millisecond."""
TOTAL_MARGIN_S = 0.05
PAUSE_MARGIN_S = 0.1
"""Kept inside a limit on pauses or speech: two ears do not agree to the last 10 ms on where speech stops."""
USUAL_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
WRITTEN: tuple[tuple[Rule, float | str], ...] = (("format", "WAV"), ("encoding", "PCM_16"), ("channels", 1))
"""What every file is written as."""


class Target(Strict):
    """What voxprep aims at for a vendor; its limits come first. Seconds of one file, `total` of all together."""

    clips: int = Field(ge=1)
    min_s: float = Field(gt=0)
    ideal_s: float = Field(gt=0)
    max_s: float = Field(gt=0)
    min_total_s: float = Field(0.0, ge=0)
    max_total_s: float | None = Field(None, gt=0)
    max_pause_s: float = Field(0.8, gt=0)
    pad_s: float = Field(0.25, ge=0.1)
    rate_hz: int = Field(24_000, ge=8_000, le=48_000)


class Vendor(Strict):
    """One vendor's TOML.

    Args:
        upload: whether voxprep can enrol a voice there; else its files are uploaded by hand, see `console`.
        text: whether files carry the words spoken in them.
        console: where a person uploads by hand, one short sentence.
        cost: published cost with source and date, in words; empty = none known.
        file: the TOML it came from; messages name it.
    """

    vendor: str
    title: str
    limits_version: str
    upload: bool
    text: Literal["required", "optional", "none"]
    console: str
    cost: str = ""
    target: Target
    limit: tuple[VendorLimit, ...]
    file: str = ""

    @property
    def least_clips(self) -> int:
        """Fewest files of a set."""
        return int(lowest(self.limit, "clips") or 1)

    @property
    def most_clips(self) -> int | None:
        """Most files of a set; None = no limit known."""
        known = highest(self.limit, "clips")
        return None if known is None else int(known)

    @property
    def rate_hz(self) -> int:
        """The allowed rate nearest to the target's, not below it; Hz.

        Raises:
            ConfigError: none is allowed.
        """
        allowed = [rate for rate in self._known_rates() if self._allows("sample_rate", rate)]
        high_enough = [rate for rate in allowed if rate >= self.target.rate_hz]
        if high_enough:
            return min(high_enough)
        if allowed:
            raise self._wrong(f"target.rate_hz is {self.target.rate_hz}, at most {max(allowed)} Hz are allowed")
        raise self._wrong("the limits on sample_rate allow no rate at all")

    def rate_for(self, native_hz: int | None) -> int:
        """Rate to write a source of this native rate at: its own where that is lower and allowed; Hz."""
        lower = native_hz is not None and native_hz < self.rate_hz
        return native_hz if native_hz and lower and self._allows("sample_rate", native_hz) else self.rate_hz

    @property
    def min_total_s(self) -> float:
        """Fewest seconds of all files together; 0 = any."""
        return max(self.target.min_total_s, lowest(self.limit, "total_s") or 0.0)

    @property
    def max_total_s(self) -> float | None:
        """Most seconds of all files together; None = no limit known."""
        known = [] if self.target.max_total_s is None else [self.target.max_total_s]
        by_time, by_bytes = highest(self.limit, "total_s"), highest(self.limit, "total_bytes")
        known += [] if by_time is None else [by_time - TOTAL_MARGIN_S]
        heads = WAV_HEAD_BYTES * (self.most_clips or self.target.clips)
        known += [] if by_bytes is None else [self._seconds(by_bytes - heads) - TOTAL_MARGIN_S]
        return min(known, default=None)

    def fit_spec(self, most: int | None = None) -> FitSpec:
        """How long a file is, when a set has at most `most` files (None = the vendor's own limit).

        Raises:
            ConfigError: limits contradict each other, or the target lies outside them.
        """
        t, low, high = self.target, *self._one_file(most or self.most_clips)
        if low > high:
            raise self._wrong(f"a file would have to be at least {low:.6g} s and at most {high:.6g} s long")
        ideal_s = min(max(self._ideal_s(), low), high)
        longest, speech_s = highest(self.limit, "pause_s"), lowest(self.limit, "speech_s")
        longest = None if longest is None else max(longest - PAUSE_MARGIN_S, longest / 2)
        pause_s = t.max_pause_s if longest is None else min(t.max_pause_s, longest)
        speech_s = 0.0 if speech_s is None else speech_s + PAUSE_MARGIN_S
        return FitSpec(low, ideal_s, high, pause_s, t.pad_s, longest_pause_s=longest, min_speech_s=speech_s)

    def render_spec(self, render: RenderConfig, native_hz: int | None = None) -> RenderSpec:
        """How a file of a source of this native rate sounds.

        Raises:
            ConfigError: no rate is allowed.
        """
        return RenderSpec(self.rate_for(native_hz), render.lufs, render.peak_dbtp)

    def set_spec(self, config: Config, wanted: int | None, text: bool) -> SetSpec:
        """How many files, how long together, and whether with text; `wanted` is what the user asked for.

        Raises:
            ConfigError: more or fewer files wanted than the vendor takes, or limits that contradict each other.
        """
        least, most = self.least_clips, self.most_clips
        n = self._clips() if wanted is None else wanted
        if n < least or (most is not None and n > most):
            raise ConfigError(f"--clips {n}: {self.vendor} takes {least} to {most or 'any number of'} clips")
        most = most if wanted is None else wanted
        low_s, total_s = self.fit_spec(most).min_s, self.max_total_s
        if total_s is not None and n * low_s > total_s:
            raise self._wrong(f"{n} file(s) of at least {low_s:g} s are more than {total_s:g} s together")
        carries = self.text == "required" or (text and self.text == "optional")
        return SetSpec(n, least, total_s, config.select.max_tries, carries, self.min_total_s, most)

    def check(self) -> None:
        """Whether a set can be made at all.

        Raises:
            ConfigError: limits contradict each other, the target, or what voxprep writes.
        """
        least, most, low_s, high_s = self.least_clips, self.most_clips, self.min_total_s, self.max_total_s
        if most is not None and most < least:
            raise self._wrong(f"a set would have to have at least {least} and at most {most} file(s)")
        if high_s is not None and max(low_s, least * self.fit_spec().min_s) > high_s:
            raise self._wrong(f"a set of {least} file(s) would be longer than {high_s:g} s in all")
        self.fit_spec()
        self.rate_for(None)
        for rule, value in WRITTEN:
            if not all(limit.allows(value) for limit in self.limit if limit.rule == rule and limit.blocks):
                raise self._wrong(f"voxprep writes 16-bit mono WAV, which the limit on {rule} does not allow")

    def _clips(self) -> int:
        """The target's number of files, inside the limits on files and on all seconds together."""
        n = max(self.target.clips, self.least_clips)
        n = n if self.most_clips is None else min(n, self.most_clips)
        if self.max_total_s is None:
            return n
        return max(self.least_clips, min(n, int(self.max_total_s / self.fit_spec().min_s)))

    def _ideal_s(self) -> float:
        """The target's length, drawn to what is said to work best and to what a whole set may last."""
        n, limits = self.target.clips, self.limit
        ideal_s = _between(self.target.ideal_s, lowest(limits, "best_s"), highest(limits, "best_s"))
        low_s, high_s = lowest(limits, "best_total_s") or 0.0, highest(limits, "best_total_s")
        ideal_s = _between(ideal_s, low_s / n, None if high_s is None else high_s / n)
        return _between(ideal_s, self.min_total_s / n, None if self.max_total_s is None else self.max_total_s / n)

    def _one_file(self, most: int | None) -> tuple[float, float]:
        """Fewest and most seconds of one file."""
        low_s, high_s = lowest(self.limit, "clip_s"), highest(self.limit, "clip_s")
        low = self.target.min_s if low_s is None else max(self.target.min_s, low_s + MARGIN_S)
        low = max(low, self.min_total_s / most) if most else low
        highs = [self.target.max_s]
        highs += [] if high_s is None else [high_s - MARGIN_S]
        highs += [] if self.max_total_s is None else [self.max_total_s]
        n_bytes = [highest(self.limit, "bytes"), _decoded(highest(self.limit, "base64_bytes"))]
        highs += [self._seconds(n - WAV_HEAD_BYTES) - MARGIN_S for n in n_bytes if n is not None]
        return low, min(highs)

    def _seconds(self, n_bytes: float) -> float:
        return int(n_bytes // BYTES_PER_SAMPLE) / self.rate_hz

    def _allows(self, rule: Rule, value: float) -> bool:
        return all(limit.allows(value) for limit in self.limit if limit.rule == rule)

    def _known_rates(self) -> list[int]:
        """Rates worth trying: the usual ones, and those the target and the limits name."""
        named = [value for limit in self.limit if limit.rule == "sample_rate" for value in (limit.min, *limit.one_of)]
        own = [int(value) for value in named if isinstance(value, float | int)]
        return sorted({*USUAL_RATES_HZ, self.target.rate_hz, *own})

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(f"{self.file or self.vendor}: {what}; change its [[limit]] or [target]")


def _between(value: float, low: float | None, high: float | None) -> float:
    value = value if low is None else max(value, low)
    return value if high is None else min(value, high)


def _decoded(n_letters: float | None) -> float | None:
    """Most bytes whose data URL has at most this many letters, four for every three bytes and its head."""
    return None if n_letters is None else 3 * math.floor((n_letters - len(DATA_URL_HEAD)) / 4)


def own_folder() -> Path | None:
    """The user's folder of vendor files (`VOXPREP_VENDORS`), or None.

    Raises:
        ConfigError: it is named and is no folder.
    """
    named = os.environ.get(FOLDER_VARIABLE, "")
    if named and not Path(named).is_dir():
        raise ConfigError(f"{FOLDER_VARIABLE} names {named}, which is no folder")
    return Path(named) if named else None


def _files() -> dict[str, Path]:
    folders = [configs_folder() / "vendors", own_folder()]
    return {path.stem: path for folder in folders if folder for path in folder.glob("*.toml")}


def vendor_names() -> list[str]:
    """Vendors with a TOML, shipped or the user's, sorted.

    Raises:
        ConfigError: `VOXPREP_VENDORS` names no folder.
    """
    return sorted(_files())


def load_vendor(name: str) -> Vendor:
    """A vendor's limits and targets: the user's file of that name, else the shipped one.

    A user's file makes no provider: without one of that name it is for preparing only, whatever `upload` says.

    Raises:
        ConfigError: no such vendor (the message lists those there are), or a file that is wrong; it is named.
    """
    files = _files()
    if name not in files:
        raise ConfigError(f"unknown vendor {name!r}; there are: {', '.join(sorted(files))}")
    path = files[name]
    shipped = path.parent == configs_folder() / "vendors"
    where = f"vendors/{path.name}" if shipped else str(path)
    vendor = validated(Vendor, {**read_toml(path), "file": where}, where)
    if vendor.vendor != name:
        raise ConfigError(f"{where}: vendor is {vendor.vendor!r}, the file's name says {name!r}")
    vendor.check()
    return vendor if shipped or name in PROVIDERS else vendor.model_copy(update={"upload": False})
