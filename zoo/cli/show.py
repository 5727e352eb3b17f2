"""``zoo show``: facts about one backbone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import completion
from zoo.cli.entries import input_size
from zoo.cli.output import emit_json, json_option, note, say
from zoo.cli.tables import print_facts, print_table
from zoo.errors import ZooError, first_line
from zoo.registry.run_record import lineage

if TYPE_CHECKING:
    from torch import nn

    from zoo.contract.network.backbone import Backbone
    from zoo.contract.spec import BackboneSpec, Weights
    from zoo.registry.run_record import FinishedRun


@click.command(
    epilog="""\b
Examples:
  zoo show vgg16
  zoo show resnet18 --layers
  zoo show resnet18 --layers --freeze-until layer2
  zoo show timm/resnet18.a1_in1k --json
  zoo show path:my-saved-bert
  zoo show my-animals
"""
)
@click.argument("name", shell_complete=completion.names)
@click.option(
    "--layers", is_flag=True, help="Show the module tree, with shapes and trainable layers."
)
@click.option(
    "--freeze-until",
    metavar="STAGE",
    shell_complete=completion.stages,
    help="Show what is trainable with the stages up to this one frozen.",
)
@json_option("Print a JSON object.")
def command(name: str, layers: bool, freeze_until: str | None, as_json: bool) -> None:
    """Show facts, weights, stages and head of a backbone.

    The network is built without weights and, if its library allows it, without allocating memory
    for them. For a run registered with 'zoo add', also shows what it was trained on and what it
    started from.
    """
    from zoo.registry.registry import Registry

    resolved = Registry.discover().resolve(name)
    spec, run = resolved.spec, resolved.run
    if run is not None:
        run.check_weights()
    backbone, reason = _build(spec, run)
    if backbone is not None and not (spec.feature_dim and spec.params):
        measured = backbone.spec
        spec = replace(spec, feature_dim=measured.feature_dim, params=measured.params)
    if not as_json:
        _print_facts(spec, run)
        _print_weights(spec.weights, requested=resolved.tag)
    if backbone is not None:
        _remember_parts(backbone, (name, run.name if run else spec.name))
    if backbone is not None and freeze_until is not None:
        backbone.freeze(upto=freeze_until)
    if as_json:
        emit_json({**_document(spec, backbone, reason, layers=layers), **_run_facts(run)})
    elif backbone is None:
        note(f"\nstages and head are not shown: the network cannot be built: {reason}")
    else:
        _print_stages(backbone)
        if layers:
            say("\nlayers")
            columns = ("module", "kind", "parameters", "trainable")
            print_table(columns, [_layer_cells(layer) for layer in _layers(backbone)])


def _build(spec: BackboneSpec, run: FinishedRun | None) -> tuple[Backbone | None, str]:
    """The backbone, on the meta device if possible; or ``None`` and the reason."""
    from zoo.system.tensors.meta import without_values

    try:
        with without_values():
            return _without_weights(spec, run), ""
    except Exception:  # a library may need real tensors; build with those below
        pass
    try:
        return _without_weights(spec, run), ""
    except Exception as error:  # show the facts without it
        return None, first_line(error, kind=not isinstance(error, ZooError))


def _remember_parts(backbone: Backbone, names: Iterable[str]) -> None:
    """Remember the stages and layers, for completion of --freeze-until and --freeze."""
    paths = [path for path, _ in backbone.net.named_modules() if path != backbone.head_path]
    completion.keep_parts(names, [stage.name for stage in backbone.stages()], paths)


def _without_weights(spec: BackboneSpec, run: FinishedRun | None) -> Backbone:
    """The network without its weights; for a run, with the run's kind of head."""
    import zoo

    backbone = zoo.build(spec, None)
    if run is not None:
        from zoo.engine.heads import find_head, make_head

        head = make_head(
            find_head(run.record["head"]),
            spec.feature_dim,
            len(run.classes),
            bias=backbone.head_bias,
        )
        backbone.replace_head(head)
    return backbone


def _print_facts(spec: BackboneSpec, run: FinishedRun | None) -> None:
    row = spec.to_json()
    shown = {
        "name": spec.name,
        "modality": spec.modality,
        "params": f"{spec.params:,}",
        "feature_dim": spec.feature_dim,
        "input": input_size(row) + _input_details(row["input"]),
        **{f"--input {name}": description for name, description in spec.input.options.items()},
        "license": spec.license,
        "paper": spec.paper,
        "tags": ", ".join(spec.tags),
        "loader": spec.loader,
    }
    if run is not None:
        shown |= {
            "name": run.name,
            "backbone": spec.name,
            "run": run.folder,
            "trained on": run.data,
            "outputs": ", ".join(run.classes),
            "started from": lineage(run.record),
        }
    print_facts(shown)


