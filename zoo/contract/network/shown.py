"""Display a backbone in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from zoo.contract.spec import BackboneSpec
from zoo.system.html import html_facts, html_table


def html_of(
    spec: BackboneSpec, head: nn.Module, stages: Mapping[str, Iterable[nn.Parameter]]
) -> str:
    """Return an HTML table with the facts about a backbone and a row per stage.

    Args:
        spec: Its spec.
        head: Its head.
        stages: The parameters of each stage, input first.
    """
    rows, total = [], sum(p.numel() for p in head.parameters())
    for name, parameters in stages.items():
        listed = list(parameters)
        frozen, count = sum(not p.requires_grad for p in listed), sum(p.numel() for p in listed)
        state = "no" if not frozen else "yes" if frozen == len(listed) else "partly"
        rows.append((name, f"{count:,}", state))
        total += count
    facts = {
        "input": f"{spec.modality}, {spec.input.in_short(spec.input.to_json())}",
        "features": spec.feature_dim,
        "parameters": f"{total:,}",
        "head": str(head),
    }
    table = html_table(rows, header=("stage, input first", "parameters", "frozen"))
    return html_facts(spec.name, facts) + table
