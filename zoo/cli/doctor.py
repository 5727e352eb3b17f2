"""``zoo doctor``: check this machine's installation."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.output import emit_json, json_option, say
from zoo.cli.tables import print_table, say_wrapped
from zoo.errors import ZooError
from zoo.system.byte_sizes import in_bytes
from zoo.system.plurals import counted
from zoo.system.processor import usable_cores

if TYPE_CHECKING:
    from zoo.registry.plugins import PluginStatus
    from zoo.registry.registry import Registry


@dataclass(frozen=True)
class Finding:
    """One fact about this machine.

    Attributes:
        subject: What was checked.
        status: ``ok``, ``warning`` (zoo works nevertheless) or ``error``.
        value: What was found.
        advice: What to do; empty if there is nothing to do.
    """

    subject: str
    status: str
    value: str
    advice: str = ""


@click.command(
    epilog="""\b
Examples:
  zoo doctor
  zoo doctor --json
"""
)
@json_option("Print a JSON object.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Check this machine's installation and say what to fix.

    Checks versions, device, caches, plugins and network. Exit status 1 if there is an error;
    warnings do not count.
    """
    findings = [*_interpreter(), *_requirements(), *_computing(), *_storage(), *_registry(), _hub()]
    counts = Counter(finding.status for finding in findings)
    if as_json:
        document = {"ok": not counts["error"], "findings": [asdict(f) for f in findings]}
        emit_json(document)
    else:
        _print(findings, counts)
    if counts["error"]:
        ctx.exit(1)


def _print(findings: list[Finding], counts: Counter[str]) -> None:
    marks = {"ok": "ok", "warning": "WARNING", "error": "ERROR"}
    print_table(
        ("checked", "status", "found"),
        [(f.subject, marks[f.status], f.value) for f in findings],
        wrapped=True,
    )
    for finding in findings:
        if finding.advice:
            say("")
            say_wrapped(f"{marks[finding.status]}: {finding.subject}: {finding.value}")
            say_wrapped(finding.advice, label=" " * 7)
    errors, warnings = counts["error"], counts["warning"]
    say(
        f"\n{counted(errors, 'error')}, {counted(warnings, 'warning')}"
        if errors or warnings
        else "\nall is well"
    )


def _interpreter() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", "ok", platform.platform(terse=True))


def _requirements() -> Iterator[Finding]:
    """zoo and its requirements: installed, and recent enough?"""
    import importlib.metadata

    from packaging.requirements import Requirement

    from zoo.version import __version__

    yield Finding("zoo", "ok", f"{__version__} ({Path(__file__).parents[1]})")
    try:
        texts = importlib.metadata.requires("zoo-finetune") or []
    except importlib.metadata.PackageNotFoundError:
        advice = "Install it: pip install -e . in its checkout"
        yield Finding("zoo", "error", "runs without being installed", advice)
        return
    for requirement in sorted(map(Requirement, texts), key=lambda r: r.name.lower()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        wanted = f"{requirement.name}{requirement.specifier}"
        advice = f"pip install -U '{wanted}'"
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(requirement.name, "error", f"not installed; zoo needs {wanted}", advice)
            continue
        if requirement.specifier.contains(version, prereleases=True):
            yield Finding(requirement.name, "ok", version)
        else:
            yield Finding(requirement.name, "error", f"{version}; zoo needs {wanted}", advice)


def _computing() -> Iterator[Finding]:
    cores = usable_cores()
    yield Finding("cores", "ok", f"{cores:g} usable of {os.cpu_count()}")
    try:
        import torch

        from zoo.engine.device import choose_device
        from zoo.engine.precision import resolve_precision
        from zoo.system.tensors.torchvision_operators import declare_missing_operators
    except (ImportError, OSError) as error:
        advice = "Reinstall it: pip install --force-reinstall torch"
        yield Finding("torch", "error", f"cannot be imported: {error}", advice)
        return
    device = choose_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    yield Finding("device", "ok", f"{device} ({name})" if name != device.type else str(device))
    yield Finding("precision", "ok", f"{resolve_precision('auto', device)} (chosen by 'auto')")
    if declare_missing_operators():
        yield Finding("torch and torchvision", "ok", "match")
    else:
        yield Finding(
            "torch and torchvision",
            "warning",
            "torchvision's compiled operators do not load beside this torch",
            "zoo works around it; torchvision's detection models and its own JPEG decoder do "
            "not work. To fix it, install both from one index: https://pytorch.org/get-started",
        )


def _storage() -> Iterator[Finding]:
    from zoo.system.paths import cache_folder, hub_folder, torch_folder

    yield _writable(cache_folder())
    for subject, folder in (("torch cache", torch_folder()), ("Hub cache", hub_folder())):
        yield Finding(subject, "ok", f"{folder} ({_size(folder)})")


def _writable(folder: Path) -> Finding:
    """Whether zoo's cache is writable; it is created if necessary."""
    probe = folder / f".doctor-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Finding(
            "zoo cache",
            "error",
            f"{folder} is not writable: {error.strerror or error}",
            "Set ZOO_CACHE to a writable folder, or fix the permissions.",
        )
    return Finding("zoo cache", "ok", f"{folder} ({_size(folder)})")


