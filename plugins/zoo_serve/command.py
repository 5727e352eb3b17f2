"""``zoo serve``: a page and an HTTP API for a run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from zoo.cli import completion
from zoo.cli.output import emit_json, flush, note, say
from zoo.errors import UsageError

_NEEDS = {"fastapi": "fastapi", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}


@click.command(
    epilog="""\b
Examples:
  zoo serve runs/resnet18-1
  zoo serve runs/resnet18-1 --port 0 --json
  zoo serve runs/lstm-1 --host 0.0.0.0 --allow-host models.example.org
"""
)
@click.argument("run", type=click.Path(path_type=Path), shell_complete=completion.runs)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Address to listen on (default: 127.0.0.1, this machine only).",
)
@click.option(
    "--port",
    default=8000,
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Port (default: 8000); 0 picks a free one.",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Host name to accept besides IP addresses; may be repeated.",
)
@click.option(
    "--mistakes/--no-mistakes",
    default=None,
    help="Show misclassified validation samples (default: on this machine only).",
)
@click.option(
    "--rate",
    default=50.0,
    type=click.FloatRange(min=0),
    metavar="N",
    help="Requests per second and client (default: 50; 0: no limit).",
)
@click.option(
    "--max-mb",
    default=16.0,
    type=click.FloatRange(min=0, min_open=True),
    metavar="MB",
    help="Maximum size of a request (default: 16).",
)
@click.option(
    "--batch-size",
    default=32,
    type=click.IntRange(min=1),
    metavar="N",
    help="Maximum number of inputs per batch, over all clients (default: 32).",
)
@click.option(
    "--device", default="auto", metavar="NAME", help="Device: auto (default), cpu, cuda, cuda:1, …"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document once it listens.")
def command(
    run: Path,
    host: str,
    port: int,
    allow_host: tuple[str, ...],
    mistakes: bool | None,
    rate: float,
    max_mb: float,
    batch_size: int,
    device: str,
    as_json: bool,
) -> None:
    """Serve a run as a web page and an HTTP API.

    Ctrl-C stops it after the requests in progress. There is no password: anybody who can reach
    the address can use it.
    """
    _require_extra()
    import zoo
    from zoo.serve import Limits, Mistakes, create_app, is_loopback, open_socket, read_mistakes
    from zoo.serve import serve as answer_requests

    opened = zoo.open_run(run)
    alone = is_loopback(host)
    shown: Mistakes | None = None
    if alone if mistakes is None else mistakes:
        shown = read_mistakes(opened)
    with open_socket(host, port) as listening:
        app = create_app(
            opened,
            device=device,
            limits=Limits(request_bytes=int(max_mb * 2**20), rate=rate, burst=_burst(rate)),
            names=[*allow_host, *([] if alone else [host])],
            mistakes=shown,
            batch_size=batch_size,
        )
        port = listening.getsockname()[1]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        if as_json:
            facts = {"url": url, "host": host, "port": port, "run": str(run)}
            emit_json({**facts, "only_this_machine": alone, "mistakes": shown is not None})
        else:
            say(f"serving {opened.folder} at {url}")
        flush()
        _tell_who_reaches_it(url, alone)
        answer_requests(app, listening)
    note("stopped")


def _burst(rate: float) -> int:
    return max(1, round(2 * rate))


def _tell_who_reaches_it(url: str, alone: bool) -> None:
    if alone:
        note("Only this machine reaches it; Ctrl-C stops it.")
    else:
        note(
            f"Warning: whoever reaches {url} can use it: there is no password, and nothing is "
            "encrypted. Ctrl-C stops it."
        )


def _require_extra() -> None:
    missing = [name for module, name in _NEEDS.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(
            f"zoo serve needs {', '.join(missing)}, which {'are' if missing[1:] else 'is'} not "
            "installed",
            hint="pip install 'zoo-finetune[serve]'",
        )
