"""The command line: one module a command, imported when the command is used.

A command's module imports nothing heavier than click at its top, so that help stays fast; what
is heavy is imported inside the command. Plugins add commands through the hook ``zoo_commands``:
they are looked up only where a name is not one of zoo's own, and to list all.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import completion
from zoo.cli.mistyped import command_guess, suggesting
from zoo.cli.output import documents_only, fail_cleanly, note, robust_streams
from zoo.system.environment import variable
from zoo.system.threads import sleep_when_waiting
from zoo.system.transformers_import import leave_out_distributed
from zoo.system.verbosity import being_quiet, being_verbose

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from zoo.cli.plugin_commands import PluginCommands

_MODULES = {"list": "catalogue"}
"""Commands whose module has another name."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Train": ("finetune", "tune", "rerun", "distill", "soup", "ensemble", "merge"),
    "Use": ("predict", "evaluate", "embed", "report", "runs", "compare", "export", "push"),
    "Models": ("list", "show", "recommend", "download", "add", "adapters"),
    "Data": ("clean", "cache"),
    "Plugins": ("plugins", "check", "new-plugin", "sync"),
    "This installation": ("version", "doctor", "completion"),
}
"""zoo's own commands, under the headings of ``zoo --help``."""

COMMANDS: Mapping[str, str] = {
    name: f"zoo.cli.{_MODULES.get(name, name.replace('-', '_'))}:command"
    for names in GROUPS.values()
    for name in names
}


