"""Read every input of a split once and drop those that cannot be read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from zoo.data.examined import Examined, Keeps
from zoo.data.examined_cache import examine
from zoo.data.kind import InputKind
from zoo.data.labels import Part
from zoo.data.reports import Findings


@dataclass(frozen=True)
class Readable:
    """The readable part of a split.

    Attributes:
        part: The split without unreadable inputs.
        found: What reading the inputs has shown.
    """

    part: Part
    found: Examined

    @property
    def fingerprint(self) -> str:
        """A sha256 of the inputs, without labels."""
        digest = hashlib.sha256()
        for content in self.found.digests:
            digest.update(content + b"\1")
        return digest.hexdigest()


def readable(
    part: Part, kind: InputKind, findings: Findings, keep: Keeps | None = None
) -> Readable:
    """Read every input of a split once.

    Args:
        part: A split.
        kind: The modality of its inputs.
        findings: Collects unreadable inputs.
        keep: Takes what the inputs are decoded to.
    """
    found = examine(kind, part.inputs, keep)
    for index, reason in found.reasons.items():
        findings.add(part.inputs.name(index), reason)
    if found.reasons:
        part, found = part.take(found.good), found.take(found.good)
    return Readable(part, found)
