"""A journal in memory, for what needs no ledger: nothing is made that a later run would have to find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Notes:
    """See `prep.providers.base.Journal`; gone with the process."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, bool, dict[str, str]]] = []

    @contextmanager
    def step(self, name: str, *, creates: bool = False) -> Iterator[dict[str, str]]:
        """Remember the step and its facts."""
        facts: dict[str, str] = {}
        self.steps.append((name, creates, facts))
        yield facts

    def recall(self, fact: str) -> str:
        """The newest value of a fact, or empty."""
        return next((facts[fact] for _, _, facts in reversed(self.steps) if fact in facts), "")
