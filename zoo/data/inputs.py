"""What a prediction takes: pictures, folders of them, tables, texts, pairs, pictures in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from PIL import Image

from zoo.data.columns import ColumnNames, Columns, read_part
from zoo.data.folders import pictures_below
from zoo.data.pictures import examine, looks_like_picture
from zoo.data.reports import Findings
from zoo.data.samples import Inputs, Listed, Pair, Paths, Raw, Samples
from zoo.data.tables import looks_like_table, read_table
from zoo.errors import DataError
from zoo.files import is_utf8
from zoo.spec import Modality

Given: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | Pair"


Lost: TypeAlias = tuple[str, str]
"""How reports call an input that cannot be used, and why it cannot."""


class Text(str):
    """A text, even where it reads like the path of a file that is there."""


def open_inputs(
    inputs: Iterable[Given],
    modality: Modality,
    text_column: ColumnNames = None,
    *,
    pairs: bool = False,
    lost: dict[int, Lost] | None = None,
) -> Samples:
    """The inputs of a prediction, in the order given; folders are read through, sorted by name.

    For pictures: paths of pictures, of folders and of tables of paths, pictures in memory
    (``PIL.Image.Image``), and encoded ones (bytes). For texts: the texts themselves, and paths of
    tables and of ``.txt`` files with a text a line. For pairs: tuples of two texts, and paths of
    tables.

    Args:
        inputs: What to predict.
        modality: What the run takes.
        text_column: The column of texts, or of paths of pictures, in tables; two for pairs.
        pairs: Whether the run takes pairs of texts.
        lost: Is given what cannot be used, by the place among all inputs that it would have had;
            ``None`` to stop at it.

    Raises:
        DataError: There is no such file, or it is not of this modality, or there is nothing.
        BadFilesError: An input cannot be used, and there is no ``lost`` to keep it.
    """
    columns = Columns.named(text_column)
    if columns.inputs and pairs != (len(columns.inputs) == 2):
        takes = "pairs, from two columns" if pairs else "one input, from one column"
        raise DataError(
            f"this run takes {takes}; --text-column names {len(columns.inputs)}",
            hint="Give it twice." if pairs else "Give it once.",
        )
    read = _pictures if modality == "image" else (_pairs if pairs else _texts)
    groups, count = list[Inputs](), 0
    for number, given in enumerate(_listed(inputs), start=1):
        own: dict[int, Lost] = {}
        groups.append(read(given, number, columns, None if lost is None else own))
        if lost is not None:
            lost |= {count + place: each for place, each in own.items()}
        count += len(groups[-1]) + len(own)
    if not count:
        raise DataError("there is nothing to predict", hint="Give at least one input.")
    return Samples(modality, groups[0] if len(groups) == 1 else _joined(groups))


def without_unreadable(samples: Samples, lost: dict[int, Lost]) -> Samples:
    """``samples`` without the images that cannot be decoded; ``lost`` is given those.

    Args:
        samples: What :func:`open_inputs` has read.
        lost: What it could not, by place among all inputs; images are put among them.

    Raises:
        BadFilesError: None of the inputs can be used.
    """
    reasons = examine(samples.inputs).reasons if samples.modality == "image" else {}
    places = [i for i in range(len(samples) + len(lost)) if i not in lost]
    good = [i for i in range(len(samples)) if i not in reasons]
    lost |= {places[i]: (samples.input(i), reason) for i, reason in reasons.items()}
    if not good:
        Findings("error", [lost[place] for place in sorted(lost)]).settle()
    return samples.select(good) if reasons else samples


def _listed(inputs: Iterable[Given]) -> Iterable[Given]:
    if isinstance(inputs, (str, bytes, os.PathLike, Image.Image)):
        raise DataError(
            f"inputs come as a list; a single {type(inputs).__name__} was given",
            hint="Put it into a list: [input].",
        )
    return inputs


def _joined(groups: Sequence[Inputs]) -> Listed:
    pairs = [(group[i], group.name(i)) for group in groups for i in range(len(group))]
    return Listed(tuple(raw for raw, _ in pairs), tuple(name for _, name in pairs))


def _pictures(given: Given, number: int, columns: Columns, lost: dict[int, Lost] | None) -> Inputs:
    if isinstance(given, (bytes, Image.Image)):
        return _one(given, f"picture {number}")
    if isinstance(given, tuple):
        raise DataError(
            f"this run takes pictures; input {number} is a pair", hint="Give pictures one by one."
        )
    path = Path(os.path.expanduser(given))
    if os.path.isdir(path):
        findings = Findings("error" if lost is None else "skip")
        found = [os.path.relpath(picture, path) for picture in pictures_below(path, findings)]
        findings.settle()
        if lost is not None:  # folders that cannot be listed come behind what can be read
            lost |= dict(enumerate(findings.found, start=len(found)))
        if not found and not findings.found:
            raise DataError(f"{path} holds no pictures", hint="Give pictures, or folders of them.")
        return Paths.under(path, found)
    if not os.path.exists(path):
        raise DataError(
            f"there is no file or folder {path}",
            hint="Give picture files, folders of them, or a table with a column of their paths.",
        )
    if looks_like_table(path):
        return _column(path, "image", columns, lost)
    if path.suffix and not looks_like_picture(path):
        raise DataError(
            f"this run takes pictures; {path} does not look like one",
            hint="Give picture files, folders of them, or a table with a column of their paths.",
        )
    return _one(os.fspath(path), os.fspath(path))


def _pairs(given: Given, number: int, columns: Columns, lost: dict[int, Lost] | None) -> Inputs:
    if isinstance(given, tuple) and len(given) == 2:
        return _one((_utf8(given[0], number), _utf8(given[1], number)), f"pair {number}")
    if isinstance(given, (bytes, Image.Image)):
        raise _not_text(f"input {number}", "is a picture")
    if not isinstance(given, (tuple, Text)) and looks_like_table(given):
        return _texts(Path(given), number, columns, lost)
    raise DataError(
        f"this run takes pairs of texts; input {number} is none",
        hint="Give a table with both columns, or on standard input ('-') two texts a line with "
        "a tab between them.",
    )


def _texts(given: Given, number: int, columns: Columns, lost: dict[int, Lost] | None) -> Inputs:
    if isinstance(given, (bytes, Image.Image)):
        raise _not_text(f"input {number}", "is a picture")
    if isinstance(given, tuple):
        raise DataError(
            f"this run takes one text each; input {number} is a pair", hint="Give texts one by one."
        )
    if isinstance(given, Text) or (isinstance(given, str) and not _is_path(given)):
        return _one(_utf8(given, number), f"text {number}")
    path = Path(os.path.expanduser(given))
    if looks_like_picture(path):
        raise _not_text(str(path), "looks like a picture")
    if os.path.isdir(path):
        raise _not_text(str(path), "is a folder")
    if not os.path.exists(path):
        raise DataError(
            f"there is no file {path}",
            hint="Give a table, or texts on standard input with '-'.",
        )
    if looks_like_table(path):
        return _column(path, "text", columns, lost)
    if path.suffix.lower() == ".txt":
        return _lines(path)
    raise _not_text(str(path), "is neither a table nor a .txt file")


def _is_path(text: str) -> bool:
    """Whether a string is meant as a path: the name of a table or picture, or a folder's path."""
    if any(char.isspace() for char in text.strip()):
        return (looks_like_table(text) or looks_like_picture(text)) and _exists(text)
    if looks_like_table(text) or looks_like_picture(text):
        return True
    return (os.sep in text or text.lower().endswith(".txt")) and _exists(text)


