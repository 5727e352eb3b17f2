"""Attribution for texts: integrated gradients over token embeddings.

Computed here because importing captum, which imports Matplotlib, takes longer than a short run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.data.sequences import Pair
from zoo.modalities.attribution import (
    Attributed,
    Attribution,
    NotAttributed,
    Piece,
    Question,
    without_parameter_gradients,
)
from zoo.modalities.text.contents import texts_of
from zoo.modalities.text.tokenization import TextEncoder
from zoo.system.tensors.hooks import hooked

_WORK = 6e10
"""Budget in floating-point operations for all texts together, about two seconds of one core; at least
one integration step is made."""

_MOST_STEPS = 24
_LONGEST = 1200  # characters of a text as it is shown


def attribute(question: Question) -> Attributed:
    """The texts with word weights, or plain if the network does not support attribution."""
    samples = question.samples
    try:
        backbone = question.network().to(question.device).eval()
        encoder = TextEncoder(question.tokenizer, question.spec.text_input)
        raw = [samples.raw(i) for i in range(len(samples))]
        texts = [given if isinstance(given, tuple) else str(given) for given in raw]
        found = integrated_gradients(backbone, encoder, texts, question.outputs, question.device)
    except NotAttributed as error:
        plain = tuple(plainly(texts_of(samples.raw(i))) for i in range(len(samples)))
        return Attributed(plain, absent=str(error))
    shown = tuple(
        Attribution(texts=tuple(_shortened(given) for given in pieces), words=_heaviest(pieces))
        for pieces in found.pieces
    )
    steps = "1 step" if found.steps == 1 else f"{found.steps} steps"
    return Attributed(shown, f"integrated gradients over the token embeddings, {steps}")


def plainly(texts: Sequence[str]) -> Attribution:
    """A text or text pair without weights."""
    return Attribution(texts=tuple((Piece(_cut(text), 0.0),) for text in texts))


def _heaviest(texts: Sequence[Sequence[Piece]]) -> tuple[str, ...]:
    """The three words with the most evidence for the output."""
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


@dataclass(frozen=True)
class WordWeights:
    """Word weights of texts.

    Attributes:
        pieces: The text or texts of each input, in pieces that join to the whole text.
        steps: Integration steps.
    """

    pieces: list[list[list[Piece]]]
    steps: int


def integrated_gradients(
    backbone: Backbone,
    encoder: TextEncoder,
    texts: Sequence[str | Pair],
    outputs: Sequence[int],
    device: torch.device,
) -> WordWeights:
    """Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365) over the token embeddings.

    The baseline is padding, except for special tokens. Weights of a word's tokens are summed.

    Args:
        backbone: In evaluation mode, on ``device``.
        encoder: Its tokenizer, with the limits that the run has.
        texts: The inputs.
        outputs: The output to attribute, for each input.
        device: The device to compute on.

    Raises:
        NotAttributed: The network has no token embedding.
    """
    layer = backbone.token_embedding()
    if layer is None:
        raise NotAttributed("the token embedding of this network is not known")
    encodings = [encoder.tokenizer.encode(*_both(text)) for text in texts]
    steps = _steps(backbone, layer, sum(len(e.ids) for e in encodings))
    pieces = []
    # cuDNN's recurrent layers have no gradient in evaluation mode.
    with (
        torch.enable_grad(),
        without_parameter_gradients(backbone),
        torch.backends.cudnn.flags(enabled=False),
    ):
        for text, encoding, output in zip(texts, encodings, outputs, strict=True):
            weights = _token_weights(backbone, layer, encoder, encoding, output, steps, device)
            pieces.append(_pieces(text, encoding, weights))
    return WordWeights(pieces, steps)


def _both(text: str | Pair) -> Pair | tuple[str]:
    return text if isinstance(text, tuple) else (text,)


def _steps(backbone: Backbone, layer: nn.Module, tokens: int) -> int:
    """As many as the budget allows: a step costs about 6 operations per parameter and token."""
    table = sum(p.numel() for p in layer.parameters())
    parameters = sum(p.numel() for p in backbone.parameters()) - table
    return max(1, min(_MOST_STEPS, int(_WORK / (6 * max(1, parameters) * max(1, tokens)))))


def _token_weights(
    backbone: Backbone,
    layer: nn.Module,
    encoder: TextEncoder,
    encoding: Any,
    output: int,
    steps: int,
    device: torch.device,
) -> NDArray[np.float64]:
    """The weight of each token for ``output``: ``(T,)``."""
    if not encoding.ids:
        return np.zeros(0)
    types = [encoding.type_ids] if any(encoding.type_ids) else None
    batch = {key: t.to(device) for key, t in encoder.collate([encoding.ids], types).items()}
    special = torch.tensor([encoding.special_tokens_mask], device=device).bool()
    ids = batch["input_ids"]  # (1, T)
    nothing = torch.where(special, ids, encoder.input.pad_id)
    found = _embedded(backbone, layer, batch)  # (1, T, width)
    baseline = _embedded(backbone, layer, {**batch, "input_ids": nothing})
    points, shares = np.polynomial.legendre.leggauss(steps)  # in [-1, 1]; the shares sum to 2
    total = torch.zeros_like(found)
    for point, share in zip((points + 1) / 2, shares / 2, strict=True):
        leaf = (baseline + float(point) * (found - baseline)).requires_grad_()
        total += float(share) * _gradient(backbone, layer, batch, leaf, output)
    weights = (total * (found - baseline)).sum(dim=-1)[0]
    return np.asarray(weights.double().cpu().numpy())


def _embedded(backbone: Backbone, layer: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """What ``layer`` returns for ``batch``."""
    outputs: list[Tensor] = []

    def keep(_: nn.Module, output: Tensor) -> None:
        outputs.append(output)

    with torch.no_grad(), hooked([layer], after=keep):
        backbone(batch)
    return outputs[0]


def _gradient(
    backbone: Backbone, layer: nn.Module, batch: Mapping[str, Tensor], leaf: Tensor, output: int
) -> Tensor:
    """The gradient of an output with respect to ``leaf``, in place of what ``layer`` returns."""
    with hooked([layer], after=lambda _, __: leaf):
        logits = backbone(batch)  # (1, outputs)
    return torch.autograd.grad(logits[0, output], leaf)[0]


def _pieces(text: str | Pair, encoding: Any, weights: NDArray[np.float64]) -> list[list[Piece]]:
    """Each text in words with weights, scaled so that the largest is 1 or -1."""
    words: dict[tuple[int, int], list[float]] = {}  # text and word, to start, end, weight
    for place, weight in enumerate(weights):
        which, word = encoding.sequence_ids[place], encoding.word_ids[place]
        if which is None or word is None:
            continue
        start, end = encoding.offsets[place]
        kept = words.setdefault((which, word), [start, end, 0.0])
        kept[:] = [min(kept[0], start), max(kept[1], end), kept[2] + float(weight)]
    heaviest = max((abs(word[2]) for word in words.values()), default=0.0) or 1.0
    return [
        _filled(part, [word for (which, _), word in words.items() if which == number], heaviest)
        for number, part in enumerate(_both(text))
    ]


def _filled(text: str, words: Sequence[list[float]], heaviest: float) -> list[Piece]:
    """The words and the text between them, in order."""
    pieces, done = [], 0
    for start, end, weight in sorted(words):
        first, last = max(done, int(start)), int(end)
        if first > done:
            pieces.append(Piece(text[done:first], 0.0))
        if last > first:
            pieces.append(Piece(text[first:last], weight / heaviest))
        done = max(done, last)
    return [*pieces, Piece(text[done:], 0.0)] if done < len(text) else pieces
