"""Contents of texts, to find duplicates."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

import numpy as np

from zoo.data.examined import Examined
from zoo.data.leakage import Contents
from zoo.data.sequences import Inputs, Raw


def examine_texts(inputs: Inputs) -> Examined:
    """Examine texts and text pairs, all of which can be read."""
    rows = [texts_of(inputs[i]) for i in range(len(inputs))]
    digests = ["\0".join((*row, "")).encode() for row in rows]
    return Examined(digests, text_contents(rows))


def texts_of(raw: Raw) -> tuple[str, ...]:
    """The one text of an input, or the two of a pair."""
    return raw if isinstance(raw, tuple) else (str(raw),)


def text_contents(rows: Sequence[tuple[str, ...]]) -> Contents:
    """Map the texts of each row to a number that ignores case, white space and Unicode form.

    Unicode's form NFKC unifies letters that look the same: é as one character or two, full-width
    Latin letters, ligatures.
    """
    plain = ["\0".join(_plain(text) for text in row).encode() for row in rows]
    digests = [hashlib.sha256(text).digest()[:8] for text in plain]
    return np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)


def _plain(text: str) -> str:
    if text.isascii():
        return " ".join(text.split()).lower()
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
