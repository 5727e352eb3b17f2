"""Write the measured ``feature_dim`` and ``params`` of a backbone where its plugin states its spec."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch

from zoo.contract.network.backbone import Backbone
from zoo.contract.network.measuring import measured_width
from zoo.contract.spec import BackboneSpec
from zoo.registry.entry_points import PluginSource
from zoo.system.files import write_text
from zoo.system.tensors.meta import without_values
from zoo.weights.loading.build import build

_NEVER = ("site-packages", "dist-packages")
"""Folders of installed copies, which are not a plugin's source."""


@dataclass(frozen=True)
class Fix:
    """Facts of a backbone that its spec does not state, or states wrongly.

    Attributes:
        spec: The spec with the measured values.
        facts: ``feature_dim`` or ``params`` to the measured value.
        path: The file they were written to; ``None`` if the spec was not found in one.
    """

    spec: BackboneSpec
    facts: Mapping[str, int]
    path: Path | None


def fix(spec: BackboneSpec, source: PluginSource) -> Fix | None:
    """Measure a backbone, and write the values that its spec lacks; ``None`` if it is correct.

    Args:
        spec: With its canonical name.
        source: The plugin that publishes it.

    Raises:
        ZooError: It cannot be built or measured.
        OSError: A file cannot be read or written.
    """
    facts = _wrong(spec)
    if not facts:
        return None
    fixed = replace(spec, **facts)  # type: ignore[arg-type]
    for path in _sources(source):
        text = path.read_text(encoding="utf-8")
        edit = _in_json if path.suffix == ".json" else _in_python
        changed = edit(text, spec.arch, facts)
        if changed is not None:
            write_text(path, changed)
            return Fix(fixed, facts, path)
    return Fix(fixed, facts, None)


def _wrong(spec: BackboneSpec) -> dict[str, int]:
    backbone = _built(spec)
    width = measured_width(backbone)
    plain = sum(p.numel() for p in backbone.net.parameters())
    whole = sum(p.numel() for p in backbone.parameters())
    facts = {} if spec.feature_dim == width else {"feature_dim": width}
    return facts if spec.params in (plain, whole) else {**facts, "params": whole}


def _built(spec: BackboneSpec) -> Backbone:
    """Build the network, on the meta device if possible."""
    with suppress(Exception), torch.random.fork_rng(), without_values():
        backbone = build(spec, None, unpadded=False)
        measured_width(backbone)
        return backbone
    return build(spec, None, unpadded=False)


def _sources(source: PluginSource) -> Iterator[Path]:
    """The Python and JSON files of a plugin's package."""
    top = source.value.partition(":")[0].partition(".")[0]
    found = find_spec(top)
    folders = [Path(folder) for folder in (found.submodule_search_locations or ())] if found else []
    files = [file for folder in folders for file in sorted(folder.rglob("*"))]
    if found and not folders and found.origin:
        files = [Path(found.origin)]
    for suffix in (".py", ".json"):
        yield from (f for f in files if f.suffix == suffix and not set(_NEVER) & set(f.parts))


def _in_python(text: str, name: str, facts: Mapping[str, int]) -> str | None:
    """``text`` with the facts in the ``BackboneSpec(name=…)`` of that name; ``None`` without one."""
    try:
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    except SyntaxError:
        return None
    for call in calls:
        given = {keyword.arg: keyword for keyword in call.keywords}
        stated = given.get("name")
        if not ast.unparse(call.func).endswith("BackboneSpec") or stated is None:
            continue
        if isinstance(stated.value, ast.Constant) and stated.value.value == name:
            return _with_facts(text, given, stated, facts)
    return None


def _with_facts(
    text: str, given: Mapping[str | None, ast.keyword], name: ast.keyword, facts: Mapping[str, int]
) -> str:
    data = text.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    begin = starts[name.lineno - 1]
    before = data[begin : begin + name.col_offset]
    joint = b", " if before.strip() else b",\n" + before
    edits = []
    new = b"".join(
        joint + f"{fact}={value:_}".encode() for fact, value in facts.items() if fact not in given
    )
    for fact, value in facts.items():
        if fact in given:
            edits.append((*_span(given[fact].value, starts), f"{value:_}".encode()))
    if new:
        end = _span(name.value, starts)[1]
        edits.append((end, end, new))
    for start, end, replacement in sorted(edits, reverse=True):
        data = data[:start] + replacement + data[end:]
    return data.decode()


def _span(node: ast.expr, starts: list[int]) -> tuple[int, int]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return (
        starts[node.lineno - 1] + node.col_offset,
        starts[node.end_lineno - 1] + node.end_col_offset,
    )


def _in_json(text: str, name: str, facts: Mapping[str, int]) -> str | None:
    """``text`` with the facts in the object whose ``name`` it is; its layout stays."""
    decoder = json.JSONDecoder()
    for found in re.finditer(r'"name"\s*:\s*' + re.escape(json.dumps(name)), text):
        start = text.rfind("{", 0, found.start())
        while start >= 0:
            with suppress(ValueError):
                row, end = decoder.raw_decode(text, start)
                if end > found.start() and row.get("name") == name:
                    return text[:start] + _in_row(text[start:end], found[0], facts) + text[end:]
            start = text.rfind("{", 0, start)
    return None


def _in_row(row: str, name: str, facts: Mapping[str, int]) -> str:
    for fact, value in facts.items():
        pattern = rf'("{fact}"\s*:\s*)-?\d+'
        if re.search(pattern, row):
            row = re.sub(pattern, rf"\g<1>{value}", row, count=1)
        else:
            row = row.replace(name, f'{name}, "{fact}": {value}', 1)
    return row


def in_words(found: Fix) -> str:
    """Describe the measured values, and the file that they were written to."""
    facts = ", ".join(f"{fact}={value:_}" for fact, value in found.facts.items())
    if found.path is None:
        return f"{found.spec.name}: its BackboneSpec was not found in the plugin's source; write {facts}"
    return f"{found.spec.name}: {facts} written to {found.path}"
