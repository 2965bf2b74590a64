"""Selection: best first, hears no more than it must, strikes off what fails, says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from test_fit import found

from prep.clip import Reason, Word
from prep.stages.render import Rendered
from prep.stages.select import SetSpec, select, sentence_ends
from prep.stages.verify import Verdict

GOOD = Verdict(0.2, 0.2, -23.0, -3.0, "", 0.0, True)
FILE = Rendered(np.zeros(1, np.float32), 24_000, ())
SPEC = SetSpec(wanted=2, least=2)


class Ear:
    """Gives every clip the same number of words and counts what it was asked to hear."""

    def __init__(self, reject=()):
        self.heard = []
        self.reject = set(reject)

    def __call__(self, clips):
        self.heard += [clip.key for clip in clips]
        return [self._one(clip) for clip in clips]

    def _one(self, clip):
        start = clip.span.start_s
        words = tuple(
            Word(f" w{clip.key}{i}", start + i, start + i + 0.5, 0.9) for i in range(int(clip.span.duration_s))
        )
        made = replace(clip, words=words, text="x", language="en")
        return made.with_reasons((Reason("text_confidence", 0.1, 0.5),)) if clip.key in self.reject else made


def pool():
    return found([(6.0, 0.6)] * 20)[0]


def test_choices_do_not_overlap_and_stop_at_the_number_wanted():
    made = select(pool(), SPEC, Ear(), lambda scored: (FILE, GOOD))
    assert len(made.choices) == 2
    first, second = (choice.scored.window for choice in made.choices)
    assert not first.overlaps(second)


def test_only_what_may_be_chosen_is_heard():
    ear = Ear()
    select(pool(), SPEC, ear, lambda scored: (FILE, GOOD))
    n_clips = len({clip.key for window in pool() for clip in window.clips})
    assert len(ear.heard) == len(set(ear.heard))
    assert len(ear.heard) <= n_clips // 2


def test_a_set_without_text_is_of_clips_closely_heard_too():
    ear = Ear()
    made = select(pool(), replace(SPEC, text=False), ear, lambda scored: (FILE, GOOD))
    assert {clip.key for choice in made.choices for clip in choice.scored.clips} <= set(ear.heard)
    everything = {clip.key for window in pool() for clip in window.clips}
    refused = select(pool(), replace(SPEC, text=False), Ear(reject=everything), lambda scored: (FILE, GOOD))
    assert refused.choices == []


def test_what_is_much_like_a_failed_file_is_tried_last():
    tried = []

    def finish(scored):
        tried.append(scored.window)
        return FILE, replace(GOOD, text_agreement=0.2)

    select(pool(), replace(SPEC, max_tries=3), Ear(), finish)
    first, second, third = tried
    assert not any(
        a.overlaps(b) and 2 * (a.speech & b.speech).n_samples > b.speech.n_samples
        for a, b in ((first, second), (first, third), (second, third))
    )
    everything = []
    made = select(pool()[:5], SPEC, Ear(), lambda scored: (everything.append(scored), finish(scored))[1])
    assert len(made.failed) == len(everything) == 5  # nothing else left: they are tried after all


def test_a_file_that_fails_is_struck_off_with_its_reason_and_another_is_taken():
    seen = []

    def finish(scored):
        seen.append(scored.window)
        bad = len(seen) == 1
        return FILE, replace(GOOD, text_agreement=0.2) if bad else GOOD

    made = select(pool(), SPEC, Ear(), finish)
    assert len(made.choices) == 2
    ((scored, faults),) = made.failed
    assert scored.window is seen[0]
    assert "20 %" in faults[0]


def test_clips_whose_text_is_not_believed_are_not_used():
    everything = {clip.key for window in pool() for clip in window.clips}
    made = select(pool(), SPEC, Ear(reject=everything), lambda scored: (FILE, GOOD))
    assert made.choices == []
    assert all(not clip.alive for clip in made.heard.values())


def test_tries_are_bounded():
    made = select(pool(), replace(SPEC, max_tries=3), Ear(), lambda scored: (FILE, replace(GOOD, lead_quiet_s=0.0)))
    assert (len(made.choices), len(made.failed)) == (0, 3)


def test_a_total_over_the_vendors_is_not_exceeded():
    made = select(pool(), replace(SPEC, max_total_s=20.0), Ear(), lambda scored: (FILE, GOOD))
    assert made.total_s <= 20.0
    assert any("longer than 20 s" in faults[0] for _, faults in made.failed)


def test_a_total_that_just_holds_the_files_wanted_is_shared_among_them():
    lengths = sorted({round(window.duration_s, 2) for window in pool()})
    spec = replace(SPEC, max_total_s=2 * lengths[0] + 0.5, max_tries=2)
    made = select(pool(), spec, Ear(), lambda scored: (FILE, GOOD))
    assert len(made.choices) == 2
    assert made.total_s <= spec.max_total_s


def test_files_are_added_until_the_least_total_is_reached():
    spec = replace(SPEC, min_total_s=50.0)
    made = select(pool(), spec, Ear(), lambda scored: (FILE, GOOD))
    assert len(made.choices) > 2
    assert spec.met(len(made.choices), made.total_s)
    assert made.total_s - made.choices[-1].scored.window.duration_s < 50.0


def test_no_more_files_than_the_vendor_takes_whatever_the_total():
    spec = replace(SPEC, min_total_s=50.0, most=2)
    made = select(pool(), spec, Ear(), lambda scored: (FILE, GOOD))
    assert len(made.choices) == 2
    assert spec.full(2, made.total_s)
    assert not spec.met(2, made.total_s)


def test_a_set_is_met_by_number_and_by_seconds():
    spec = SetSpec(wanted=3, least=2, min_total_s=30.0)
    cases = {(1, 99.0): False, (2, 29.9): False, (2, 30.0): True, (3, 45.0): True}
    assert {case: spec.met(*case) for case in cases} == cases


def test_whole_sentences_are_seen():
    window = pool()[0]
    words = (Word(" Hello", 0.0, 0.4, 1.0), Word(" there.", 0.5, 0.9, 1.0), Word(" And", 1.0, 1.2, 1.0))
    clip = replace(window.clips[0], words=words)
    assert sentence_ends(window, [clip], words[:2]) == 1.0
    assert sentence_ends(window, [clip], words[1:2]) == 0.5
    assert sentence_ends(window, [clip], words[2:]) == 0.5


def test_faults_name_every_broken_rule_with_its_number():
    bad = Verdict(0.02, 0.2, -23.0, -0.2, "x", 0.12, False)
    faults = " | ".join(bad.faults)
    for part in ("20 ms", "12 %", "another word", "-0.2 dBTP"):
        assert part in faults
    assert GOOD.faults == []
