"""How the server says no: a status, and JSON with what was given and what was expected."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse


class Refusal(HTTPException):
    """A request that is not answered.

    Args:
        status: Of HTTP.
        error: What is wrong, a sentence without its end.
        given: What the request had.
        expected: What it should have had.
        headers: Of the response.
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
        """The refusal as JSON: ``error``, ``given``, ``expected``."""
        body = {"error": self.detail, "given": self.given, "expected": self.expected}
        return JSONResponse(body, status_code=self.status_code, headers=self.headers)


def shortened(value: Any) -> str:
    """What was given, in at most 120 characters; of a long one its beginning and its end."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return short.repr(value)[:120]
