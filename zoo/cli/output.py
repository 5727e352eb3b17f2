"""Output of all commands: results on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO, TypeVar

import click

from zoo.errors import Stopped, ZooError
from zoo.system.characters import clean as clean
from zoo.system.characters import clean_lines, escaped
from zoo.system.colour import coloured
from zoo.system.json_shape import finite
from zoo.system.verbosity import quiet

Command = TypeVar("Command", bound=Callable[..., Any])

INDENT = " " * len("Error: ")

_stdout: list[TextIO] = []  # standard output, while documents_only keeps it for the documents


def note(text: str) -> None:
    """Print something that is not the result on standard error, if that is open; not with ``-q``."""
    if not quiet():
        _print_error_lines(text)


def _print_error_lines(text: str) -> None:
    with contextlib.suppress(OSError):
        for line in str(text).splitlines():
            print(clean(line), file=sys.stderr)


def say(text: str, *, flush: bool = False) -> None:
    """Print one or more lines of the result on standard output, without control characters.

    Args:
        text: The line.
        flush: Write it at once rather than keep it in the buffer.
    """
    print(clean_lines(text), file=results(), flush=flush)


def emit_json(document: Any) -> None:
    """Print one JSON document on standard output; NaN and infinities become ``null``.

    A list is printed with one item per line. Flushed at once.
    """
    try:
        text = _dump(document, ascii_only=False)
    except ValueError:
        document = finite(document)
        text = _dump(document, ascii_only=False)
    try:
        text.encode(getattr(results(), "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = _dump(document, ascii_only=True)
    say(text, flush=True)


def json_option(
    prints: str = "Print one JSON document.", *, option: Callable[..., Any] = click.option
) -> Callable[[Command], Command]:
    """Give a command the flag ``--json``: ``as_json``.

    While it is given, standard output is kept for :func:`emit_json`; whatever else is printed
    goes to standard error.

    Args:
        prints: Its help.
        option: Declares it, such as a section of the help.
    """
    declared: Callable[[Command], Command] = option("--json", "as_json", is_flag=True, help=prints)
    return declared


def _dump(document: Any, *, ascii_only: bool) -> str:
    """JSON in which control characters are written as escapes, those too that JSON would allow."""
    return escaped(_plain_dump(document, ascii_only=ascii_only))


def _plain_dump(document: Any, *, ascii_only: bool) -> str:
    if not isinstance(document, list):
        return json.dumps(document, indent=2, ensure_ascii=ascii_only, allow_nan=False)
    # Indenting uses the slow path of json, which is noticeable for 1,500 specs.
    lines = [json.dumps(item, ensure_ascii=ascii_only, allow_nan=False) for item in document]
    return "[\n" + ",\n".join(lines) + "\n]" if lines else "[]"


@contextlib.contextmanager
def documents_only() -> Iterator[None]:
    """Keep standard output for :func:`emit_json`: whatever else is printed goes to stderr.

    Also what is written past Python, by a library in C or a process that is started meanwhile.
    """
    with _own_descriptor() as documents:
        _stdout.append(documents)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            _stdout.pop()


@contextlib.contextmanager
def _own_descriptor() -> Iterator[TextIO]:
    """Standard output under another descriptor, while its own leads to standard error."""
    try:
        out, err = sys.stdout.fileno(), sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):  # not those of a process: captured, or closed
        yield sys.stdout
        return
    sys.stdout.flush()
    kept = os.dup(out)
    os.dup2(err, out)
    try:
        with open(
            kept, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, closefd=False
        ) as documents:
            yield documents
    finally:
        os.dup2(kept, out)
        os.close(kept)


@contextlib.contextmanager
def fail_cleanly(settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Turn an exception into a short message on standard error and an exit status.

    1 for zoo's own errors and unexpected ones, 2 for wrong usage, 130 for Ctrl-C, and 128 plus
    the signal's number for a run that was stopped.

    Args:
        settings: With ``debug`` true when the block fails, the traceback is shown too; those of
            the running command by default.
    """
    if settings is None and (context := click.get_current_context(silent=True)):
        settings = context.find_root().ensure_object(dict)
    try:
        yield
    except click.exceptions.Exit as leave:
        raise SystemExit(leave.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, click.Abort, EOFError, Exception) as error:
        reason = error.__cause__ if isinstance(error, click.Abort) and error.__cause__ else error
        if (settings or {}).get("debug") and not _is_broken_pipe(reason):
            import traceback

            _print_error_lines("".join(traceback.format_exception(reason)))
        raise SystemExit(_report(reason)) from None


