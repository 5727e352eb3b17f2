"""An adapter run as PEFT's own adapter folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from zoo.contract.network.backbone import Backbone
from zoo.errors import RunError
from zoo.export.calibrated_head import divide_logits
from zoo.export.capture import quiet
from zoo.export.formats import Runner
from zoo.export.portable import last_part
from zoo.modalities.exporting import ExportInputs, TensorBatch
from zoo.registry.adapter_record import AdapterBase, adapter_of
from zoo.runs.run import Run
from zoo.system.tensors.files import write_tensors
from zoo.weights.loading.peft_folder import PREFIX, TENSORS

HEAD = "head.safetensors"

_BASES: dict[Path, AdapterBase] = {}
"""Bases of the folders that have been written and are about to be checked."""


def write_peft(run: Run, _: Backbone, __: ExportInputs, folder: Path) -> None:
    """Write ``adapter_config.json``, ``adapter_model.safetensors`` and ``head.safetensors``.

    Raises:
        RunError: The run holds no adapter of PEFT, or something besides.
    """
    from peft import get_peft_model_state_dict

    saved = adapter_of(run.record)
    backbone = run.load()
    divide_logits(backbone, run.temperature)
    config: Any = getattr(backbone.net, "peft_config", {}).get("default")
    names = load_file(run.folder / "adapter.safetensors").keys() if saved else ()
    changed = [name for name in names if name.startswith("base.")]
    if saved is None or config is None or changed or not isinstance(backbone.head, nn.Linear):
        raise RunError(
            f"{run.folder} cannot be exported as an adapter of PEFT: {_why(saved, config, changed)}",
            hint="Use an adapter run of --strategy lora, dora, ia3, loha or lokr, with a linear head.",
        )
    hub = str((run.record["weights"] or {}).get("uri", ""))
    base = hub.removeprefix("hf:") if hub.startswith("hf:") else saved.base.backbone
    config.base_model_name_or_path = last_part(base)  # local folders do not exist on other machines
    config.inference_mode = True
    config.save_pretrained(folder)
    state = get_peft_model_state_dict(
        backbone.net, adapter_name="default", save_embedding_layers=False
    )
    write_tensors(folder / TENSORS, {f"{PREFIX}{k}": t for k, t in state.items()}, {"format": "pt"})
    write_tensors(folder / HEAD, backbone.head.state_dict(), {"format": "pt"})
    _BASES[folder] = saved.base


def _why(saved: object, config: object, changed: list[str]) -> str:
    if saved is None:
        return "it holds a whole network"
    if config is None:
        return "its adapter is not of PEFT's layers"
    if changed:
        return f"it holds {len(changed)} changed tensors of the base as well"
    return "its head is not linear"


def run_peft(folder: Path) -> Runner:
    """Load the base with zoo, and the adapter with PEFT."""
    from peft import PeftModel

    from zoo.registry.registry import Registry
    from zoo.weights.loading.build import build
    from zoo.weights.loading.load import choose

    base = _BASES.pop(folder)
    spec = Registry.discover().resolve(base.backbone).spec
    backbone = build(spec, choose(spec, base.file or base.weights))
    head = load_file(folder / HEAD)
    backbone.replace_head(nn.Linear(spec.feature_dim, len(head["weight"]), bias="bias" in head))
    backbone.head.load_state_dict(head)
    with quiet():
        PeftModel.from_pretrained(backbone.net, folder)
    backbone.eval()

    def logits(batch: TensorBatch) -> torch.Tensor:
        outputs: torch.Tensor = backbone(batch)
        return outputs

    return logits
