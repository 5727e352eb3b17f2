"""Stages of Transformers' networks: the embeddings, each layer, and what follows the layers."""

from __future__ import annotations

from zoo import Backbone as Backbone  # first: readies torch for torchvision

# isort: split
from torch import nn
from transformers import PreTrainedModel

from zoo_transformers.families import family_of
from zoo_transformers.names import encoder_of, encoder_prefix

Stages = dict[str, list[str]]


def stages_of(net: PreTrainedModel, head: str) -> Stages:
    """Map stage names to paths, input first: ``embeddings``, ``layer.0``, …, then the rest by
    path.

    The layers are the list of modules with the most parameters inside the encoder. Modules before
    them, and those that :mod:`.families` lists as shared by all layers, are the embeddings. A
    network without such a list has a stage for each child module.

    Args:
        net: A classifier or an encoder from the library.
        head: Path of the head, which is not in any stage.
    """
    stages = _encoder_stages(net)
    prefix, above = encoder_prefix(net), head.rpartition(".")[0]
    for path, _ in net.named_parameters():
        if path.startswith((prefix, f"{head}.")):
            continue
        part = path.partition(".")[0]
        # A module that contains the head is one stage, dropout included, named after its layer.
        name = ".".join(path.split(".")[:2]) if part == above else part
        stages.setdefault(name, [part])
    return stages


def _encoder_stages(net: PreTrainedModel) -> Stages:
    prefix, encoder = encoder_prefix(net), encoder_of(net)
    layers, read_by_all = _layers(encoder), family_of(net.config.model_type).embedding_paths
    stages: Stages = {}
    after_layers = False
    for path, _ in encoder.named_parameters():
        if layers and path.startswith(f"{layers}."):
            after_layers = True
            index = path.removeprefix(f"{layers}.").partition(".")[0]
            stages.setdefault(f"layer.{index}", [f"{prefix}{layers}.{index}"])
            continue
        part = _part(path, layers)
        early = layers and (not after_layers or part in read_by_all)
        paths = stages.setdefault("embeddings" if early else part, [])
        if prefix + part not in paths:
            paths.append(prefix + part)
    return stages


def _layers(encoder: nn.Module) -> str:
    """Path of the list of layers; empty if the encoder has none."""
    sizes = {
        path: sum(p.numel() for p in module.parameters())
        for path, module in encoder.named_modules()
        if isinstance(module, nn.ModuleList)
    }
    return max(sizes, key=lambda path: sizes[path], default="")  # of equals the outermost


def _part(path: str, layers: str) -> str:
    """The module that contains ``path`` next to the layers, or at the top of the encoder."""
    steps, depth = path.split("."), 0
    for step, other in zip(steps, layers.split("."), strict=False):
        if step != other:
            break
        depth += 1
    return ".".join(steps[: depth + 1])
