"""Contents of texts, to find duplicates and near-duplicates."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from zoo.data.examined import Examined
from zoo.data.leakage import Contents
from zoo.data.sequences import Inputs, Raw


def examine_texts(inputs: Inputs) -> Examined:
    """Examine texts and text pairs, all of which can be read."""
    rows = [texts_of(inputs[i]) for i in range(len(inputs))]
    digests = ["\0".join((*row, "")).encode() for row in rows]
    hashes = text_hashes(rows)[:, None]
    return Examined(digests, text_contents(rows), hashes)


def texts_of(raw: Raw) -> tuple[str, ...]:
    """The one text of an input, or the two of a pair."""
    return raw if isinstance(raw, tuple) else (str(raw),)


def text_contents(rows: Sequence[tuple[str, ...]]) -> Contents:
    """Map the texts of each row to a number that ignores case, white space and Unicode form.

    Unicode's form NFKC unifies letters that look the same: é as one character or two, full-width
    Latin letters, ligatures.
    """
    return np.array([_number([_plain(text) for text in row]) for row in rows], dtype=np.uint64)


def text_hashes(rows: Sequence[tuple[str, ...]]) -> Contents:
    """Map the words of each row to a number, equal for near-duplicates; 0 for a row without words.

    Beyond what :func:`text_contents` ignores, these are alike: other punctuation, HTML entities and
    tags, invisible characters, and Greek or Cyrillic letters that look like Latin ones.
    """
    words = ([_words(text) for text in row] for row in rows)
    return np.array([_number(row) if any(row) else 0 for row in words], dtype=np.uint64)


def _number(texts: Sequence[str]) -> int:
    digest = hashlib.sha256("\0".join(texts).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _plain(text: str) -> str:
    if text.isascii():
        return " ".join(text.split()).lower()
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)

_LOOKALIKES = str.maketrans("авекмнорстухіјѕһԁԛԝαεικορνυχ", "abekmhopctyxijshdqwaeikopvux")
"""Cyrillic and Greek letters, in lower case, to the Latin ones that they or their capitals look like;
from Unicode's ``confusables.txt``."""


@lru_cache(maxsize=1)
def _punctuation() -> dict[int, str]:
    """What becomes of it: apostrophes and invisible characters vanish, the rest are spaces."""
    categories = {code: unicodedata.category(chr(code)) for code in range(0x10000)}
    table = {code: " " for code, category in categories.items() if category[0] == "P"}
    table |= {code: "" for code, category in categories.items() if category == "Cf"}
    return table | dict.fromkeys(map(ord, "'\u2018\u2019\u02bc`\u00b4"), "")


def _words(text: str) -> str:
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).casefold().translate(_LOOKALIKES)
    return " ".join(text.translate(_punctuation()).lower().split())
