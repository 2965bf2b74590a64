"""Work on several threads: order, errors, how far ahead."""

import threading
import time

import pytest

from prep.parallel import batched, n_threads, ordered


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_answers_come_in_the_order_of_the_items(threads):
    def slow_first(i):
        time.sleep(0.02 if i % 3 == 0 else 0)
        return i * i

    assert list(ordered(slow_first, range(20), threads)) == [i * i for i in range(20)]


def test_several_are_worked_on_at_a_time():
    both = threading.Barrier(2)
    assert list(ordered(lambda i: both.wait(timeout=10) >= 0, range(2), 2)) == [True, True]


def test_items_are_drawn_no_further_ahead_than_two_a_thread():
    drawn = []

    def items():
        for i in range(100):
            drawn.append(i)
            yield i

    answers = ordered(lambda i: i, items(), 2)
    assert next(answers) == 0
    assert len(drawn) == 5


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_where_its_answer_would_have(threads):
    answers = ordered(lambda i: 1 / i, [2, 1, 0, 4], threads)
    assert [next(answers), next(answers)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(answers)


def test_batches():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []


def test_threads_wished_for_are_given_and_none_means_every_core():
    assert n_threads(3) == 3
    assert n_threads(0) >= 1
