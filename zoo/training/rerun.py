"""A run again, from what its ``run.json`` says, and whether the same came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.errors import RunError
from zoo.registry.run_record import LOCK_FILE
from zoo.runs.request import Request
from zoo.runs.run import Run
from zoo.training.finetune import run
from zoo.training.record import versions
from zoo.training.run_options import RunOptions


@dataclass(frozen=True)
class Repeat:
    """A run and its repetition.

    Attributes:
        first: The run that was there.
        second: The repetition.
        differences: What was not the same to begin with: data, versions, machine; in words.
    """

    first: Run
    second: Run
    differences: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether both have the same bytes of weights."""
        return bool(self.first.record["sha256"] == self.second.record["sha256"])


def rerun(
    folder: Path, output: Path | None, options: RunOptions, *, data: str | None = None
) -> Repeat:
    """Repeat the run in ``folder``.

    Args:
        folder: A finished run.
        output: Where the repetition goes; ``None`` for a folder beside the runs.
        options: How it is carried out.
        data: Where the data are now, if they have moved.

    Raises:
        RunError: The run does not say what was asked for; one from the Hub does not.
        ZooError: As a fine-tune.
    """
    first = Run(folder, surgery=options.surgery, registry=options.registry)
    if "request" not in first.record:
        raise RunError(
            f"{folder / LOCK_FILE} lacks request, so the run cannot be repeated",
            hint="A run that was sent to the Hub does not keep it; repeat the run it was sent from.",
        )
    request = Request.from_json(first.record["request"]).but(
        data=data, precision=first.record["precision"], compile=first.record["compile"]
    )
    if first.record["weights"] is None:  # a demo that found no weights finds none again
        request = request.but(weights="none")
    second = run(request, output, options)
    return Repeat(first, second, tuple(_differences(first, second)))


def _differences(first: Run, second: Run) -> list[str]:
    one, other = first.record, second.record
    words = []
    if one["data"]["fingerprint"] != other["data"]["fingerprint"]:
        words.append("the data are not the same")
    if (one["weights"] or {}).get("sha256") != (other["weights"] or {}).get("sha256"):
        words.append("the weights it started from are not the same")
    if one["surgery_sha256"] != other["surgery_sha256"]:
        words.append("the code of the surgery is not the same")
    now = versions()
    words += [
        f"{name} was {one['versions'].get(name)} and is {now[name]}"
        for name in now
        if one["versions"].get(name) != now[name]
    ]
    for key in ("platform", "cores", "device"):
        if one["machine"][key] != other["machine"][key]:
            words.append(f"{key} was {one['machine'][key]} and is {other['machine'][key]}")
    return words
