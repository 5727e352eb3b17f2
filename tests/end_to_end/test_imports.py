"""A fine-tune imports what its backbone and its data need, and not what others need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARIES = [
    *("torchvision", "timm", "transformers", "tokenizers", "datasets", "peft", "matplotlib"),
    *("tensorboard", "huggingface_hub"),
]

FINE_TUNES = """
import json, os, sys
import zoo, zoo.api, zoo.training.train

libraries, runs = json.loads(sys.argv[1])
assert not set(libraries) & sys.modules.keys()
for backbone, data, options in runs:
    child = os.fork()
    if not child:
        zoo.finetune(backbone, data, weights="none", epochs=1, workers=0, report=False, **options)
        print(json.dumps([backbone, sorted(set(libraries) & sys.modules.keys())]), flush=True)
        os._exit(0)  # taking all modules apart takes longer than the fine-tune
    assert os.waitpid(child, 0)[1] == 0
"""
"""Fine-tunes, each in a process that has imported torch and nothing of ``LIBRARIES``."""


@pytest.mark.long
def test_a_fine_tune_imports_what_its_backbone_needs(photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    table.write_text("text,label\n" + "good,1\nbad,0\n" * 10)
    needed = {
        "resnet18": {"torchvision"},
        "timm/test_resnet": {"torchvision", "timm", "huggingface_hub"},
        "lstm": {"tokenizers", "datasets", "huggingface_hub"},  # a table
    }
    runs = [
        (name, str(table if name == "lstm" else photos), {"output": str(tmp_path / f"{number}")})
        for number, name in enumerate(needed)
    ]
    for name, _, options in runs:
        if name != "lstm":
            options["image_size"] = 32
    command = [sys.executable, "-c", FINE_TUNES, json.dumps([LIBRARIES, runs])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = dict(json.loads(line) for line in done.stdout.splitlines())
    assert {name: set(found) for name, found in imported.items()} == needed
