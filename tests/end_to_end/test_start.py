"""Commands import only what they use; torch's compiler and others are left out until needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import zoo

FORBIDDEN = [
    *("torch._dynamo", "torch._inductor", "torch.distributed.tensor", "sympy", "sklearn", "scipy"),
    *("pandas", "matplotlib", "datasets", "timm", "transformers", "peft"),
]

COMMANDS = """
import json, os, sys
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from zoo.cli import main

forbidden, commands = json.loads(sys.argv[1])

def end(*_):
    there = {name for name, module in sys.modules.items() if hasattr(module, "__file__")}
    print(json.dumps(sorted(there & set(forbidden))), file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(0)

register_optimizer_step_post_hook(end)
for arguments in commands:
    child = os.fork()
    if not child:
        sys.argv = ["zoo", *arguments]
        try:
            main()
        except SystemExit as stop:
            assert not stop.code, arguments
        forbidden += ["torchvision", "accelerate"]
        end()
    assert os.waitpid(child, 0)[1] == 0, arguments
"""
"""Each command in a process that has imported torch alone; a fine-tune ends at its first step, a probe,
which takes none, with its report."""


@pytest.mark.slow
def test_commands_import_what_they_use(few: Path, tmp_path: Path) -> None:
    done: Any = {"epochs": 1, "workers": 0, "report": False}
    zoo.finetune("cnn", few, output=tmp_path / "image", **done)
    zoo.finetune("lstm", classes=2, max_length=8, output=tmp_path / "text", **done)
    commands = [
        ["predict", "image", str(next(few.rglob("*.*g")))],
        ["predict", "text", "a good film"],
        ["finetune", "cnn", "--epochs", "1", "--no-report", "--output", "new"],
        ["finetune", "cnn", "--strategy", "probe", "--data", str(few), "--output", "whole"],
        ["report", "image", "--data", str(few)],
    ]
    command = [sys.executable, "-c", COMMANDS, json.dumps([FORBIDDEN, commands])]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    found = [json.loads(line) for line in ran.stderr.splitlines() if line.startswith("[")]
    assert found == [[], [], [], ["accelerate", "torchvision"], []]
    assert "a good film\t" in ran.stdout
    assert "Grad-CAM" in (tmp_path / "whole" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "needed",
    [
        pytest.param("import torch._dynamo.config", marks=pytest.mark.long),
        pytest.param("from torch._dynamo.utils import counters", marks=pytest.mark.long),
        pytest.param("torch._dynamo.config.cache_size_limit", marks=pytest.mark.long),
        "torch.compile(net, backend='eager')(torch.ones(2, 3))",
    ],
)
@pytest.mark.long
def test_the_compiler_is_there_as_soon_as_it_is_needed(needed: str) -> None:
    code = f"""
import sys
import torch
from zoo.system.tensors.compiler_import import compiler_unimported
from zoo.system.tensors.torchvision_operators import transforms

def step():
    net(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()

with compiler_unimported():
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    step()
    transforms()
    with torch.device("meta"):
        torch.nn.init.normal_(torch.empty(2))
    assert not hasattr(sys.modules["torch._dynamo"], "__file__")
    {needed}
assert ("torch._dynamo" in sys.modules) is True
from torch._dynamo import config, utils
assert torch._dynamo.config is config is sys.modules["torch._dynamo.config"]
assert torch._dynamo.utils is utils
from torchvision.ops.roi_align import is_compile_supported
assert is_compile_supported("cpu") is utils.is_compile_supported("cpu")
utils.counters.clear()
compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
assert torch.equal(compiled(torch.ones(2, 3)), net(torch.ones(2, 3)))
assert utils.counters["stats"]["unique_graphs"] == 1
before = net.weight.detach().clone()
torch.compile(step, backend="eager")()  # disabled where it would trace an optimizer's step
assert not torch.equal(net.weight, before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


TRANSFORMERS = """
import sys
import zoo.contract.network.backbone
from zoo.system.tensors.compiler_import import compiler_unimported
from zoo.system.transformers_import import leave_out_distributed

leave_out_distributed()
with compiler_unimported():
    from transformers import BertConfig, BertModel
    import transformers.masking_utils

    assert not transformers.utils.is_torch_distributed_available()
    size = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    net = BertModel(BertConfig(vocab_size=9, **size)).eval()
there = [n for n, module in sys.modules.items() if getattr(module, "__file__", None)]
left_out = {"torch._dynamo", "torch.distributed.tensor", "torch.distributed.fsdp", "sympy", "scipy"}
assert not left_out & set(there), left_out & set(there)
import torch
compiled = torch.compile(net, backend="eager")
ids = torch.arange(5)[None]
assert torch.allclose(compiled(ids)[0], net(ids)[0], atol=1e-6)
assert "torch._dynamo" in sys.modules
with transformers.masking_utils.TransformGetItemToIndex():
    pass
"""


@pytest.mark.long
def test_transformers_is_imported_without_what_several_machines_need() -> None:
    command = [sys.executable, "-c", TRANSFORMERS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
