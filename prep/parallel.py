"""Work on several threads, answers in order: for networks, whose libraries let go of Python's lock while they run."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def n_threads(wished: int) -> int:
    """Threads to use: as many as wished, or for 0 one for each core this process may run on."""
    if wished:
        return wished
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered(work: Callable[[Item], Answer], items: Iterable[Item], threads: int) -> Iterator[Answer]:
    """`work(item)` of each item in order, up to `threads` at a time; with one thread, `map`.

    Items are drawn in the caller's thread, at most two per thread ahead of the answers, so that a long stream of large
    items stays out of memory. An error of `work` is raised where its answer would have come; work begun goes on to
    its end first.
    """
    if threads <= 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[Answer]] = deque()
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > 2 * threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Items in lists of `size`, the last as short as it comes out."""
    waiting: list[Item] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
