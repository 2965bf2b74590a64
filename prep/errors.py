"""Every error voxprep raises on purpose.

    PrepError
    ├── BadAudio          the data is bad: becomes a `failed` row or a reason, never ends a run
    ├── ConfigError       the user's configuration or usage is wrong: exit 2, before any file is opened
    ├── ModelError        weights missing, damaged or not fetchable
    └── ProviderError     a vendor said no, or said nothing
        ├── Retryable     worth another try later (rate limit, 5xx, connection refused)
        ├── Refused       the vendor's own no: trying again without a change is pointless
        └── OutcomeUnknown   the answer to a *create* was lost: look it up before sending it again

Anything else that is raised is a bug and stops the run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


class PrepError(Exception):
    """Root of all expected errors; `str(error)` is a sentence for the user."""


class BadAudio(PrepError):
    """A recording (or a part of it) cannot be used.

    Args:
        source: name of the recording, as the user gave it.
        cause: what is wrong, in words a person understands.
    """

    def __init__(self, source: str, cause: str) -> None:
        super().__init__(f"{source}: {cause}")
        self.source = source
        self.cause = cause


class ConfigError(PrepError):
    """Configuration or usage that could be known to be wrong before the first file is opened."""


class ModelError(PrepError):
    """Model weights are missing, damaged, or could not be fetched from any source."""


_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]+")


def without_queries(text: str) -> str:
    """A text with the query of every URL in it blotted out: it may be a signature that opens a file."""
    return _QUERY.sub(r"\1?***", text)


@dataclass(frozen=True)
class ProviderFailure:
    """What a vendor answered, what rule it speaks of, and what to do about it.

    `message` is the vendor's own text; `rule` and `fix` are ours and may be empty when the vendor's
    words are all that is known. `http_status` is 0 where no answer came. Queries of URLs that the vendor
    quotes are blotted out of `message`.
    """

    vendor: str
    message: str
    code: str = ""
    http_status: int = 0
    rule: str = ""
    fix: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", without_queries(self.message))

    def __str__(self) -> str:
        head = f"{self.vendor}: {self.message}"
        facts = [
            f"HTTP {self.http_status}" if self.http_status else "",
            f"code {self.code}" if self.code else "",
        ]
        shown = ", ".join(fact for fact in facts if fact)
        parts = [f"{head} ({shown})" if shown else head]
        parts += [f"Rule: {self.rule}"] if self.rule else []
        parts += [f"Fix: {self.fix}"] if self.fix else []
        return ". ".join(part.rstrip(".") for part in parts) + "."


class ProviderError(PrepError):
    """A vendor call failed; `.failure` holds the vendor's words, the rule and the fix."""

    def __init__(self, failure: ProviderFailure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Retryable(ProviderError):
    """A passing trouble: `retry_after_s` is the vendor's own wish, or None."""

    def __init__(self, failure: ProviderFailure, retry_after_s: float | None = None) -> None:
        super().__init__(failure)
        self.retry_after_s = retry_after_s


class Refused(ProviderError):
    """The vendor said no."""


class OutcomeUnknown(ProviderError):
    """A create was sent and its answer was lost; only a look-up can tell whether the voice exists."""
