"""Stages through the store, and gates."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from audio_kit import bare_copy, clip_of

from prep.clip import Clip, Reason
from prep.stage import Gate, Limit, Work, apply, fingerprint, settings_of


@dataclass
class Log:
    opened: int = 0
    worked: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Length:
    """Measures a clip's length times `factor`; breaks at the clip whose key is `breaks_at`."""

    log: Log = field(metadata={"key": False})
    factor: float = 1.0
    breaks_at: str = field(default="", metadata={"key": False})
    name: str = "length"
    version: str = "1"
    weights: str = ""

    @contextmanager
    def open(self) -> Iterator[Work]:
        self.log.opened += 1

        def work(clips: Sequence[Clip]) -> list[dict[str, Any]]:
            if any(clip.key == self.breaks_at for clip in clips):
                raise RuntimeError(self.breaks_at)
            self.log.worked += [clip.key for clip in clips]
            return [{"length_s": clip.span.duration_s * self.factor} for clip in clips]

        yield work

    def merge(self, clip: Clip, result: dict[str, Any]) -> Clip:
        return clip.with_measures(result)


@dataclass(frozen=True)
class Forgetful(Length):
    """Returns no result."""

    @contextmanager
    def open(self) -> Iterator[Work]:
        yield lambda clips: []


def clips_of(*keys: str, copy: str = "c0") -> list[Clip]:
    made = bare_copy(key=copy)
    return [clip_of(made, i, i + 1 + i / 2, key) for i, key in enumerate(keys)]


def test_results_are_merged_in_order_and_the_stage_is_named(store):
    done = apply(Length(Log(), factor=2.0), clips_of("a", "b", "c"), store)
    assert [(clip.key, clip.measures["length_s"]) for clip in done] == [("a", 2.0), ("b", 3.0), ("c", 4.0)]
    assert [clip.stages for clip in done] == [("length@1",)] * 3


def test_what_the_store_has_opens_no_model(store):
    first, second = Log(), Log()
    before = apply(Length(first), clips_of("a", "b"), store)
    after = apply(Length(second), clips_of("a", "b"), store)
    assert after == before
    assert (first.opened, second) == (1, Log())


def test_only_what_is_missing_is_worked_out(store):
    log = Log()
    apply(Length(log), clips_of("a", "c"), store)
    apply(Length(log), clips_of("a", "b", "c"), store)
    assert (log.opened, log.worked) == (2, ["a", "c", "b"])


@pytest.mark.parametrize("changed", [{"factor": 3.0}, {"version": "2"}, {"weights": "sha"}, {"name": "other"}])
def test_a_changed_setting_version_or_weight_meets_no_old_answer(store, changed):
    apply(Length(Log()), clips_of("a"), store)
    log = Log()
    (clip,) = apply(Length(log, **changed), clips_of("a"), store)
    assert log.worked == ["a"]
    assert clip.measures["length_s"] == changed.get("factor", 1.0)


def test_what_is_no_setting_is_not_in_the_fingerprint():
    assert fingerprint(Length(Log())) == fingerprint(Length(Log(opened=5), breaks_at="z"))
    assert settings_of(Length(Log())) == {"factor": 1.0, "name": "length", "version": "1", "weights": ""}


def test_the_same_key_in_another_recording_is_another_result(store):
    log = Log()
    apply(Length(log), clips_of("a"), store)
    apply(Length(log), clips_of("a", copy="c1"), store)
    assert log.worked == ["a", "a"]


def test_clips_with_reasons_pass_untouched(store):
    log = Log()
    a, b = clips_of("a", "b")
    dead = a.with_reasons((Reason("snr_db", 3.0, 20.0, "dB"),))
    done = apply(Length(log), [dead, b], store)
    assert done[0] is dead
    assert log.worked == ["b"]


def test_no_clips_open_nothing(store):
    log = Log()
    assert apply(Length(log), [], store) == []
    assert log == Log()
    assert not store.root.exists()


