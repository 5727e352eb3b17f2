"""A fine-tune imports what its backbone, its data and its report need, and not what others need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPORT = {"matplotlib"}
"""What captum imports, which asks the network where it looked."""

LIBRARIES = {
    *("torchvision", "timm", "transformers", "tokenizers", "datasets", "peft", "matplotlib"),
    *("tensorboard", "huggingface_hub"),
}


@pytest.mark.parametrize(
    ("name", "data", "needed"),
    [
        ("resnet18", "photos", {"torchvision"} | REPORT),
        ("timm/test_resnet", "photos", {"torchvision", "timm", "huggingface_hub"}),
        ("lstm", "texts", {"tokenizers", "datasets", "huggingface_hub"}),  # a table
    ],
)
def test_a_fine_tune_imports_what_its_backbone_needs(
    photos: Path, tmp_path: Path, name: str, data: str, needed: set[str]
) -> None:
    texts = tmp_path / "texts.csv"
    texts.write_text("text,label\n" + "good,1\nbad,0\n" * 10)
    source = photos if data == "photos" else texts
    size = "image_size=32, " if data == "photos" else ""
    code = f"""
import sys
import zoo
zoo.finetune({name!r}, {str(source)!r}, weights="none", epochs=1, {size}workers=0,
             output={str(tmp_path / "run")!r}, report={needed >= REPORT})
print(*sorted({LIBRARIES!r} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == needed
