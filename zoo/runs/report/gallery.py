"""The worst mistakes, with attributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zoo.data.samples import Samples
from zoo.errors import first_line
from zoo.modalities import modality_of
from zoo.modalities.attribution import Attributed, Attribution, Question
from zoo.runs.report.subject import Subject
from zoo.system.library_output import quiet
from zoo.tasks.cases import Case


@dataclass(frozen=True)
class Card:
    """A sample in the report.

    Attributes:
        case: Its label and prediction.
        shown: The sample as displayed, with its attribution.
    """

    case: Case
    shown: Attribution


@dataclass(frozen=True)
class Gallery:
    """The samples shown.

    Attributes:
        cards: The worst first.
        method: The attribution method; empty if there are no attributions.
        absent: Why there are none.
        wrong: Whether the samples are mistakes; else the least confident ones.
    """

    cards: tuple[Card, ...]
    method: str
    absent: str
    wrong: bool


def gallery(subject: Subject) -> Gallery:
    """Make the cards; ``absent`` says why there are no attributions."""
    evaluated = subject.evaluated
    chosen = (
        subject.task.cases(evaluated.outputs, evaluated.labels, subject.classes)
        if evaluated.outputs.size
        else []
    )
    modality = modality_of(subject.loaders.spec)
    plain = tuple(modality.plainly(evaluated.inputs[case.index]) for case in chosen)
    found = Attributed(plain, absent=subject.absent if chosen else "")
    if chosen and subject.samples is not None:
        try:
            with quiet():  # what libraries say of gradients
                found = modality.attribute(_question(subject, subject.samples, chosen))
        except Exception as error:  # a plugin's network may do anything; the page is due even so
            found = Attributed(plain, absent=first_line(error, kind=True))
    cards = tuple(Card(case, shown) for case, shown in zip(chosen, found.shown, strict=True))
    return Gallery(cards, found.method, found.absent, any(case.wrong for case in chosen))


def _question(subject: Subject, samples: Samples, chosen: Sequence[Case]) -> Question:
    """The attribution request for the samples of the cards."""
    samples = samples.select([case.index for case in chosen])
    return Question(
        spec=subject.loaders.spec,
        network=subject.network,
        samples=samples,
        loader=replace(subject.loaders, workers=0).plain(samples),
        tokenizer=subject.loaders.tokenizer,
        outputs=[case.output for case in chosen],
        against=[case.against for case in chosen],
        device=subject.device,
    )
