"""A journal in memory, for what needs no ledger: nothing is made that a later run would have to find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prep.errors import ConfigError, Refused, Retryable


class Notes:
    """See `prep.providers.base.Journal`; gone with the process."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, bool, dict[str, str]]] = []
        self._open: set[str] = set()

    @contextmanager
    def step(self, name: str, *, creates: bool = False) -> Iterator[dict[str, str]]:
        """Remember the step and its facts."""
        facts: dict[str, str] = {}
        self.steps.append((name, creates, facts))
        self._open.add(name)
        try:
            yield facts
        except (Refused, Retryable, ConfigError):
            self._open.discard(name)
            raise
        self._open.discard(name)

    def is_open(self, step: str) -> bool:
        """Whether the newest step of this name was begun and never answered."""
        return step in self._open

    def recall(self, fact: str) -> str:
        """The newest value of a fact, or empty."""
        return next((facts[fact] for _, _, facts in reversed(self.steps) if fact in facts), "")