def _size(folder: Path) -> str:
    """Size of the files in a folder, links counted once."""
    if not os.path.isdir(folder):
        return "does not exist yet"
    total = 0.0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return in_bytes(total)


def _registry() -> Iterator[Finding]:
    from zoo.registry.registry import Registry

    try:
        registry = Registry.discover()
    except ZooError as error:
        yield Finding("registry.toml", "error", error.message, error.hint)
        return
    for path in registry.policy.files:
        yield Finding("registry.toml", "ok", str(path))
    yield from _policy(registry)
    for plugin in registry.plugins():
        subject = f"plugin {plugin.name}"
        outdated = registry.outdated(plugin.name)
        if plugin.status == "ok" and outdated:
            advice = f"zoo sync {plugin.name}"
            yield Finding(subject, "warning", f"{plugin.backbones:,} backbones; {outdated}", advice)
        elif plugin.status == "ok":
            yield Finding(subject, "ok", f"{plugin.backbones:,} backbones")
        elif plugin.status == "disabled":
            yield Finding(subject, "ok", f"disabled: {plugin.reason}")
        else:
            yield Finding(subject, "error", f"{plugin.status}: {plugin.reason}", _remedy(plugin))
    if not registry.plugins():
        advice = "Reinstall zoo: pip install --force-reinstall zoo-finetune"
        yield Finding("plugins", "error", "none is installed", advice)


def _remedy(plugin: PluginStatus) -> str:
    if plugin.status == "incompatible":
        return f"Upgrade one of the two: pip install -U zoo-finetune {plugin.distribution}"
    if plugin.status == "conflict":
        return "pip uninstall the one that you do not use."
    switch = f"[plugins.{plugin.name}] enabled = false in registry.toml"
    return f"Reinstall or upgrade {plugin.distribution}, or disable it: {switch}"


def _policy(registry: Registry) -> Iterator[Finding]:
    """Names in registry.toml and ZOO_PLUGINS that do not exist."""
    policy = registry.policy
    statuses = {plugin.name: plugin.status for plugin in registry.plugins()}
    for name in sorted((policy.only or frozenset()) - statuses.keys()):
        advice = f"Installed: {', '.join(statuses)}."
        yield Finding("ZOO_PLUGINS", "warning", f"no plugin {name!r} is installed", advice)
    broken = []
    for name in [*policy.aliases, *policy.runs]:
        plugin = policy.aliases.get(name, "").partition("/")[0]
        if name not in policy.runs and statuses.get(plugin) not in (None, "ok"):
            continue  # reported with the plugin
        try:
            registry.resolve(name)
        except ZooError:
            broken.append(name)
    if broken:
        yield Finding(
            "short names",
            "warning",
            f"{len(broken)} not found: {', '.join(broken)}",
            "Fix or remove them in registry.toml, or install the plugins that they name.",
        )


def _hub() -> Finding:
    from zoo.system.network import hub_reachable

    if hub_reachable():
        return Finding("Hugging Face Hub", "ok", "reachable")
    return Finding(
        "Hugging Face Hub",
        "warning",
        "unreachable" + (" (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""),
        "Weights that are not on this machine cannot be downloaded: use --weights PATH, or --weights "
        "none to train from scratch. Behind a proxy, set HTTPS_PROXY.",
    )
