"""Repeats a run from its ``run.json``, and compares the two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.errors import RunError
from zoo.registry.run_record import LOCK_FILE
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.training.finetune import run
from zoo.training.own_values import network_to_train, require_same_values
from zoo.training.record import versions
from zoo.training.run_options import RunOptions


@dataclass(frozen=True)
class Repeat:
    """A run and its repetition.

    Attributes:
        first: The original run.
        second: The repetition.
        differences: Differing data, weights, versions and machine, in words.
    """

    first: Run
    second: Run
    differences: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether the weights of both are bit-identical."""
        return bool(self.first.record["sha256"] == self.second.record["sha256"])


def rerun(
    folder: Path,
    output: Path | None,
    options: RunOptions,
    *,
    data: str | None = None,
    network: Any = None,
) -> Repeat:
    """Repeat the run in ``folder``.

    Args:
        folder: A finished run.
        output: Folder of the repetition; ``None`` for the next free one in ``runs/``.
        options: Options that do not change the result.
        data: New location of the data, if it has moved.
        network: The user's own network of the run, or a function that builds it.

    Raises:
        RunError: ``run.json`` lacks the request, as in a run from the Hub.
        ZooError: As a fine-tune.
    """
    first = Run(folder, surgery=options.surgery, network=network, registry=options.registry)
    if "request" not in first.record:
        raise RunError(
            f"{folder / LOCK_FILE} lacks 'request', so the run cannot be repeated",
            hint="Runs pushed to the Hub do not contain it. Repeat the local run instead.",
        )
    needed = first.record.get("plugins", {})
    options.registry.require(needed, f"the run {folder}", training=True)
    request = Request.from_json(first.record["request"]).but(
        data=data, precision=first.record["precision"], compile=first.record["compile"]
    )
    if first.record["weights"] is None:  # a demo may have started without them, offline
        request = request.but(weights="none")
    options = replace(options, network=network_to_train(folder, first.record, network))
    require_same_values(folder, first.record, options.network)
    second = run(request, output, options)
    return Repeat(first, second, tuple(_differences(first, second)))


def _differences(first: Run, second: Run) -> list[str]:
    one, other = first.record, second.record
    words = []
    if one["data"]["fingerprint"] != other["data"]["fingerprint"]:
        words.append("the data differs")
    if (one["weights"] or {}).get("sha256") != (other["weights"] or {}).get("sha256"):
        words.append("the pretrained weights differ")
    if one["surgery_sha256"] != other["surgery_sha256"]:
        words.append("the code of the surgery differs")
    now = versions()
    words += [
        f"{name} was {one['versions'].get(name)} and is now {now[name]}"
        for name in now
        if one["versions"].get(name) != now[name]
    ]
    for key in ("platform", "cores", "device"):
        if one["machine"][key] != other["machine"][key]:
            words.append(f"{key} was {one['machine'][key]} and is now {other['machine'][key]}")
    return words
