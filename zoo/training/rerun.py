"""Repeats a run from its ``run.json``, and compares the two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from zoo.engine.device import choose_device
from zoo.errors import RunError
from zoo.registry.run_record import LOCK_FILE
from zoo.runs.made_of import again
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.training.finetune import run
from zoo.training.record import require_same_data, versions
from zoo.training.run_options import RunOptions
from zoo.training.start_values import network_to_train, require_same_values


@dataclass(frozen=True)
class Repeat:
    """A run and its repetition.

    Attributes:
        first: The original run.
        second: The repetition.
        differences: Differing weights, versions and machine, in words.
    """

    first: Run
    second: Run
    differences: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether the weights of both are bit-identical."""
        return bool(self.first.record["sha256"] == self.second.record["sha256"])


def rerun(
    first: Run, output: Path | None, options: RunOptions, *, data: str | None = None
) -> Repeat:
    """Repeat a run.

    Args:
        first: A finished run.
        output: Folder of the repetition; ``None`` for the next free one in ``runs/``.
        options: Options that do not change the result.
        data: New location of the data, if it has moved, or the name of data in memory.

    Raises:
        RunError: ``run.json`` lacks the request, as in a run from the Hub; or the data has changed.
        ZooError: As a fine-tune.
    """
    folder, record = first.folder, first.record
    if "request" not in record:
        raise RunError(
            f"{folder / LOCK_FILE} lacks 'request', so the run cannot be repeated",
            hint="Runs pushed to the Hub do not contain it. Repeat the local run instead.",
        )
    if command := again(record):
        raise RunError(
            f"{folder} was made from other runs, not trained, so it cannot be repeated",
            hint=f"Make it again with: {command}",
        )
    options.registry.require(record.get("plugins", {}), f"the run {folder}", training=True)
    request = Request.from_json(record["request"]).but(
        data=data,
        precision=record["precision"],
        compile=record["compile"],
        measured=record["measured_batch"] and record["measured_batch"]["size"],
        augment_on=record["placement"] and record["placement"]["augment_on"],
        streamed=record["placement"] and record["placement"]["streamed"],
        cuts=record["results"].get("cuts"),
    )
    if choose_device(request.device).type == record["device"]:
        request = request.but(compiled=record["results"].get("compiled"))
    if record["weights"] is None:  # a demo may have started without them, offline
        request = request.but(weights="none")
    options = replace(options, network=network_to_train(folder, record, first.network))
    require_same_values(folder, record, options.network)
    second = run(request, output, options, partial(require_same_data, folder, record))
    return Repeat(first, second, tuple(_differences(first, second)))


def _differences(first: Run, second: Run) -> list[str]:
    one, other = first.record, second.record
    words = []
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
