"""Coverage, calibration and refusal of probes, over resplits of their features.

    zoo embed lite0 clothing --output features.npy
    zoo embed lite0 digits --output digits.npy
    python -m benchmarks.calibration features.npy --unlike digits.npy

Each resplit draws training, validation and test samples again from all rows, fits a linear probe,
and fits on validation what ``calibration.json`` holds. Stated are means over the resplits, on test.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.runs.calibrating import calibrated
from zoo.runs.feature_bank import MOST, FeatureBank
from zoo.runs.reliability import calibration
from zoo.tasks.single_label import SingleLabel

COVERAGE, REJECT = 0.9, 0.05


def resplit(
    features: NDArray[Any], labels: NDArray[np.int64], unlike: Sequence[NDArray[Any]], *,
    seed: int, c: float,
) -> dict[str, float]:  # fmt: skip
    """What one resplit gives: 60 % training, 20 % validation, 20 % test."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

    order = np.random.default_rng(seed).permutation(len(labels))
    train, val, test = np.split(order, [int(0.6 * len(order)), int(0.8 * len(order))])
    scale = StandardScaler().fit(features[train])
    probe = LogisticRegression(C=c, max_iter=1000).fit(
        scale.transform(features[train]), labels[train]
    )

    def logits(rows: NDArray[Any]) -> torch.Tensor:
        found = probe.decision_function(scale.transform(rows))
        return torch.from_numpy(found if found.ndim == 2 else np.stack([-found, found], 1) / 2)

    bank, task = FeatureBank.of(torch.from_numpy(features[train][:MOST])), SingleLabel()

    def distances(rows: NDArray[Any]) -> NDArray[np.float64]:
        return bank.distances(torch.from_numpy(rows)).double().numpy()

    names = [str(place) for place in range(int(labels.max()) + 1)]
    fitted = calibrated(
        task, logits(features[val]), labels[val], names, distances=distances(features[val])
    )
    assert fitted is not None
    assert fitted.distance is not None
    new, limit = logits(features[test]), fitted.conformal[0].quantile(COVERAGE)
    far = fitted.distance.quantile(1 - REJECT)
    assert limit is not None
    assert far is not None
    sets = [each["prediction_set"] for each in task.promised(task.decode(new), [limit], names)]
    usual = distances(features[test])
    found = {
        "accuracy": float((new.argmax(dim=1).numpy() == labels[test]).mean()),
        "temperature": fitted.temperature,
        "coverage": float(
            np.mean([names[y] in s for y, s in zip(labels[test], sets, strict=True)])
        ),
        "classes in a set": float(np.mean([len(each) for each in sets])),
        "rejected": float((usual > far).mean()),
    }
    for key, temperature in (("ECE before", 1.0), ("ECE after", fitted.temperature)):
        measured = calibration(task, task.decode(new / temperature), labels[test])
        assert measured is not None
        found[key] = measured.error
    for number, rows in enumerate(unlike):
        truth = [0] * len(usual) + [1] * len(rows)
        found[f"AUROC {number}"] = float(roc_auc_score(truth, [*usual, *distances(rows)]))
    return found


def main() -> None:
    """Print the means, and of the coverage the lowest and highest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("features", type=Path, help="from zoo embed, with labels")
    parser.add_argument(
        "--unlike", type=Path, nargs="*", default=[], help="features of other inputs"
    )
    parser.add_argument("--resplits", type=int, default=20)
    parser.add_argument("--c", type=float, default=0.01, help="inverse regularisation of the probe")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.features.with_suffix(".jsonl").open()]
    _, labels = np.unique([str(row["label"]) for row in rows], return_inverse=True)
    features, unlike = np.load(options.features), [np.load(path) for path in options.unlike]
    found = [
        resplit(features, labels, unlike, seed=seed, c=options.c)
        for seed in range(options.resplits)
    ]
    for key in found[0]:
        values = [each[key] for each in found]
        name = options.unlike[int(key.split()[1])].stem if key.startswith("AUROC") else ""
        print(f"{key} {name}: {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")


if __name__ == "__main__":
    main()
