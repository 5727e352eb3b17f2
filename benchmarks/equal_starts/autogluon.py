"""AutoGluon's MultiModalPredictor, run by the Python of its own environment: it imports nothing of zoo.

Arguments: one JSON document with the fields of a job. Prints the accuracies as JSON.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

NETWORK = "tf_efficientnet_lite0"


def main() -> None:
    """Train and evaluate."""
    import pandas
    from autogluon.multimodal import MultiModalPredictor

    job = json.loads(sys.argv[1])
    images = job["dataset"] == "images"
    read = _images if images else _texts
    data = {
        split: pandas.DataFrame(read(Path(job["data"]), split))
        for split in ("train", "val", "test")
    }
    chosen: dict[str, Any] = {
        "optim.max_epochs": job["epochs"],
        "optim.patience": 10_000,
        "env.batch_size": job["batch"],
        "env.num_gpus": 0,
    }
    if images:
        chosen |= {"model.names": ["timm_image"], "model.timm_image.checkpoint_name": NETWORK}
        _start_from(Path(job["start"]))
    else:
        chosen |= {"model.names": ["hf_text"], "model.hf_text.checkpoint_name": job["start"]}
    predictor = MultiModalPredictor(label="label", path=job["work"], eval_metric="accuracy")
    predictor.fit(data["train"], tuning_data=data["val"], hyperparameters=chosen, seed=job["seed"])
    val, test = (predictor.evaluate(data[split])["accuracy"] for split in ("val", "test"))
    print(json.dumps({"val": float(val), "test": float(test)}))


def _images(folder: Path, split: str) -> list[dict[str, str]]:
    paths = sorted((folder / split).glob("*/*"))
    return [{"image": str(path), "label": path.parent.name} for path in paths]


def _texts(folder: Path, split: str) -> list[dict[str, str]]:
    with (folder / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def _start_from(weights: Path) -> None:
    """Let AutoGluon's image network start from the file, in place of a download."""
    import timm
    from autogluon.multimodal.models import timm_image
    from safetensors.torch import load_file

    def create(name: str, *, pretrained: bool = True, **options: Any) -> Any:
        net = timm.create_model(name, pretrained=False, **options)
        state = {k: v for k, v in load_file(weights).items() if not k.startswith("classifier.")}
        missing, unexpected = net.load_state_dict(state, strict=False)
        assert not unexpected, unexpected
        assert all(key.startswith("classifier.") for key in missing), missing
        return net

    timm_image.create_model = create


if __name__ == "__main__":
    main()
