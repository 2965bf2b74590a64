"""Answers from the user: `KEY=VALUE` options and the five questions of a consent."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from prep.errors import ConfigError

QUESTIONS = {
    "speaker": "Whose voice is it",
    "statement": "What did they agree to, in their own words",
    "given_by": "Who gave the consent",
    "date": "On what day (YYYY-MM-DD)",
    "purpose": "What will the voice be used for",
}


def read_options(texts: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` texts as a dict.

    Raises:
        ConfigError: a text without `=`, or a key given twice.
    """
    out: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--option {text}: write KEY=VALUE")
        if key in out:
            raise ConfigError(f"--option {key} is given twice")
        out[key] = value
    return out


def consent_answers(given: Mapping[str, str | None], own: bool) -> dict[str, Any]:
    """Answers for a consent record: flags first, the rest asked on a terminal.

    Raises:
        ConfigError: an answer is missing and there is nobody to ask.
    """
    answers = {key: value for key, value in given.items() if value}
    if own:
        answers.setdefault("date", datetime.date.today().isoformat())
        answers.setdefault("statement", "I agree that my own voice is cloned from these recordings.")
        if "speaker" in answers:
            answers.setdefault("given_by", answers["speaker"])
    for key, question in QUESTIONS.items():
        if key not in answers:
            if not sys.stdin.isatty():
                raise ConfigError(f"consent: --{key.replace('_', '-')} is missing ({question.lower()})")
            answers[key] = typer.prompt(question, default=answers["speaker"] if own and key == "given_by" else None)
    return answers
