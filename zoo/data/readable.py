"""What of a split can be read: every input is looked at once, before any work is done on it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from zoo.data.examined import Examined
from zoo.data.kind import InputKind
from zoo.data.labels import Part
from zoo.data.reports import Findings


@dataclass(frozen=True)
class Readable:
    """What can be read of a split.

    Attributes:
        part: The split without the inputs that cannot be read.
        found: What the look at them has shown.
    """

    part: Part
    found: Examined

    @property
    def fingerprint(self) -> str:
        """One sha256 over the inputs, without their labels."""
        digest = hashlib.sha256()
        for own in self.found.digests:
            digest.update(own + b"\1")
        return digest.hexdigest()


def readable(part: Part, kind: InputKind, findings: Findings) -> Readable:
    """What can be read of a split.

    Args:
        part: A split.
        kind: What its inputs are.
        findings: Is told of what cannot be read.
    """
    found = kind.examine(part.inputs)
    for index, reason in found.reasons.items():
        findings.add(part.inputs.name(index), reason)
    if found.reasons:
        part, found = part.take(found.good), found.take(found.good)
    return Readable(part, found)
