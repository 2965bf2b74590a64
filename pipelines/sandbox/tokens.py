"""Kling's signed tokens: JWT, HS256 ("Authentication", Kling API documentation, 2026)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TypeGuard

from jwt import PyJWS, PyJWT
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import PyJWTError


class BadToken(Exception):
    """Why a token is refused: `code` is Kling's, 1002 (invalid), 1003 (not valid yet) or 1004 (expired)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _AnyLength(HMACAlgorithm):
    """HS256 without the warning about short keys: Kling hands out the secret, nobody here chose it."""

    def check_key_length(self, key: bytes) -> str | None:
        """Every length will do."""
        return None


def verified(token: str, pair: tuple[str, str], now_s: float | None = None) -> Mapping[str, Any]:
    """The claims of a token signed with this (access key, secret key); `iss`, `exp` and `nbf` are checked, no leeway.

    `nbf` may be absent; claims nobody asked for are let through, as the vendor does.

    Raises:
        BadToken: see there.
    """
    access, secret = pair
    now_s = time.time() if now_s is None else now_s
    try:
        claims = _signed_claims(token, secret)
    except (PyJWTError, UnicodeError) as error:
        raise BadToken(1002, f"Auth failed: {error}") from error
    if claims.get("iss") != access:
        raise BadToken(1002, "Auth failed: iss is not the access key")
    expires_s, begins_s = claims.get("exp"), claims.get("nbf", 0)
    if not _is_time(expires_s) or not _is_time(begins_s):
        raise BadToken(1002, "Auth failed: exp and nbf must be Unix seconds")
    if begins_s > now_s:
        raise BadToken(1003, "Auth failed: the token is not valid yet (nbf)")
    if expires_s <= now_s:
        raise BadToken(1004, "Auth failed: the token has expired (exp)")
    return claims


def _signed_claims(token: str, secret: str) -> dict[str, Any]:
    signed = PyJWS(algorithms=["HS256"])
    signed.unregister_algorithm("HS256")
    signed.register_algorithm("HS256", _AnyLength(HMACAlgorithm.SHA256))
    signed.decode_complete(token, secret.encode(), algorithms=["HS256"])
    claims: dict[str, Any] = PyJWT().decode(token, options={"verify_signature": False})
    return claims


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