def _exists(text: str) -> bool:
    return os.path.exists(os.path.expanduser(text))


def _lines(path: Path) -> Listed:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from error
    filled = [(line, f"{path} line {i}") for i, line in enumerate(lines, 1) if line.strip()]
    return Listed(tuple(line for line, _ in filled), tuple(name for _, name in filled))


def _column(
    path: Path, modality: Modality, columns: Columns, lost: dict[int, Lost] | None
) -> Inputs:
    findings = Findings("error" if lost is None else "skip")
    table = read_table(path)
    part = read_part(table, modality, columns, findings, labelled=False)
    findings.settle()
    if lost is not None and part.rows is not None:
        reasons = dict(findings.found)
        for row in sorted(set(range(len(table.data))) - set(part.rows.tolist())):
            name = f"{table.title} row {row + 1}"
            lost[row] = name, reasons[name]
    return part.inputs


def _one(raw: Raw, name: str) -> Listed:
    return Listed((raw,), (name,))


def _utf8(given: str, number: int) -> str:
    """The text, of which tokenizers and tables demand that it be one in UTF-8."""
    if not is_utf8(given):
        raise DataError(
            f"input {number} is no text in UTF-8: {given[:60]!r}",
            hint="Give it in UTF-8, or on standard input ('-'), where other bytes are replaced.",
        )
    return str(given)


def _not_text(what: str, why: str) -> DataError:
    return DataError(
        f"this run takes texts; {what} {why}",
        hint="Give texts on standard input with '-', or a table with a column of texts.",
    )
