"""Answers of the form `{"code": 0, ..., "data": ...}`, which say in their body whether they are a success."""

from __future__ import annotations

from typing import TypeVar

import httpx

T = TypeVar("T")


def says_zero(answer: httpx.Response) -> bool:
    """HTTP 2xx and `code` 0 in the body.

    Raises:
        ValueError: a 2xx whose body is no JSON object with a code.
    """
    if not answer.is_success:
        return False
    body = answer.json()
    if not isinstance(body, dict) or not isinstance(body.get("code"), int):
        raise ValueError("no code in the answer")
    return bool(body["code"] == 0)


def envelope(answer: httpx.Response, kind: type[T]) -> T:
    """The `data` of an answer; ValueError where it is not of this kind."""
    data = answer.json().get("data")
    if not isinstance(data, kind):
        raise ValueError(f"no {kind.__name__} under data in the answer")
    return data