@contextlib.contextmanager
def robust_streams() -> Iterator[None]:
    """Survive unprintable characters and closed streams; show each warning in one line.

    A stream that the shell has closed (``2>&-``) leads nowhere: else there is none in Python, and
    the next file that is opened gets the descriptor that libraries write their messages to.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, _devnull(number))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        # Pillow's, of half the pixels from which zoo itself refuses an image.
        warnings.filterwarnings("ignore", message=r"Image size \(\d+ pixels\) exceeds limit")
        yield


def _devnull(number: int) -> TextIO:
    try:
        os.fstat(number)  # something that was opened since the process began may have it
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
    return open(os.devnull, "w" if number else "r", encoding="utf-8")


def _discard_buffers() -> None:
    """Drop what is buffered for a reader that has gone: it would fail again at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _report(error: BaseException) -> int:
    """Print what went wrong; returns the exit status."""
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        _print_error_lines("Interrupted.")
        return 130
    if _is_broken_pipe(error):
        _discard_buffers()
        return 1
    if isinstance(error, Stopped):
        _print_error_lines(f"{error.message} {error.hint}")
        _discard_buffers()
        return 128 + error.signal
    if isinstance(error, ZooError):
        _print_error(error.message, error.hint)
        _discard_buffers()
        return 1
    elif isinstance(error, MemoryError):
        _print_error(
            "there is not enough memory",
            "Close other programs, or raise the limit (ulimit -v); for a fine-tune try a smaller "
            "--batch-size, --image-size or --max-length, and --workers 0.",
        )
    else:
        from zoo.system.library_output import in_a_line

        first = in_a_line(error) if str(error).strip() else ""
        _print_error(
            f"unexpected {type(error).__name__}{f': {first}' if first else ''}",
            "Run the command again with --debug to see where it comes from.",
        )
    return 1


def _print_error(message: str, hint: str) -> None:
    import textwrap

    columns = _terminal_width()
    wrapper = textwrap.TextWrapper(
        columns, subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False
    )
    for index, part in enumerate([*message.splitlines(), *hint.splitlines()]):
        wrapper.initial_indent = INDENT if index else "Error: "
        text = clean(part)
        with contextlib.suppress(OSError):  # the stream is closed; the exit status is enough
            line = wrapper.fill(text) if columns else wrapper.initial_indent + text
            if not index:
                line = coloured("Error:", "red", sys.stderr) + line.removeprefix("Error:")
            print(line, file=sys.stderr)


def _terminal_width() -> int:
    """The columns of the terminal behind standard error; 0 where there is none to wrap for."""
    try:
        return max(40, os.get_terminal_size(sys.stderr.fileno()).columns)
    except (OSError, ValueError, io.UnsupportedOperation):
        return 0


def _is_broken_pipe(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - the signature of warnings.showwarning
    line: str | None = None,  # noqa: ARG001
) -> None:
    where = "" if category is UserWarning else f" ({category.__name__}, {filename}:{lineno})"
    note(f"Warning: {message}{where}")


def results() -> TextIO:
    """Where results are printed: standard output."""
    return _stdout[-1] if _stdout else sys.stdout


def on_terminal() -> bool:
    """Whether results are printed on a terminal."""
    stream: TextIO | None = results()  # None where the shell has closed it
    return stream is not None and stream.isatty()
