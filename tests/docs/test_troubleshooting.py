"""Every message that docs/troubleshooting.md quotes is one that somebody can meet."""

from __future__ import annotations

import ast
import os
import re
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
OWN, _, OTHERS = PAGE.partition("\n## Messages of other libraries\n")


def quoted(part: str) -> list[str]:
    return re.findall(r"^### `(.+)`$", part, re.MULTILINE)


@cache
def templates() -> tuple[str, ...]:
    """All texts in the code of the zoo and its plugins, with ``…`` for what is put into them."""
    files = [*(ROOT / "zoo").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in files)
    return tuple(text for tree in trees for text in _texts(tree))


def _texts(tree: ast.AST) -> Iterator[str]:
    nodes = list(ast.walk(tree))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if id(node) in docstrings:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(map(_part, node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _part(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.FormattedValue)
    return "'…'" if node.conversion == ord("r") else "…"


@pytest.mark.parametrize("message", quoted(OWN))
def test_a_message_of_the_zoos_is_in_its_code(message: str) -> None:
    assert len(re.sub(r"[\W…]", "", message)) >= 10, "too little to be found by"
    assert any(message in template for template in templates())


class _Dies(torch.utils.data.Dataset[int]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index


def _load_code(folder: Path) -> None:
    torch.save(nn.Linear(1, 1), folder / "module.pth")
    torch.load(folder / "module.pth", weights_only=True)


def _no_cuda(_: Path) -> None:
    if torch.version.cuda:
        pytest.skip("this torch was built for cards")
    torch.zeros(1, device="cuda")


RAISING: dict[str, Callable[[Path], object]] = {
    "operator torchvision::nms does not exist": lambda _: torch.library.register_fake(
        "absent::nms", lambda: None
    ),
    "Torch not compiled with CUDA enabled": _no_cuda,
    "Expected more than 1 value per channel when training": lambda _: nn.BatchNorm1d(3)(
        torch.zeros(1, 3)
    ),
    "mat1 and mat2 shapes cannot be multiplied": lambda _: nn.Linear(3, 2)(torch.zeros(2, 4)),
    "size mismatch for …": lambda _: nn.Linear(3, 2).load_state_dict(nn.Linear(3, 4).state_dict()),
    "Weights only load failed": _load_code,
    "DataLoader worker (pid …) is killed by signal": lambda _: list(
        torch.utils.data.DataLoader(_Dies(), num_workers=1)
    ),
}


@pytest.mark.parametrize("message", quoted(OTHERS))
def test_a_message_of_a_library_is_what_it_says(message: str, tmp_path: Path) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its text is compared below
        RAISING[message](tmp_path)
    said, error = "", caught.value
    while error is not None:
        said, error = f"{said}\n{error}", error.__cause__ or error.__context__
    pattern = re.escape(message).replace("…", ".+").replace("torchvision", "absent")
    assert re.search(pattern, said), said
