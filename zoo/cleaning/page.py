"""The page to look through doubtful labels: one self-contained file."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from zoo.cleaning.results import REASONS, Cleaned, JudgedLabel, cell
from zoo.data.rows import Rows
from zoo.data.samples import Samples
from zoo.modalities import Modality, modality_named
from zoo.runs.report.numbers import visible
from zoo.system import files
from zoo.tasks.task import Task
from zoo.version import __version__

_SIDE = 320  # pixels of the longer side of a thumbnail
_PLAYED = 1_000_000  # bytes of a recording that is part of the page
_TEXT = 4_000  # characters of a text that are shown


@dataclass(frozen=True)
class PageSample:
    """A sample on the page.

    Attributes:
        number: From 1.
        judged: Its label.
        image: A thumbnail as a ``data:`` URI; may be empty.
        recording: A recording as a ``data:`` URI; may be empty.
        texts: Its texts, if it is not a file.
    """

    number: int
    judged: JudgedLabel
    image: str
    recording: str
    texts: tuple[str, ...]


def write_page(path: Path, result: Cleaned, rows: Rows, task: Task, top: int) -> None:
    """Write the page.

    Args:
        path: The file.
        result: The labels of all samples.
        rows: The samples.
        task: That of the labels.
        top: How many of the most doubtful labels to show, and how many other suspicious samples.

    Raises:
        OSError: It cannot be written.
    """
    first = next(iter(rows.splits.values()))
    modality = modality_named(first.kind.name)
    cards = list(_cards(shown_of(result.judged, top), rows, modality))
    identity = hashlib.sha256(
        "\n".join(f"{each.key} {each.split} {each.label}" for each in result.judged).encode(
            errors="backslashreplace"
        )
    ).hexdigest()
    data = {
        "identity": identity[:16],
        "column": result.column,
        "samples": [
            {
                "key": card.judged.key,
                "split": card.judged.split,
                "label": cell(card.judged.label),
                "suggested": cell(card.judged.suggested),
                "reasons": card.judged.reasons,
            }
            for card in cards
        ],
    }
    files.write_text(path, _render(result, cards, data, modality, task))


def shown_of(judged: Sequence[JudgedLabel], top: int) -> list[JudgedLabel]:
    """The ``top`` most doubtful labels, then as many other samples with a reason."""
    rest = [each for each in judged[top:] if each.reasons]
    return [*judged[:top], *rest[:top]]


def _render(
    result: Cleaned,
    cards: Sequence[PageSample],
    data: Mapping[str, Any],
    modality: Modality,
    task: Task,
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    own, shared = (resources(name) / "templates" for name in ("zoo.cleaning", "zoo.runs.report"))
    style = (shared / "report.css").read_text("utf-8") + (own / "clean.css").read_text("utf-8")
    script = (own / "clean.js").read_text("utf-8")
    environment = Environment(
        loader=PackageLoader("zoo.cleaning", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"seen": lambda text: visible(str(text)), "in_words": in_words}
    return environment.get_template("clean.html.j2").render(
        title=Path(result.output).name,
        version=__version__,
        result=result,
        cards=cards,
        data=data,
        nouns=modality.nouns,
        texts=not modality.in_files,
        several=task.several,
        classes=result.classes if task.has_classes else (),
        reasons=[reason for reason in REASONS if result.counts[reason]],
        style=style,
        script=script,
        style_hash=_digest(style),
        script_hash=_digest(script),
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def in_words(label: Any) -> str:
    """A label for a person: several separated by commas."""
    if isinstance(label, list):
        return ", ".join(in_words(each) for each in label) or "none"
    return f"{label:.6g}" if isinstance(label, float) else str(label)


# -- the samples -----------------------------------------------------------------------------------


def _cards(judged: Sequence[JudgedLabel], rows: Rows, modality: Modality) -> Iterator[PageSample]:
    for number, each in enumerate(judged, start=1):
        samples, index = _sample(rows, each.place)
        if modality.in_files:
            image, recording = _media(samples, index, modality)
            yield PageSample(number, each, image, recording, ())
        else:
            raw = samples.raw(index)
            texts = raw if isinstance(raw, tuple) else (raw,)
            yield PageSample(number, each, "", "", tuple(_shortened(str(text)) for text in texts))


def _sample(rows: Rows, place: int) -> tuple[Samples, int]:
    for samples in rows.splits.values():
        if place < len(samples):
            return samples, place
        place -= len(samples)
    raise IndexError(place)


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}…"


def _media(samples: Samples, index: int, modality: Modality) -> tuple[str, str]:
    """A thumbnail and a recording, as ``data:`` URIs, each empty if there is none."""
    raw = samples.raw(index)
    if isinstance(raw, str | Path):
        return _of_file(Path(raw), modality)
    ending, content = modality.example_file(raw)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{ending}"
        path.write_bytes(content)
        return _of_file(path, modality)


def _of_file(path: Path, modality: Modality) -> tuple[str, str]:
    thumbnail = modality.thumbnail(path, _SIDE)
    image = "" if thumbnail is None else _uri("image/jpeg", thumbnail)
    kind = mimetypes.guess_type(path.name)[0] or ""
    if not kind.startswith("audio/") or path.stat().st_size > _PLAYED:
        return image, ""
    return image, _uri(kind, path.read_bytes())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
