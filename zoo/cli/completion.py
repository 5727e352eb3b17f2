"""``zoo completion``, and what a shell completes after ``zoo``: names, runs, stages. No torch.

Names come from the index alone, also those of plugins' heads, strategies and others: the tab key
imports no plugin, so the names of a new plugin appear after the first other command. Stages are in
no catalogue, because a network has to be built to know them: ``zoo show`` builds it and keeps them
for completion.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.output import emit_json, json_option, say
from zoo.system.small_files import read_small

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from zoo.registry.registry import Registry

Items = list["CompletionItem"]
Complete = Callable[[click.Context, click.Parameter, str], Items]

SHELLS = ("bash", "zsh", "fish")
STRATEGIES = (
    *("probe", "full", "two-stage", "gradual", "last"),
    *("lora", "dora", "ia3", "bias", "norm"),
)
HEADS = ("linear", "mlp")
FORMATS = ("native", "onnx", "torch-export", "peft")
AUGMENTATIONS = ("none", "trivial")
RUN_LEVELS = 4
"""Depth of the search for run folders."""
RUN_ENTRIES = 20_000
"""Limit of files and folders in that search: among a million images the tab key would wait."""

_UNQUOTED = re.compile(r"[\w./~+@%-]+")
"""Names that need no quotes in a shell; the completion scripts do not add any."""


@click.command(
    epilog="""\b
Examples:
  zoo completion bash >> ~/.bashrc
  zoo completion zsh >> ~/.zshrc
  zoo completion fish > ~/.config/fish/completions/zoo.fish
