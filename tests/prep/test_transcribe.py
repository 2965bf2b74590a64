"""Two hearings of a clip: when the second is asked, what it marks, and a real one on a real clip."""

from dataclasses import replace

import numpy as np
import pytest

from prep.clip import Clip, Source, Word, WorkingCopy
from prep.models.registry import cache_root, ensure
from prep.models.whisper import Heard, Whisper
from prep.span import Span
from prep.stages.transcribe import SURE, Transcribe


class Scripted:
    """A recogniser that says what it is told, once well and once otherwise."""

    def __init__(self, first, second=""):
        self.first, self.second, self.asked = first, second, []

    def hear(self, samples, language, again=False):
        self.asked.append(again)
        if again:
            return Heard(self.second, (), language, -0.3, 0.0)
        words = tuple(Word(f" {word}", i / 2, i / 2 + 0.4, prob) for i, (word, prob) in enumerate(self.first))
        return Heard("".join(word.word for word in words).strip(), words, language, -0.2, 0.0)


class Silence:
    def read(self, copy, start, stop):
        return np.zeros(stop - start, np.float32)


def clip_of(speech_s=4.0):
    source = Source("a.wav", None, "0" * 64)
    copy = WorkingCopy(source, "k", None, "mono", Span(0, 240_000, 24_000), {})
    return Clip(copy, Span(24_000, 24_000 * 6, 24_000), "key").with_measures({"speech_s": speech_s})


def heard(recogniser, clip=None, language="en"):
    stage = Transcribe(lambda: recogniser, Silence(), language, ())
    with stage.open() as work:
        clip = clip or clip_of()
        return stage.merge(clip, work([clip])[0])


def test_a_sure_text_is_heard_once():
    recogniser = Scripted([("good", 0.99), ("morning", 0.95)])
    made = heard(recogniser)
    assert recogniser.asked == [False]
    assert "second_error" not in made.measures
    assert [word.unsure for word in made.words] == [False, False]
    assert made.words[1].start_s == 1.5
    assert made.measures["words_per_s"] == 0.5


def test_an_unsure_text_is_heard_twice_and_what_differs_is_marked():
    recogniser = Scripted([("good", 0.9), ("mourning", 0.6), ("ann", 0.4)], "Good morning Ann")
    made = heard(recogniser)
    assert recogniser.asked == [False, True]
    assert [word.unsure for word in made.words] == [False, True, True]  # the last by its own probability
    assert made.measures["second_error"] == pytest.approx(1 / 3)
    assert made.measures["text_confidence"] < SURE


def test_a_loop_and_another_script_are_measured():
    looped = heard(Scripted([("no", 0.9)] * 12))
    assert looped.measures["repeat_ratio"] == pytest.approx(11 / 12)
    assert heard(Scripted([("hello", 0.9)]), language="zh").measures["wrong_script_ratio"] == 1.0


def test_no_words_are_no_confidence():
    made = heard(Scripted([], ""))
    assert (made.text, made.measures["text_confidence"], made.measures["second_error"]) == ("", 0.0, 0.0)


def test_rate_is_of_speech_where_that_is_known():
    words = [("one", 0.99)] * 4
    assert heard(Scripted(words), clip_of(2.0)).measures["words_per_s"] == 2.0
    silent = replace(clip_of(), measures={})
    assert heard(Scripted(words), silent).measures["words_per_s"] == pytest.approx(4 / 5)


@pytest.mark.model
@pytest.mark.data
def test_both_hearings_of_a_clear_clip_agree_in_words_and_times(data):
    from prep.audio import read_mono

    samples, rate = read_mono(data / "asr/en_jfk.flac")
    assert rate == 16_000 or rate == 44_100
    from prep.audio import resample

    samples = resample(samples, rate, 16_000)
    whisper = Whisper(ensure("faster-whisper-base", cache=cache_root()), "cpu", "int8", 1, 5)
    first, second = whisper.hear(samples, "en"), whisper.hear(samples, "en", again=True)
    assert "country" in first.text
    assert "country" in second.text
    at = {word.word.strip(" ,.").lower(): word.start_s for word in first.words}
    again = {word.word.strip(" ,.").lower(): word.start_s for word in second.words}
    shared = set(at) & set(again)
    assert len(shared) > 8
    assert max(abs(at[word] - again[word]) for word in shared) < 0.35
