"""A bidirectional LSTM over an embedding, averaged over the tokens."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from zoo import Backbone, BackboneSpec, Batch, Native

EMBEDDING_STD = 0.1
"""Standard deviation of the initial embeddings, about that of trained ones. With N(0, 1) a few
thousand sentences are too few to train the table (accuracy on SST-2's ``dev`` 0.76 instead of
0.79)."""


class TextLstm(nn.Module):
    """An embedding, an LSTM in each direction, and the average over the tokens.

    The second LSTM reads each text reversed within its own length, so that neither sees the
    padding. Packed sequences give the same result, but take three times as long on a CPU and need
    the lengths on the host on a GPU.

    Args:
        vocab_size: Rows of the embedding.
        pad_id: The row that stays zero.
        embedding: Width of the embedding.
        features: Width of the features, half of it from each direction.
        dropout: Dropout rate of the embeddings and of the features.
    """

    def __init__(
        self, *, vocab_size: int, pad_id: int, embedding: int, features: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding, padding_idx=pad_id)
        self.embedding_dropout = nn.Dropout(dropout)
        self.lstm_forward = nn.LSTM(embedding, features // 2, batch_first=True)
        self.lstm_backward = nn.LSTM(embedding, features // 2, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
            self.embedding.weight[pad_id] = 0.0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """From ids and mask ``(B, T)``, padded on the right, to ``(B, features)``."""
        vectors = self.embedding_dropout(self.embedding(input_ids))  # (B, T, embedding)
        mirror = _mirror(attention_mask)  # (B, T)
        with _precision_that_runs(vectors.device):
            ahead, _ = self.lstm_forward(vectors)  # (B, T, features / 2)
            back, _ = self.lstm_backward(_reorder(vectors, mirror))
        states = torch.cat([ahead, _reorder(back, mirror)], dim=-1)  # (B, T, features)
        mask = attention_mask.unsqueeze(-1).float()  # (B, T, 1)
        total = (states.float() * mask).sum(dim=1)
        mean = (total / mask.sum(dim=1).clamp(min=1)).to(states.dtype)
        features: Tensor = self.dropout(mean)  # (B, features)
        return features


def _precision_that_runs(device: torch.device) -> AbstractContextManager[None]:
    """Use float32 where autocast would run an LSTM that the processor does not support.

    oneDNN emulates convolutions and linear layers, but raises for the LSTM.
    """
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return nullcontext()
    if torch.get_autocast_dtype("cpu") == torch.bfloat16 and runs_bfloat16_lstm():
        return nullcontext()
    return torch.autocast("cpu", enabled=False)


def runs_bfloat16_lstm() -> bool:
    """Whether oneDNN has a bfloat16 LSTM for this processor, which needs AVX-512."""
    return bool(torch.cpu.get_capabilities().get("avx512_bw"))


def _mirror(attention_mask: Tensor) -> Tensor:
    """Index of each token in the reversed text; padding keeps its place. ``(B, T)``"""
    lengths = attention_mask.sum(dim=1, keepdim=True)  # (B, 1)
    places = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    return torch.where(places < lengths, lengths - 1 - places, places)


def _reorder(vectors: Tensor, places: Tensor) -> Tensor:
    """Reorder the vectors ``(B, T, D)`` of each row by ``places`` ``(B, T)``."""
    return vectors.gather(1, places.unsqueeze(-1).expand_as(vectors))


def text_features(net: nn.Module, batch: Batch) -> Tensor:
    """Call the network on ids and mask: ``(B, feature_dim)``."""
    features: Tensor = net(batch["input_ids"], batch["attention_mask"])
    return features


def load(spec: BackboneSpec) -> Backbone:
    """Build the LSTM with random weights.

    Args:
        spec: Its ``vocab_size`` and ``pad_id`` are those of the tokenizer trained on the data.
    """
    net = TextLstm(
        vocab_size=spec.text_input.vocab_size,
        pad_id=spec.text_input.pad_id,
        embedding=spec.config["embedding"],
        features=spec.feature_dim,
        dropout=spec.config["dropout"],
    )
    stages = {"embedding": ["embedding"], "lstm": ["lstm_forward", "lstm_backward"]}
    return Backbone.wrap(
        net,
        spec=spec,
        head="head",
        stages=stages,
        extract=text_features,
        native=Native(code=_native_code),
    )


_NATIVE_CODE = """\
from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

EMBEDDING_STD = {std}


{source}

def load(folder):
    network = TextLstm(
        vocab_size={vocab_size},
        pad_id={pad_id},
        embedding={embedding},
        features={features},
        dropout={dropout},
    )
    network.head = nn.Linear({features}, {outputs})
    network.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return network.eval()


def logits(network, batch):
    return network.head(network(batch["input_ids"], batch["attention_mask"]))  # (B, {outputs})
"""


def _native_code(backbone: Backbone) -> str:
    """Source code of the class and of what it calls, since no other library provides it."""
    parts = (TextLstm, _precision_that_runs, runs_bfloat16_lstm, _mirror, _reorder)
    text, config = backbone.spec.text_input, backbone.spec.config
    source = "\n\n".join(inspect.getsource(part) for part in parts)
    return _NATIVE_CODE.format(
        std=EMBEDDING_STD,
        source=source,
        vocab_size=text.vocab_size,
        pad_id=text.pad_id,
        embedding=int(config["embedding"]),
        features=backbone.spec.feature_dim,
        dropout=float(config["dropout"]),
        outputs=backbone.head.out_features,
    )
