"""What a body holds: texts as JSON, images as a form. Called in threads, never on the event loop."""

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

from zoo_serve.limits import Limits
from zoo_serve.refusals import Refusal, shortened

M = TypeVar("M", bound=BaseModel)


class Input(NamedTuple):
    """One input of a request, as :meth:`zoo.Predictor.prepare` takes it.

    Attributes:
        raw: The bytes of an image file, a text, or a pair of texts.
        name: How answers and errors name it.
    """

    raw: bytes | str | tuple[str, str]
    name: str


_BETWEEN = 100_000  # bytes of a JSON body outside of its strings
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def read_json(body: bytes, model: type[M], limits: Limits, *, form: str) -> M:
    """The body as ``model``; strings are counted before anything is made of them.

    Args:
        body: Of a request.
        model: Its fields.
        limits: How many inputs there may be.
        form: What a body looks like.

    Raises:
        Refusal: It is not of that form, or holds too many strings.
    """
    _count_strings(body, limits, form=form)
    try:
        return model.model_validate(json.loads(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        message = str(first["msg"])
        raise Refusal(
            422,
            f"{place} is not valid",
            given="nothing" if first["type"] == "missing" else shortened(first["input"]),
            expected=f"{message[:1].lower()}{message[1:]}; the form is {form}",
        ) from error
    except (ValueError, RecursionError) as error:
        given = str(error)
        if isinstance(error, json.JSONDecodeError):
            given = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise Refusal(
            422, "the body is not valid JSON", given=given[:200], expected=form
        ) from error


def _count_strings(body: bytes, limits: Limits, *, form: str) -> None:
    """Refuse what would take much time and memory to parse and is refused then."""
    most = 2 * limits.inputs + 8  # pairs, and names of fields
    end = between = count = 0
    while (start := body.find(b'"', end)) >= 0 and (found := _STRING.match(body, start)):
        between, end, count = between + start - end, found.end(), count + 1
        if count > most:
            raise Refusal(
                413,
                "there are too many inputs in the request",
                given=f"more than {most} strings",
                expected=f"at most {limits.inputs} inputs in one request",
            )
        if between > _BETWEEN:
            break
    if between + (len(body) - end if start < 0 else 0) > _BETWEEN:
        raise Refusal(
            422,
            "the body holds something else than texts",
            given=f"more than {_BETWEEN:,} bytes outside of strings",
            expected=form,
        )


class _InMemory(MultiPartParser):
    """Starlette's, without temporary files: the body lies in memory, and what is in it does too."""

    def __init__(self, headers: Headers, body: bytes, limits: Limits) -> None:
        self.spool_max_size = len(body) + 1
        super().__init__(headers, _once(body), max_files=limits.inputs + 1, max_fields=1)


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


def read_images(body: bytes, content_type: str, limits: Limits) -> list[Input]:
    """The files that a form holds under the name ``images``.

    Args:
        body: Of a request.
        content_type: Its header, with the boundary.
        limits: How many there may be.

    Raises:
        Refusal: It is no such form, or holds none or too many.
    """
    form = asyncio.run(_form(body, content_type, limits))
    files = [each for key, each in form.multi_items() if key == "images"]
    if not files or not all(isinstance(each, UploadFile) for each in files):
        raise Refusal(
            422,
            "'images' is missing",
            given=f"a form with {', '.join(map(repr, form)) or 'nothing'}"[:200],
            expected="one or more files, each under the name 'images'",
        )
    named = [(each, Path(each.filename or "").name) for each in files if not isinstance(each, str)]
    return [
        Input(each.file.read(), name or f"image {number}")
        for number, (each, name) in enumerate(named, start=1)
    ]


async def _form(body: bytes, content_type: str, limits: Limits) -> FormData:
    headers = Headers({"content-type": content_type})
    try:
        return await _InMemory(headers, body, limits).parse()
    except (MultiPartException, HTTPException) as error:
        message = getattr(error, "message", None) or str(error)
        many = message.startswith("Too many")
        raise Refusal(
            413 if many else 400,
            "there are too many inputs in the request" if many else "the body is not a whole form",
            given=message,
            expected=f"at most {limits.inputs} in one request: a whole request of type "
            "multipart/form-data, as a browser sends it",
        ) from error
