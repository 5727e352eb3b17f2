"""What a prediction takes: pictures, folders of them, tables, texts, pairs, pictures in memory."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image

from zoo.contract.spec import Modality
from zoo.data.columns import NO_COLUMNS, ColumnNames, Columns, read_part
from zoo.data.dialects import Quoting
from zoo.data.folders import pictures_below
from zoo.data.reports import Findings
from zoo.data.samples import Inputs, Listed, Pair, Paths, Raw, Samples
from zoo.data.tables import looks_like_table, read_table
from zoo.errors import DataError
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.image.reading import examine, looks_like_picture
from zoo.system.files import is_utf8, open_regular

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
    learned: Columns = NO_COLUMNS,
    quoting: Quoting | None = None,
    findings: Findings | None = None,
) -> Samples:
    """The inputs of a prediction, in the order given; folders are read through, sorted by name.

    For pictures: paths of pictures, of folders and of tables of paths, pictures in memory
    (``PIL.Image.Image``), and encoded ones (bytes). For texts: the texts themselves, and paths of
    tables and of ``.txt`` files with a text a line, blank ones included. For pairs: tuples of two
    texts, and paths of tables.

    Args:
        inputs: What to predict.
        modality: What the run takes.
        text_column: The column of texts, or of paths of pictures, in tables; two for pairs.
        pairs: Whether the run takes pairs of texts.
        lost: Is given what cannot be used, by the place among all inputs that it would have had;
            ``None`` to stop at it.
        learned: The columns that the run was trained on, where ``text_column`` names none.
        findings: Is told what was guessed.
        quoting: As for :func:`zoo.data.opening.open_data`.

    Raises:
        DataError: There is no such file, or it is not of this modality, or there is nothing.
        BadFilesError: An input cannot be used, and there is no ``lost`` to keep it.
    """
    columns, findings = (
        Columns.named(text_column, quoting=quoting).learned(learned),
        findings or Findings("error"),
    )
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
        groups.append(read(given, number, columns, None if lost is None else own, findings))
        if lost is not None:
            lost |= {count + place: each for place, each in own.items()}
        count += len(groups[-1]) + len(own)
    if not count:
        raise DataError("there is nothing to predict", hint="Give at least one input.")
    return Samples(modality, groups[0] if len(groups) == 1 else _joined(groups))


def without_unreadable(
    samples: Samples, lost: dict[int, Lost], reading: Reading | None = None
) -> Samples:
    """``samples`` without the images that cannot be decoded, or used; ``lost`` is given those.

    Args:
        samples: What :func:`open_inputs` has read.
        lost: What it could not, by place among all inputs; images are put among them.
        reading: What images must be like.

    Raises:
        BadFilesError: None of the inputs can be used.
    """
    reasons = dict[int, str]()
    if reading is not None:
        seen = examine(samples.inputs)
        reasons = reading.misfits(seen.traits) | seen.reasons
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
    # A table in memory gives the names of its columns, one by one, to whoever goes through it.
    if isinstance(inputs, Mapping) or hasattr(inputs, "columns") or hasattr(inputs, "column_names"):
        raise DataError(
            f"inputs come as a list; a {type(inputs).__name__} was given",
            hint='Give the list of one column: frame["text"].tolist(). Or the path of a table.',
        )
    if not isinstance(inputs, Iterable):
        raise DataError(
            f"inputs come as a list; {type(inputs).__name__} was given", hint="Give [input]."
        )
    return map(_checked, itertools.count(1), inputs)


def _checked(number: int, given: Any) -> Given:
    """An input as it is, if it is of a kind that a run takes."""
    if isinstance(given, tuple):
        fits = all(isinstance(each, str) for each in given)
    else:
        fits = isinstance(given, (str, os.PathLike, bytes, Image.Image))
    if not fits:
        what = (
            "a tuple of other things than texts" if isinstance(given, tuple) else repr(type(given))
        )
        raise DataError(
            f"input {number} is {what}",
            hint="Give texts or paths; for pictures in memory Pillow's images or their encoded bytes.",
        )
    result: Given = given
    return result


def _joined(groups: Sequence[Inputs]) -> Listed:
    pairs = [(group[i], group.name(i)) for group in groups for i in range(len(group))]
    return Listed(tuple(raw for raw, _ in pairs), tuple(name for _, name in pairs))


def _pictures(
    given: Given, number: int, columns: Columns, lost: dict[int, Lost] | None, told: Findings
) -> Inputs:
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
        for fact in findings.notes:
            told.note(fact)
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
        return _column(path, "image", columns, lost, told)
    if path.suffix and not looks_like_picture(path):
        raise DataError(
            f"this run takes pictures; {path} does not look like one",
            hint="Give picture files, folders of them, or a table with a column of their paths.",
        )
    return _one(os.fspath(path), os.fspath(path))


def _pairs(
    given: Given, number: int, columns: Columns, lost: dict[int, Lost] | None, told: Findings
) -> Inputs:
    if isinstance(given, tuple) and len(given) == 2:
        return _one((_utf8(given[0], number), _utf8(given[1], number)), f"pair {number}")
    if isinstance(given, (bytes, Image.Image)):
        raise _not_text(f"input {number}", "is a picture")
    if not isinstance(given, (tuple, Text)) and looks_like_table(given):
        return _texts(Path(given), number, columns, lost, told)
    raise DataError(
        f"this run takes pairs of texts; input {number} is none",
        hint="Give a table with both columns, or on standard input ('-') two texts a line with "
        "a tab between them.",
    )


def _texts(
    given: Given, number: int, columns: Columns, lost: dict[int, Lost] | None, told: Findings
) -> Inputs:
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
        return _column(path, "text", columns, lost, told)
    if path.suffix.lower() == ".txt":
        return _lines(path, told)
    raise _not_text(str(path), "is neither a table nor a .txt file")


_FILES = frozenset(
    [
        ".txt",
        ".text",
        ".md",
        ".rst",
        ".log",
        ".htm",
        ".html",
        ".xml",
        ".pdf",
        ".doc",
        ".docx",
        ".odt",
        ".rtf",
        ".xls",
        ".xlsx",
        ".ods",
        ".gz",
        ".bz2",
        ".xz",
        ".zip",
        ".zst",
        ".tar",
        ".tgz",
        ".arrow",
        ".feather",
        ".avro",
        ".orc",
        ".db",
        ".sqlite",
        ".npy",
        ".npz",
        ".pkl",
        ".yaml",
        ".yml",
    ]
)
"""What names of files end in that hold texts, and that no text of one word does."""


def names_file(text: str) -> bool:
    """Whether a text ends as the name of a file does: ``notes.txt``, ``my photo.jpg``."""
    known = looks_like_table(text) or looks_like_picture(text)
    return "\n" not in text and (known or os.path.splitext(text)[1].lower() in _FILES)


def _is_path(text: str) -> bool:
    """Whether a string is meant as a path: the name of a file, or a folder's path.

    A text of several words that ends like a file is one only where that file is there.
    """
    if any(char.isspace() for char in text.strip()):
        return names_file(text) and _exists(text)
    if names_file(text) or text.startswith(_PLACES):
        return True
    return (os.sep in text or bool(_SUFFIX.search(text))) and _exists(text)


_PLACES = tuple(start + os.sep for start in (".", "..", "~"))
_SUFFIX = re.compile(r"\.\w{1,8}$")


def _exists(text: str) -> bool:
    try:
        return os.path.exists(os.path.expanduser(text))
    except ValueError:  # a NUL
        return False


def lines_of(content: str) -> list[str]:
    """The lines of a text file as other programs count them: form feeds and the like end none."""
    ending = "\n" if "\n" in content else "\r"  # the latter alone is of old Macs
    lines = content.split(ending)
    if not lines[-1]:
        del lines[-1]
    return [line.removesuffix("\r") for line in lines]


def blank_lines(lines: Sequence[str], where: str, findings: Findings) -> None:
    """Note how many lines hold nothing; each has its answer, so that answers and lines align."""
    if blank := [i for i, line in enumerate(lines, 1) if not line.strip()]:
        findings.note(
            f"{where} has {len(blank):,} blank line{'s' * (len(blank) > 1)}, the first at "
            f"{blank[0]:,}; answered like the others, and meaning nothing"
        )


def _lines(path: Path, findings: Findings) -> Listed:
    try:
        with open_regular(path) as file:
            lines = lines_of(file.read().decode("utf-8-sig"))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read as UTF-8 text: {reason}") from error
    if not any(line.strip() for line in lines):
        return Listed((), ())
    blank_lines(lines, str(path), findings)
    return Listed(tuple(lines), tuple(f"{path} line {i}" for i in range(1, len(lines) + 1)))


def _column(
    path: Path, modality: Modality, columns: Columns, lost: dict[int, Lost] | None, told: Findings
) -> Inputs:
    findings = Findings("error" if lost is None else "skip")
    table = read_table(path, columns.quoting)
    part = read_part(table, modality, columns, findings, labelled=False)
    findings.settle()
    for fact in findings.notes:
        told.note(fact)
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
