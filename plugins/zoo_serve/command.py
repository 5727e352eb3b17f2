"""The command ``zoo serve``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import click

import zoo

_NEEDS = {"fastapi": "fastapi", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}


@click.command(
    epilog="""\b
Examples:
  zoo serve runs/resnet18-1
  zoo serve runs/resnet18-1 --port 0 --json
  zoo serve runs/cnn-1 runs/cnn-2
  zoo serve runs/lstm-1 --host 0.0.0.0 --allow-host models.example.org
"""
)
@zoo.runs_argument
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
@zoo.device_option
@zoo.networks_option
@zoo.json_option("Print one JSON document when the server is ready.")
def command(
    runs: tuple[Path, ...],
    host: str,
    port: int,
    allow_host: tuple[str, ...],
    mistakes: bool | None,
    rate: float,
    max_mb: float,
    batch_size: int,
    device: str,
    networks: tuple[str, ...],
    as_json: bool,
) -> None:
    """Serve runs as web pages and an HTTP API.

    Several runs are served under their names, and adapter runs of one base share it in memory.
    Ctrl-C stops the server after finishing requests in progress. There is no password: anyone who
    can reach the address can use it.
    """
    _require_extra()
    from zoo_serve import Limits, is_loopback, open_socket
    from zoo_serve import serve as answer_requests

    opened = zoo.open_runs(runs, networks=networks)
    local = is_loopback(host)
    show = local if mistakes is None else mistakes
    shown = [_mistakes(run) if show else None for run in opened]
    with open_socket(host, port) as listening:
        app = _application(
            opened,
            shown,
            device=device,
            limits=Limits(request_bytes=int(max_mb * 2**20), rate=rate, burst=_burst(rate)),
            names=[*allow_host, *([] if local else [host])],
            batch_size=batch_size,
        )
        port = listening.getsockname()[1]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        if as_json:
            served = {"run": str(runs[0])} if len(runs) == 1 else {"runs": list(map(str, runs))}
            facts = {"url": url, "host": host, "port": port, **served}
            zoo.emit_json({**facts, "only_this_machine": local, "mistakes": show})
        else:
            folders = ", ".join(str(run.folder) for run in opened)
            zoo.say(f"serving {folders} at {url}", flush=True)
        _note_reachability(url, local)
        answer_requests(app, listening)
    zoo.note("stopped")


def _application(runs: list[zoo.Run], mistakes: list[zoo.Mistakes | None], **options: Any) -> Any:
    """One run at the root, or several under their names."""
    from zoo_serve import create_app, create_app_of_runs

    if len(runs) == 1:
        return create_app(runs[0], mistakes=mistakes[0], **options)
    return create_app_of_runs(runs, mistakes=mistakes, **options)


def _mistakes(run: zoo.Run) -> zoo.Mistakes:
    try:
        return run.worst_mistakes()
    except zoo.RunError as error:
        raise zoo.RunError(error.message, hint="To serve without them: --no-mistakes.") from error


def _burst(rate: float) -> int:
    return max(1, round(2 * rate))


def _note_reachability(url: str, local: bool) -> None:
    if local:
        zoo.note("Reachable from this machine only. Press Ctrl-C to stop.")
    else:
        zoo.note(
            f"Warning: anyone who can reach {url} can use the server: no password, no encryption. "
            "Press Ctrl-C to stop."
        )


def _require_extra() -> None:
    missing = [name for module, name in _NEEDS.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise zoo.UsageError(
            f"zoo serve needs {', '.join(missing)}, which {'are' if missing[1:] else 'is'} not "
            "installed",
            hint="pip install 'zoo-finetune[serve]'",
        )
