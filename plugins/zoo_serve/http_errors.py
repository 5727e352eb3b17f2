"""HTTP errors: a status code, and JSON with ``error``, ``given`` and ``expected``."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse


class RequestError(HTTPException):
    """An HTTP error response.

    Args:
        status: HTTP status code.
        error: What is wrong, without a full stop.
        given: What the request contained.
        expected: What it should contain.
        headers: Extra response headers.
    """

    def __init__(
        self,
        status: int,
        error: str,
        *,
        given: str,
        expected: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, error, headers=dict(headers or {}))
        self.given, self.expected = given, expected

    def response(self) -> JSONResponse:
        """Return the JSON response with ``error``, ``given`` and ``expected``."""
        body = {"error": self.detail, "given": self.given, "expected": self.expected}
        return JSONResponse(body, status_code=self.status_code, headers=self.headers)


def shortened(value: Any) -> str:
    """Return a value's repr in at most 120 characters, shortened in the middle."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return short.repr(value)[:120]