"""
)
@click.argument("shell", type=click.Choice(SHELLS))
@json_option("Print a JSON object.")
@click.pass_context
def command(ctx: click.Context, shell: str, as_json: bool) -> None:
    """Print the completion script for your shell.

    Completes commands, options, backbones, runs and stages. Run the line for your shell below
    once, then open a new shell. zsh needs its completion enabled: autoload -Uz compinit && compinit
    """
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    assert completion is not None  # click has all of SHELLS
    script = completion(ctx.find_root().command, {}, "zoo", "_ZOO_COMPLETE").source()
    if as_json:
        emit_json({"shell": shell, "script": script})
    else:
        say(script.rstrip("\n"))


def _starting(find: Callable[[click.Context, str], Iterable[str]], fallback: str = "") -> Complete:
    """A ``shell_complete`` of the candidates of ``find``; errors are ignored.

    Args:
        find: From the context and the beginning of the word to candidates.
        fallback: ``file`` or ``dir`` has the shell complete paths where no candidate fits.
    """

    @functools.wraps(find)
    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
        from click.shell_completion import CompletionItem

        found: list[str] = []
        with suppress(Exception):  # the command itself reports it
            found = [word for word in find(ctx, incomplete) if word.startswith(incomplete)]
        if not found and fallback:
            return [CompletionItem(incomplete, type=fallback)]
        return [CompletionItem(word) for word in dict.fromkeys(found)]

    return complete


def one_of(*words: str, fallback: str = "") -> Complete:
    """Complete fixed words."""
    return _starting(lambda ctx, incomplete: words, fallback)  # noqa: ARG005


# -- names -------------------------------------------------------------------------------------


def kept_registry() -> Registry:
    """The plugins in the index; nothing is imported."""
    from zoo.registry.discovery import PluginSource, installed
    from zoo.registry.index import Catalogue, Index
    from zoo.registry.policy import load_policy
    from zoo.registry.registry import Registry
    from zoo.system.paths import cache_folder

    class CachedIndex(Index):
        def catalogue(self, source: PluginSource) -> Catalogue:
            return self.cached(source) or Catalogue("broken", "not in the index yet", {})

    return Registry(installed(cache_folder() / "plugins.json"), load_policy(), CachedIndex())


def _names(_: click.Context, incomplete: str) -> Iterable[str]:
    registry = kept_registry()
    base = incomplete.rpartition(".")[0]
    if base and (row := _row(registry, base)[1]):
        return [f"{base}.{weights['tag']}" for weights in row["weights"]]
    canonical = registry.names()
    if "/" in incomplete:
        return canonical
    prefixes = dict.fromkeys(f"{name.partition('/')[0]}/" for name in canonical)
    short = [*registry.policy.runs, *registry.short_names]
    bare = [name.partition("/")[2] for name in canonical] if incomplete else []
    fitting = [w for w in [*short, *bare, *prefixes] if w.startswith(incomplete)]
    # After a lone 'timm/' the shell would add a space; with longer candidates it waits.
    return canonical if len(fitting) == 1 and fitting[0] in prefixes else fitting


def _row(registry: Registry, name: str) -> tuple[str, Mapping[str, Any] | None]:
    """The canonical name without a tag, and its row of the catalogue, if there is one."""
    aliases = registry.short_names
    plugins = [*registry.policy.order, *(status.name for status in registry.plugins())]
    for stem in (name, name.rpartition(".")[0]):
        target = aliases.get(stem, stem)
        for known in [target] if "/" in target else [f"{plugin}/{target}" for plugin in plugins]:
            if row := registry.row(known):
                return known, row
    return aliases.get(name, name), None


def _plugins(_: click.Context, __: str) -> Iterable[str]:
    from zoo.registry.discovery import installed
    from zoo.system.paths import cache_folder

    return sorted({source.name for source in installed(cache_folder() / "plugins.json")})


def _tags(ctx: click.Context, _: str) -> Iterable[str]:
    name = _typed_backbone(ctx)
    row = _row(kept_registry(), name)[1] if name else None
    return ["auto", "none", *(weights["tag"] for weights in (row or {}).get("weights", ()))]


def _typed_backbone(ctx: click.Context) -> str:
    """The backbone that has been typed already, or the empty string."""
    for parameter in ("backbone", "name"):
        if name := ctx.params.get(parameter):
            return str(name)
    # An option without its value keeps click from assigning the arguments.
    return next((word for word in ctx.args if not word.startswith("-")), "")


# -- stages and layers -------------------------------------------------------------------------


def keep_parts(names: Iterable[str], stages: Iterable[str], layers: Iterable[str]) -> None:
    """Keep the names of a backbone's stages and layers, for completion.

    Args:
        names: Names of the backbone: canonical, or a user's.
        stages: Input first.
        layers: Native paths of its modules.
    """
    from zoo.system.files import write_text

    parts = json.dumps({"stages": list(stages), "layers": [path for path in layers if path]})
    for name in {*names}:
        with suppress(OSError):  # completion is a convenience
            if (file := _parts_file(name)) and _read(file) != parts:
                write_text(file, parts)


def _parts_file(name: str) -> Path:
    from urllib.parse import quote

    from zoo.system.paths import cache_folder

    return cache_folder() / "stages" / f"{quote(name, safe='')}.json"


def _read(file: Path) -> str:
    try:
        return read_small(file).decode()
    except (OSError, ValueError):
        return ""


def _parts(ctx: click.Context) -> Mapping[str, list[str]]:
    name = _typed_backbone(ctx)
    for candidate in (name, _row(kept_registry(), name)[0]):
        if text := _read(_parts_file(candidate)):
            return {key: list(map(str, words)) for key, words in json.loads(text).items()}
    return {}


def _stages(ctx: click.Context, _: str) -> Iterable[str]:
    return _parts(ctx).get("stages", [])


def _layers(ctx: click.Context, _: str) -> Iterable[str]:
    parts = _parts(ctx)
    return [*parts.get("stages", []), *parts.get("layers", [])]


# -- runs --------------------------------------------------------------------------------------


def _finished_runs(_: click.Context, incomplete: str) -> Iterable[str]:
    return [*_runs(incomplete, finished=True), *kept_registry().policy.runs]


def _unfinished_runs(_: click.Context, incomplete: str) -> Iterable[str]:
    return _runs(incomplete, finished=False)


def _searches(_: click.Context, incomplete: str) -> Iterable[str]:
    """Folders of 'zoo tune' under the typed folder."""
    typed = incomplete.rpartition("/")[0] + "/" if "/" in incomplete else ""
    start = os.path.expanduser(typed) or "."
    found = (os.path.relpath(path, start) for path in sorted(Path(start).glob("**/tune.json"))[:99])
    return [typed + os.path.dirname(path) for path in found if _UNQUOTED.fullmatch(path)]


def _runs(incomplete: str, *, finished: bool) -> Iterator[str]:
    """Run folders under the typed folder, the nearest first."""
    typed = incomplete.rpartition("/")[0] + "/" if "/" in incomplete else ""
    start = os.path.expanduser(typed) or "."
    for folder in _run_folders(start):
        path = typed + os.path.relpath(folder, start)
        if _UNQUOTED.fullmatch(path) and _is_finished(folder) == finished:
            yield path


def _run_folders(start: str) -> Iterator[str]:
    level, left = [start], RUN_ENTRIES
    for _ in range(RUN_LEVELS):
        deeper: list[str] = []
        for folder in level:
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return
                    if not entry.name.startswith(".") and entry.is_dir():
                        deeper.append(entry.path)
        level = []
        for folder in sorted(deeper):
            if os.path.isfile(os.path.join(folder, "run.json")):
                yield folder
            else:
                level.append(folder)


def _is_finished(folder: str) -> bool:
    try:
        record = json.loads(read_small(Path(folder, "run.json")))
        return bool(record["finished"])
    except (OSError, ValueError, LookupError, TypeError):
        return True  # the command itself reports it


# -- heads, strategies and other things that plugins offer too -----------------------------------


def _own_metrics() -> Iterable[str]:
    from zoo.tasks.metric_table import METRICS

    return METRICS


def _own_tasks() -> Iterable[str]:
    from zoo.tasks import AUTO, TASKS

    return [AUTO, *TASKS]


def _own_optimizers() -> Iterable[str]:
    from zoo.engine.optimizers import OPTIMIZERS

    return OPTIMIZERS


def _own_losses() -> Iterable[str]:
    from zoo.tasks.losses import LOSSES

    return LOSSES


def _offered(own: Callable[[], Iterable[str]], *hooks: str) -> Complete:
    """Complete zoo's own names, then those of plugins: bare if unique, or as typed."""

    def find(_: click.Context, incomplete: str) -> Iterable[str]:
        canonical, mine = kept_registry().offered(*hooks), list(own())
        if "/" in incomplete:
            return canonical
        bare = Counter([*mine, *(name.partition("/")[2] for name in canonical)])
        short = [b if bare[b := name.partition("/")[2]] == 1 else name for name in canonical]
        return [*mine, *short]

    return _starting(find)


names = _starting(_names)
names_or_plugins = _starting(
    lambda ctx, incomplete: [*_plugins(ctx, incomplete), *_names(ctx, incomplete)]
)
plugins = _starting(_plugins)
tags = _starting(_tags, fallback="file")
stages = _starting(_stages)
layers = _starting(_layers)
runs = _starting(_finished_runs, fallback="dir")
unfinished_runs = _starting(_unfinished_runs, fallback="dir")
searches = _starting(_searches, fallback="dir")
strategies = _offered(lambda: STRATEGIES, "zoo_strategies", "zoo_adapters")
heads = _offered(lambda: HEADS, "zoo_heads")
formats = _offered(lambda: FORMATS, "zoo_exporters")
augmentations = _offered(lambda: AUGMENTATIONS, "zoo_augmentations")
metrics = _offered(_own_metrics, "zoo_metrics")
losses = _offered(_own_losses, "zoo_losses")
optimizers = _offered(_own_optimizers, "zoo_optimizers")
tasks = _offered(_own_tasks, "zoo_tasks")
paths = one_of(fallback="file")
