"""``zoo serve``: a page and an HTTP API for a run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

import zoo

_NEEDS = {"fastapi": "fastapi", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}


@click.command(
    epilog="""\b
Examples:
  zoo serve runs/resnet18-1
  zoo serve runs/resnet18-1 --port 0 --json
  zoo serve runs/lstm-1 --host 0.0.0.0 --allow-host models.example.org
"""
)
@zoo.run_argument
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
@zoo.json_option("Print one JSON document once it listens.")
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
    from zoo_serve import Limits, create_app, is_loopback, open_socket
    from zoo_serve import serve as answer_requests

    opened = zoo.open_run(run)
    alone = is_loopback(host)
    shown = _mistakes(opened) if (alone if mistakes is None else mistakes) else None
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
            zoo.emit_json({**facts, "only_this_machine": alone, "mistakes": shown is not None})
        else:
            zoo.say(f"serving {opened.folder} at {url}", flush=True)
        _tell_who_reaches_it(url, alone)
        answer_requests(app, listening)
    zoo.note("stopped")


def _mistakes(run: zoo.Run) -> zoo.Mistakes:
    try:
        return run.mistakes()
    except zoo.RunError as error:
        raise zoo.RunError(error.message, hint="Serve without it: --no-mistakes.") from error


def _burst(rate: float) -> int:
    return max(1, round(2 * rate))


def _tell_who_reaches_it(url: str, alone: bool) -> None:
    if alone:
        zoo.note("Only this machine reaches it; Ctrl-C stops it.")
    else:
        zoo.note(
            f"Warning: whoever reaches {url} can use it: there is no password, and nothing is "
            "encrypted. Ctrl-C stops it."
        )


def _require_extra() -> None:
    missing = [name for module, name in _NEEDS.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise zoo.UsageError(
            f"zoo serve needs {', '.join(missing)}, which {'are' if missing[1:] else 'is'} not "
            "installed",
            hint="pip install 'zoo-finetune[serve]'",
        )
