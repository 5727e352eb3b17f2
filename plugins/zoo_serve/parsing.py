"""Parse request bodies: texts as JSON, files as a form. Runs in threads, not on the event loop."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from zoo_serve.http_errors import RequestError, shortened
from zoo_serve.limits import Limits

M = TypeVar("M", bound=BaseModel)


class Input(NamedTuple):
    """One input of a request: the arguments of :meth:`zoo.Predictor.prepare`.

    Attributes:
        raw: The bytes of an image file, a text, or a pair of texts.
        name: Its name in predictions and errors.
    """

    raw: bytes | str | tuple[str, str]
    name: str


_MAX_OUTSIDE = 100_000  # bytes of a JSON body outside its strings
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def read_json(body: bytes, model: type[M], limits: Limits, *, example: str) -> M:
    """Parse the body as ``model``; strings are counted before the JSON is parsed.

    Args:
        body: The request body.
        model: Schema of the body.
        limits: Limits on the number of inputs.
        example: An example body, for error messages.

    Raises:
        RequestError: The body does not match the schema, or has too many strings.
    """
    _count_strings(body, limits, example=example)
    try:
        return model.model_validate(json.loads(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        message = str(first["msg"])
        raise RequestError(
            422,
            f"{place} is not valid",
            given="nothing" if first["type"] == "missing" else shortened(first["input"]),
            expected=f"{message[:1].lower()}{message[1:]}, as in {example}",
        ) from error
    except (ValueError, RecursionError) as error:
        given = str(error)
        if isinstance(error, json.JSONDecodeError):
            given = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise RequestError(
            422, "the body is not valid JSON", given=given[:200], expected=example
        ) from error


def _count_strings(body: bytes, limits: Limits, *, example: str) -> None:
    """Reject, before parsing, bodies that would take much time and memory to parse."""
    max_strings = 2 * limits.inputs + 8  # pairs, and field names
    end = between = count = 0
    while (start := body.find(b'"', end)) >= 0 and (found := _STRING.match(body, start)):
        between, end, count = between + start - end, found.end(), count + 1
        if count > max_strings:
            raise RequestError(
                413,
                "too many inputs in the request",
                given=f"more than {max_strings} strings",
                expected=f"at most {limits.inputs} inputs in one request",
            )
        if between > _MAX_OUTSIDE:
            break
    if between + (len(body) - end if start < 0 else 0) > _MAX_OUTSIDE:
        raise RequestError(
            422,
            "the body contains something other than texts",
            given=f"more than {_MAX_OUTSIDE:,} bytes outside strings",
            expected=example,
        )


class _InMemory(MultiPartParser):
    """Starlette's parser without temporary files: the body is in memory already."""

    def __init__(self, headers: Headers, body: bytes, limits: Limits) -> None:
        self.spool_max_size = len(body) + 1
        super().__init__(headers, _once(body), max_files=limits.inputs + 1, max_fields=1)


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


def read_files(body: bytes, content_type: str, limits: Limits, field: str) -> list[Input]:
    """Return the files in a form's field ``field``.

    Args:
        body: The request body.
        content_type: The request's ``Content-Type``, with the boundary.
        limits: Limits on the number of files.
        field: The plural noun for the inputs, such as ``images``.

    Raises:
        RequestError: The body is not such a form, or has no file or too many.
    """
    form = asyncio.run(_form(body, content_type, limits))
    files = [each for key, each in form.multi_items() if key == field]
    if not files or not all(isinstance(each, UploadFile) for each in files):
        raise RequestError(
            422,
            f"'{field}' is missing",
            given=f"a form with {', '.join(map(repr, form)) or 'no fields'}"[:200],
            expected=f"one or more files in the form field '{field}'",
        )
    named = [(each, Path(each.filename or "").name) for each in files if not isinstance(each, str)]
    return [
        Input(each.file.read(), name or f"file {number}")
        for number, (each, name) in enumerate(named, start=1)
    ]


async def _form(body: bytes, content_type: str, limits: Limits) -> FormData:
    headers = Headers({"content-type": content_type})
    try:
        return await _InMemory(headers, body, limits).parse()
    except (MultiPartException, HTTPException) as error:
        message = getattr(error, "message", None) or str(error)
        too_many = message.startswith("Too many")
        raise RequestError(
            413 if too_many else 400,
            "too many inputs in the request" if too_many else "the body is not a valid form",
            given=message,
            expected=f"a complete multipart/form-data body with at most {limits.inputs} files",
        ) from error
