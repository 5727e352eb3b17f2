"""The options of commands that read labelled data and train nothing on them."""

from __future__ import annotations

from zoo.cli.hyperparameters import shared

labelled_data = shared(
    text_column=None,
    label_column=None,
    task=None,
    bad_files="What to do with unreadable inputs (default: error).",
    quoting=None,
)