class LazyGroup(click.Group):
    """Commands by name, from a table of ``module:attribute``, in the table's order; then those
    of plugins.

    Every command gets a hidden ``--debug`` and ``--no-plugin``. With ``--json``, standard output
    is for the document alone: what a library prints goes to standard error.
    """

    def __init__(self, *args: Any, table: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table
        self._prepared: dict[int, click.Command] = {}  # by identity: plugins come and go

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table; then those of plugins."""
        return [*self._table, *sorted(self._of_plugins(ctx).specs)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported."""
        if cmd_name not in self._table:
            return self._plugin_command(ctx, cmd_name)
        if cmd_name not in self.commands:
            module, _, attribute = self._table[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            self.commands[cmd_name] = _with_common_options(command, cmd_name)
        return self.commands[cmd_name]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with a suggestion from all commands."""
        name = args[0]
        if name not in self._table and not name.startswith("-"):
            known = self._of_plugins(ctx)
            if name not in known.specs:
                guess = command_guess(name, self.list_commands(ctx))
                ctx.fail(f"No such command {name!r}.{guess}{known.unusable_in_words()}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line per command; no plugin is imported."""
        from zoo.errors import ZooError

        try:
            self._of_plugins(ctx)
        except ZooError as error:  # help must be there also where a registry.toml is not valid
            note(f"Warning: commands of plugins are not listed: {error.message}")
            self._remember(ctx, None)
        for text in self._of_plugins(ctx).warnings():
            note(f"Warning: {text}")
        names = self.list_commands(ctx)
        widest = max(map(len, names))
        others = {"From plugins": tuple(name for name in names if name not in self._table)}
        for title, group in {**GROUPS, **others}.items():
            rows = [(f"{name:<{widest}}", self._summary(ctx, name)) for name in group]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def _summary(self, ctx: click.Context, name: str) -> str:
        """The first sentence of a command's help, whole."""
        return self._listed(ctx, name).get_short_help_str(_WHOLE)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands, with their help; no plugin is imported."""
        from click.shell_completion import CompletionItem

        commands = [
            CompletionItem(name, help=self._listed(ctx, name).get_short_help_str())
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def _of_plugins(self, ctx: click.Context) -> PluginCommands:
        """Commands of plugins; looked up once per run of the command line."""
        if _KEPT not in ctx.meta:
            self._remember(ctx, self._look_up(completing=ctx.resilient_parsing))
        found: PluginCommands = ctx.meta[_KEPT]
        return found

    def _look_up(self, *, completing: bool) -> PluginCommands:
        from zoo.cli.plugin_commands import PluginCommands

        if completing:  # the tab key prints nothing and asks no plugin
            with contextlib.suppress(Exception):
                return PluginCommands.of(completion.kept_registry(), self._table)
            return PluginCommands()
        from zoo.registry.registry import Registry

        return PluginCommands.of(Registry.discover(), self._table)

    def _remember(self, ctx: click.Context, found: PluginCommands | None) -> None:
        from zoo.cli.plugin_commands import PluginCommands

        ctx.meta[_KEPT] = found or PluginCommands()

    def _plugin_command(self, ctx: click.Context, name: str) -> click.Command | None:
        specs = self._of_plugins(ctx).specs
        if name not in specs:
            return None
        from zoo.cli.plugin_commands import load_command

        command = load_command(*specs[name])
        if id(command) not in self._prepared:
            self._prepared[id(command)] = _with_common_options(command, name)
        return command

    def _listed(self, ctx: click.Context, name: str) -> click.Command:
        """A command for the list; that of a plugin is a placeholder and is not imported."""
        if name in self._table:
            command = self.get_command(ctx, name)
            assert command is not None
            return command
        return click.Command(name, short_help=self._of_plugins(ctx).specs[name][1].help)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command; its return value is not an exit status."""
        with suggesting():
            super().invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As in click, with zoo's suggestions."""
        with suggesting():
            return super().parse_args(ctx, args)


_WHOLE = 1_000
"""More characters than a summary has: longer ones wrap."""

_KEPT = f"{__name__}.plugin_commands"
"""Where a context keeps what plugins add."""


def _with_common_options(command: click.Command, name: str) -> click.Command:
    command.name = name
    taken = {flag for parameter in command.params for flag in parameter.opts}
    common = [_no_plugin_option(), _quiet_option(), _verbose_option(), _debug_option()]
    command.params += [option for option in common if not taken & {*option.opts}]
    for parameter in command.params:
        if "--json" in parameter.opts and command.callback and parameter.name:
            command.callback = _with_documents_only(command.callback, parameter.name)
    return command


def _with_documents_only(callback: Any, flag: str) -> Any:
    @functools.wraps(callback)
    def run(*args: Any, **options: Any) -> Any:
        if not options[flag]:
            return callback(*args, **options)
        with documents_only():
            return callback(*args, **options)

    return run


def _quiet_option(*, hidden: bool = True) -> click.Option:
    return _switch(["-q", "--quiet"], being_quiet, "Print only results and errors.", hidden=hidden)


def _verbose_option(*, hidden: bool = True) -> click.Option:
    return _switch(
        ["-v", "--verbose"], being_verbose, "Also print log messages of libraries.", hidden=hidden
    )


def _switch(
    flags: list[str],
    state: Callable[[], contextlib.AbstractContextManager[None]],
    text: str,
    *,
    hidden: bool,
) -> click.Option:
    """A flag that holds while the command runs."""

    def switch(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            ctx.with_resource(state())

    return click.Option(
        flags,
        is_flag=True,
        hidden=hidden,
        expose_value=False,
        is_eager=True,
        callback=switch,
        help=text,
    )


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from zoo.cli.version import print_versions

        print_versions()
        ctx.exit()


def _debug_option(*, hidden: bool = True) -> click.Option:
    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            ctx.find_root().ensure_object(dict)["debug"] = True

    return click.Option(
        ["--debug"],
        is_flag=True,
        hidden=hidden,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help="Show the traceback of an error.",
    )


@contextlib.contextmanager
def _switched_off(arguments: Sequence[str]) -> Iterator[None]:
    """Disable the plugins of ``--no-plugin`` before a command is looked up, which asks plugins."""
    given = arguments[: arguments.index("--")] if "--" in arguments else arguments
    names = [value for flag, value in itertools.pairwise(given) if flag == "--no-plugin"]
    names += [word.partition("=")[2] for word in given if word.startswith("--no-plugin=")]
    with _without(names) if names else contextlib.nullcontext():
        yield


def _without(names: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """The named plugins are disabled, also in processes that the command starts."""
    from zoo.registry.policy import WITHOUT

    return variable(WITHOUT, ",".join([*filter(None, [os.environ.get(WITHOUT)]), *names]))


def _no_plugin_option(*, hidden: bool = True) -> click.Option:
    def switch_off(ctx: click.Context, _: click.Parameter, names: tuple[str, ...]) -> None:
        if names:
            ctx.with_resource(_without(names))

    return click.Option(
        ["--no-plugin"],
        multiple=True,
        metavar="NAME",
        shell_complete=completion.plugins,
        hidden=hidden,
        expose_value=False,
        is_eager=True,
        callback=switch_off,
        help="Ignore this plugin; may be repeated.",
    )


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  zoo list
  zoo show vgg16
  zoo finetune resnet18 --classes 5
  zoo predict runs/resnet18-1 photo.jpg
  zoo add runs/resnet18-1 --name my-animals
""",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the versions, as 'zoo version' does.",
)
def cli() -> None:
    """Fine-tune any torchvision, timm or Hugging Face model on your own data."""


cli.params += [
    _no_plugin_option(hidden=False),
    _quiet_option(hidden=False),
    _verbose_option(hidden=False),
    _debug_option(hidden=False),
]


def main() -> None:
    """Run the command line, and exit: 0 done, 1 zoo's own error, 2 wrong usage."""
    settings: dict[str, Any] = {"debug": False}
    sleep_when_waiting()
    leave_out_distributed()
    atexit.register(gc.freeze)  # or the interpreter looks through all objects: up to a second
    with robust_streams(), fail_cleanly(settings), _switched_off(sys.argv[1:]):
        status = cli.main(prog_name="zoo", standalone_mode=False, obj=settings)
        if sys.stdout:
            sys.stdout.flush()  # a reader that has gone is met here, not at the interpreter's end
        raise SystemExit(status or 0)
