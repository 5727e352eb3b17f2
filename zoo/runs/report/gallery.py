"""The samples that are worth a look, with where the network looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from zoo.contract.backbone import Backbone
from zoo.data.samples import Samples
from zoo.engine.forward import Forward
from zoo.modalities.image.transforms import Normalise
from zoo.modalities.text.tokenization import TextEncoder
from zoo.runs.report.looking import Piece, Unseen, look_at_pictures, look_at_texts
from zoo.runs.report.pictures import overlay_uri, picture_uri, whereabouts
from zoo.runs.report.subject import Subject
from zoo.system.library_output import quiet
from zoo.tasks.cases import Case
from zoo.tasks.predictions import Shown

_LONGEST = 1200  # characters of a text in the page


@dataclass(frozen=True)
class Card:
    """A sample in the page.

    Attributes:
        case: What is wrong with it.
        name: Its path, or what stands for it; empty where ``texts`` say it.
        picture: As a ``data:`` address; empty where there is none.
        overlay: The same under what the network looked at.
        place: Where that is, in words.
        texts: In pieces with weights.
        words: Those that spoke most for what was said.
    """

    case: Case
    name: str
    picture: str = ""
    overlay: str = ""
    place: str = ""
    texts: tuple[tuple[Piece, ...], ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """The samples that are worth a look.

    Attributes:
        cards: The worst first.
        method: How it was asked where the network looked; empty where it could not be.
        unseen: Why not.
        wrong: Whether the samples are mistakes; else those that the run was least sure of.
    """

    cards: tuple[Card, ...]
    method: str
    unseen: str
    wrong: bool


def gallery(subject: Subject) -> Gallery:
    """The cards; whatever keeps the network from being asked is said in ``unseen``."""
    judged = subject.judged
    chosen = (
        subject.task.cases(judged.outputs, judged.labels, subject.classes)
        if judged.outputs.size
        else []
    )
    cards = [_plain_card(case, judged.inputs[case.index]) for case in chosen]
    method, unseen = "", ""
    if chosen:
        try:
            with quiet():  # captum and Matplotlib
                cards, method, unseen = _with_looks(subject, cards)
        except Exception as error:  # a plugin's network may do anything; the page is due even so
            unseen = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return Gallery(tuple(cards), method, unseen, any(case.wrong for case in chosen))


def _plain_card(case: Case, shown: Shown) -> Card:
    if isinstance(shown, tuple):
        return Card(case, "", texts=tuple((Piece(_cut(text), 0.0),) for text in shown))
    return Card(case, shown)


def _with_looks(subject: Subject, cards: list[Card]) -> tuple[list[Card], str, str]:
    """The cards with pictures or weighed words, the method, and why there is none."""
    texts = subject.feed.spec.modality == "text"
    if texts:
        cards = [card if card.texts else _as_text(card) for card in cards]
    if subject.samples is None:
        return cards, "", subject.absent
    samples = subject.samples.select([card.case.index for card in cards])
    if not texts:
        return _pictures(subject, samples, cards)
    try:
        backbone = subject.network().to(subject.device).eval()
        return *_read(subject, backbone, samples, cards), ""
    except (Unseen, ImportError) as error:
        return cards, "", str(error)


def _as_text(card: Card) -> Card:
    return replace(card, name="", texts=((Piece(_cut(card.name), 0.0),),))


def _pictures(
    subject: Subject, samples: Samples, cards: Sequence[Card]
) -> tuple[list[Card], str, str]:
    loader = replace(subject.feed, workers=0).plain(samples)
    batch = loader.batch([(0, i) for i in range(len(samples))])
    shown = batch["pixel_values"]
    if shown.dtype != torch.uint8:
        shown = Normalise(subject.feed.spec.image_input).inverse(shown)
    pixels = shown.permute(0, 2, 3, 1).numpy()  # (B, size, size, 3) of bytes
    cards = [
        replace(card, picture=picture_uri(own)) for card, own in zip(cards, pixels, strict=True)
    ]
    try:
        forward = Forward(subject.network().eval(), device=subject.device, precision="fp32")
        placed = forward.place({"pixel_values": batch["pixel_values"]})["pixel_values"]
        heat = look_at_pictures(
            forward.backbone,
            placed,
            [c.case.output for c in cards],
            [c.case.against for c in cards],
        )
    except Exception as error:  # as in gallery(); the pictures are there, and stay
        return list(cards), "", str(error).split("\n")[0] or type(error).__name__
    cards = [
        replace(card, overlay=overlay_uri(own, heat_map), place=whereabouts(heat_map))
        for card, own, heat_map in zip(cards, pixels, heat.maps, strict=True)
    ]
    method = f"Grad-CAM at {heat.layer}, which tells {heat.grid} × {heat.grid} places apart"
    return cards, method, ""


def _read(
    subject: Subject, backbone: Backbone, samples: Samples, cards: Sequence[Card]
) -> tuple[list[Card], str]:
    encoder = TextEncoder(subject.feed.tokenizer, subject.feed.spec.text_input)  # type: ignore[arg-type]
    raw = [samples.raw(i) for i in range(len(samples))]
    texts = [own if isinstance(own, tuple) else str(own) for own in raw]
    outputs = [card.case.output for card in cards]
    found = look_at_texts(backbone, encoder, texts, outputs, subject.device)
    cards = [
        replace(card, texts=tuple(_shortened(own) for own in pieces), words=_heaviest(pieces))
        for card, pieces in zip(cards, found.pieces, strict=True)
    ]
    steps = "1 step" if found.steps == 1 else f"{found.steps} steps"
    return cards, f"Integrated gradients over the token embeddings, in {steps}"


def _heaviest(texts: Sequence[Sequence[Piece]]) -> tuple[str, ...]:
    """The three words that spoke most for the output, those that speak against it left out."""
    pieces = sorted((p for text in texts for p in text if p.weight > 0.05), key=lambda p: -p.weight)
    return tuple(dict.fromkeys(piece.text.strip() for piece in pieces))[:3]


def _shortened(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    ends = np.cumsum([len(piece.text) for piece in pieces])
    kept = [piece for piece, end in zip(pieces, ends, strict=True) if end <= _LONGEST]
    rest = "".join(piece.text for piece in pieces[len(kept) :])
    room = _LONGEST - sum(len(piece.text) for piece in kept)
    return (*kept, Piece(f"{rest[:room]} …", 0.0)) if rest else tuple(kept)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