def _run_facts(run: FinishedRun | None) -> dict[str, Any]:
    if run is None:
        return {"run": None}
    return {
        "alias": run.name,
        "run": str(run.folder),
        "classes": list(run.classes),
        "data": run.data,
        "origin": run.record["origin"],
    }


def _input_details(given: Mapping[str, Any]) -> str:
    hidden = {"size", "max_length"}
    shown = {key: value for key, value in given.items() if key not in hidden and value != []}
    facts = [f"{key} {_short(value)}" for key, value in shown.items()]
    return f" ({', '.join(facts)})"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(f"{number:g}" for number in value)
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _print_weights(offered: tuple[Weights, ...], *, requested: str | None) -> None:
    if not offered:
        say("\nweights\nnone published: training starts from scratch")
        return
    from zoo.weights.local_weights import LocalWeights

    local_weights = LocalWeights()
    say("\nweights")
    print_table(
        ("tag", "", "license", "metrics", "outputs", "cached", "source"),
        [
            (
                weights.tag,
                "requested" if weights.tag == requested else "default" if weights.default else "",
                weights.license,
                ", ".join(f"{name} {metric:g}" for name, metric in weights.metrics.items()),
                weights.classes or "",
                "yes" if local_weights.find(weights.uri) else "no",
                weights.uri,
            )
            for weights in offered
        ],
        less=("outputs", "source", "license"),
    )


def _print_stages(backbone: Backbone) -> None:
    say("\nstages, input first")
    print_table(
        ("stage", "parameters", "trainable"),
        [
            (s["name"], f"{s['params']:,}", "yes" if s["trains"] else "no")
            for s in _stages(backbone)
        ],
    )
    head = _head(backbone)
    outputs = f" -> {head['outputs']}" if head["outputs"] else " (no published head)"
    say(f"\nhead\n{head['path']}: {head['kind']}, {head['feature_dim']}{outputs}")


def _document(
    spec: BackboneSpec, backbone: Backbone | None, reason: str, *, layers: bool
) -> dict[str, Any]:
    from zoo.weights.local_weights import LocalWeights

    local_weights = LocalWeights()
    document = spec.to_json()
    for row in document["weights"]:
        row["cached"] = local_weights.find(row["uri"]) is not None
    document["stages"] = None if backbone is None else _stages(backbone)
    document["head"] = None if backbone is None else _head(backbone)
    if backbone is None:
        document["build_error"] = reason
    elif layers:
        document["layers"] = list(_layers(backbone))
    return document


def _stages(backbone: Backbone) -> list[dict[str, Any]]:
    return [
        {
            "name": stage.name,
            "params": sum(p.numel() for p in backbone.stage_parameters(stage.name).values()),
            "trains": any(p.requires_grad for p in backbone.stage_parameters(stage.name).values()),
        }
        for stage in backbone.stages()
    ]


def _head(backbone: Backbone) -> dict[str, Any]:
    return {
        "path": backbone.head_path,
        "kind": type(backbone.head).__name__,
        "feature_dim": backbone.spec.feature_dim,
        "outputs": _outputs(backbone.head, backbone.spec.feature_dim),
        "params": sum(p.numel() for p in backbone.head.parameters()),
    }


def _outputs(head: nn.Module, width: int) -> int | None:
    """Number of outputs of the published head; ``None`` without a head."""
    import torch

    parameter = next(head.parameters(), None)
    if parameter is None:
        return None
    probe = torch.zeros(1, width, device=parameter.device, dtype=parameter.dtype)
    with torch.no_grad():
        return int(head.eval()(probe).shape[-1])


def _layers(backbone: Backbone) -> Iterator[dict[str, Any]]:
    """Each module by its native path, input first and the head last, with its own parameters."""
    for path, module in backbone.net.named_modules():
        if path != backbone.head_path:  # an identity: the head is separate
            yield _layer(path, module)
    for path, module in backbone.head.named_modules(prefix=backbone.head_path):
        yield _layer(path, module)


def _layer(path: str, module: nn.Module) -> dict[str, Any]:
    parameters = dict(module.named_parameters(recurse=False))
    return {
        "path": path,
        "kind": type(module).__name__,
        "parameters": {name: list(parameter.shape) for name, parameter in parameters.items()},
        "trains": [name for name, parameter in parameters.items() if parameter.requires_grad],
    }


def _layer_cells(layer: Mapping[str, Any]) -> tuple[str, str, str, str]:
    path, trainable = layer["path"], layer["trains"]
    shapes = [f"{n} {'x'.join(map(str, shape))}" for n, shape in layer["parameters"].items()]
    shown = "yes" if len(trainable) == len(shapes) else ", ".join(trainable) or "no"
    indent = "  " * (path.count(".") + bool(path))
    name = path.rpartition(".")[2] or "network"
    return indent + name, layer["kind"], ", ".join(shapes), shown if shapes else ""
