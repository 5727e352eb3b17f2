"""What of some inputs the network did not get to see, once a loader has read them."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.contract.spec import ImageInput, TextInput
from zoo.data.loader import Loader
from zoo.modalities.image.not_seen import Reading
from zoo.modalities.text.tokenization import END, cut_in_words


@dataclass(frozen=True)
class NotSeen:
    """What of N inputs was not read.

    Attributes:
        names: Of each, by name; see :meth:`zoo.modalities.image.not_seen.Reading.unread`, and :data:`END` of texts.
        facts: The same over all, in words.
    """

    names: tuple[tuple[str, ...], ...]
    facts: tuple[str, ...]


def not_seen(loader: Loader, given: ImageInput | TextInput, *, trained: bool = False) -> NotSeen:
    """What a loader has not read of its samples, after a whole pass.

    Args:
        loader: Of images that it watches, or of texts.
        given: What the network takes.
        trained: Whether a run was trained so, which nothing but another fine-tune changes.
    """
    if isinstance(given, TextInput):
        cut = loader.feed.cut
        words = cut_in_words(int(cut.sum()), len(cut), given, trained=trained)
        return NotSeen(tuple((END,) if own else () for own in cut), (words,) if words else ())
    reading, traits = loader.feed.reading or Reading(given, trained=trained), loader.traits
    return NotSeen(reading.names(traits), tuple(reading.in_words(traits).values()))