def test_an_interruption_keeps_what_was_done(store):
    log = Log()
    clips = clips_of("a", "b") + clips_of("c", copy="c1") + clips_of("d", copy="c1")
    with pytest.raises(RuntimeError, match="d"):
        apply(Length(log, breaks_at="d"), clips, store)
    done = apply(Length(log), clips, store)
    assert log.worked == ["a", "b", "c", "d"]
    assert [clip.key for clip in done] == ["a", "b", "c", "d"]


def test_a_damaged_entry_is_worked_out_again(store):
    apply(Length(Log()), clips_of("a"), store)
    (path,) = (store.root / "results").rglob("*.json")
    path.write_bytes(path.read_bytes()[:-3])
    log = Log()
    (clip,) = apply(Length(log), clips_of("a"), store)
    assert (clip.measures["length_s"], log.worked) == (1.0, ["a"])


def test_progress_is_told_for_each_clip_worked_out(store):
    apply(Length(Log()), clips_of("a"), store)
    told: list[str] = []
    apply(Length(Log()), clips_of("a", "b", "c"), store, lambda clip: told.append(clip.key))
    assert told == ["b", "c"]


def test_a_stage_that_returns_another_number_of_results_is_a_bug(store):
    with pytest.raises(ValueError, match="values to unpack"):
        apply(Forgetful(Log()), clips_of("a"), store)


SNR, LOUD, CLIPPED = (
    Limit("snr_db", "dB", min=20.0),
    Limit("lufs", "LUFS", -30.0, -16.0),
    Limit("clipped_ratio", max=0.1),
)


def measured(**values: float | None) -> Clip:
    return clip_of(bare_copy()).with_measures(values)


def test_every_broken_limit_is_listed_in_the_order_of_the_limits():
    judged = Gate((CLIPPED, SNR, LOUD)).judge(measured(lufs=-10.0, snr_db=12.5, clipped_ratio=0.2))
    assert judged.reasons == (
        Reason("clipped_ratio", 0.2, 0.1, ""),
        Reason("snr_db", 12.5, 20.0, "dB"),
        Reason("lufs", -10.0, -16.0, "LUFS"),
    )


def test_a_measure_taken_and_unknown_is_a_reason():
    assert Gate((SNR,)).judge(measured(snr_db=None)).reasons == (Reason("snr_db", None, 20.0, "dB"),)
    assert Gate((CLIPPED,)).judge(measured(clipped_ratio=None)).reasons == (Reason("clipped_ratio", None, 0.1, ""),)


def test_a_measure_that_is_not_a_number_is_unknown():
    (reason,) = Gate((SNR,)).judge(measured(snr_db=float("nan"))).reasons
    assert reason == Reason("snr_db", None, 20.0, "dB")


def test_a_measure_never_taken_is_none():
    clip = measured(lufs=-20.0)
    assert Gate((SNR, LOUD)).judge(clip) == clip


@pytest.mark.parametrize(("lufs", "alive"), [(-30.0, True), (-16.0, True), (-30.01, False), (-15.99, False)])
def test_limits_are_inclusive(lufs, alive):
    assert Gate((LOUD,)).judge(measured(lufs=lufs)).alive is alive


def test_a_limit_below_names_the_bound_that_was_broken():
    assert LOUD.broken_by({"lufs": -40.0}) == Reason("lufs", -40.0, -30.0, "LUFS")


def test_judging_twice_adds_nothing_and_the_first_reason_stays_first():
    once = Gate((SNR,)).judge(measured(snr_db=1.0, lufs=0.0))
    twice = Gate((LOUD, SNR)).judge(once)
    assert [reason.check for reason in twice.reasons] == ["snr_db", "lufs"]
    assert Gate((LOUD, SNR)).judge(twice) == twice


def test_other_limits_judge_the_same_clips_otherwise():
    clips = [measured(snr_db=value) for value in (10.0, 15.0, 25.0)]
    strict = Gate((SNR,)).judge_all(clips)
    loose = Gate((Limit("snr_db", "dB", min=12.0),)).judge_all(clips)
    assert [clip.alive for clip in strict] == [False, False, True]
    assert [clip.alive for clip in loose] == [False, True, True]
