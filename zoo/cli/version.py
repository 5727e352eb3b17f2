"""``zoo version``: versions and devices, quickly."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import Any

import click

from zoo.cli.output import emit_json, json_option
from zoo.cli.tables import print_facts
from zoo.version import __version__


@click.command(
    epilog="""\b
Examples:
  zoo version
  zoo version --json
"""
)
@json_option("Print a JSON object.")
def command(as_json: bool) -> None:
    """Show the versions of zoo, Python and torch, and the devices.

    'zoo doctor' checks more.
    """
    if as_json:
        emit_json(versions())
    else:
        print_versions()


def print_versions() -> None:
    """A line for each."""
    found = versions()
    print_facts(
        {
            **found,
            "torch": found["torch"] or "not installed",
            "devices": ", ".join(found["devices"]),
        }
    )


def versions() -> dict[str, Any]:
    """Versions, and the devices that ``--device`` takes."""
    torch = _version_of("torch")
    return {
        "zoo": __version__,
        "python": platform.python_version(),
        "torch": torch,
        "devices": _devices(torch),
    }


def _version_of(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices(torch_version: str | None) -> list[str]:
    """Names for ``--device``; torch is only imported where it may know more than the processor."""
    if torch_version is None or (torch_version.endswith("+cpu") and sys.platform != "darwin"):
        return ["cpu"]
    try:
        import torch
    except (ImportError, OSError):  # 'zoo doctor' says why
        return ["cpu"]
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return ["cpu"]
    count = torch.accelerator.device_count()
    if accelerator.type == "cuda":
        names = [torch.cuda.get_device_name(index) for index in range(count)]
        return ["cpu", *(f"cuda:{index} ({name})" for index, name in enumerate(names))]
    return ["cpu", accelerator.type]
