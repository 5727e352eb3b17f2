"""zoo's default and its probe, and logistic regression on features of the same network."""

from __future__ import annotations

from typing import Any

import zoo
from benchmarks.equal_starts.job import NETWORK, Job, Scores
from zoo.engine.progress import Quiet

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""scikit-learn's C, of which the best on ``val`` is chosen."""


def two_stage(job: Job) -> Scores:
    """zoo's default with pretrained weights."""
    return _finetune(job, epochs=job.epochs)


def probe(job: Job) -> Scores:
    """zoo's linear probe."""
    return _finetune(job, strategy="probe")


def _finetune(job: Job, **options: Any) -> Scores:
    run = zoo.finetune(
        _name(job),
        job.data,
        seed=job.seed,
        output=job.work / "run",
        report=False,
        reporter=Quiet(),
        **_input(job),
        **options,
    )
    test = run.evaluate(job.data, split="test")["test"].metrics["accuracy"]
    return Scores(float(run.metrics["accuracy"]), float(test))


def regression(job: Job) -> Scores:
    """scikit-learn's logistic regression on standardised features."""
    import numpy as np
    import pyarrow.parquet as pq
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    path = job.work / "features.parquet"
    zoo.embed(_name(job), job.data, output=path, **_input(job))
    table = pq.read_table(path)
    split = np.array(table["split"].to_pylist())
    features, labels = np.stack(table["features"].to_numpy()), np.array(table["label"].to_pylist())
    best = Scores(-1.0, 0.0)
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        model.fit(features[split == "train"], labels[split == "train"])
        val, test = (model.score(features[split == s], labels[split == s]) for s in ("val", "test"))
        best = max(best, Scores(float(val), float(test)), key=lambda scores: scores.val)
    return best


def _name(job: Job) -> str:
    return f"timm/{NETWORK}" if job.dataset == "images" else f"path:{job.start}"


def _input(job: Job) -> dict[str, Any]:
    if job.dataset == "texts":
        return {"max_length": job.length}
    return {"weights": str(job.start), "image_size": job.size}
