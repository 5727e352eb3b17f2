"""Types of the options of ``zoo.finetune``, for editors and type checkers.

Made from the table of hyperparameters by ``python -m tests.options``; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from zoo.contract.input_options import InputOptions
    from zoo.contract.spec import Pooling
    from zoo.data.reports import BadFiles
    from zoo.data.sources.columns import ColumnNames
    from zoo.data.sources.dialects import Quoting
    from zoo.engine.recipe import Solver
    from zoo.runs.request import Resize


class FinetuneOptions(TypedDict, total=False):
    """Options of a fine-tune; ``None`` or a missing option means its default."""

    classes: int | None
    """Number of classes the data must have; for the demo data, how many to use."""
    task: str | None
    """auto (default: single- or multi-label, as the labels are), single-label, multi-label, regression, or a plugin's."""
    text_column: ColumnNames | None
    """Input column: texts or image paths; twice for text pairs."""
    label_column: ColumnNames | None
    """Label column; repeat for several targets, or one 0/1 column per label."""
    val_split: float | None
    """Fraction held out for validation if the data has no split (default: 0.2)."""
    test_split: float | None
    """Fraction set aside for a later test if the data has no test split (default: 0)."""
    bad_files: BadFiles | None
    """What to do with unreadable files and rows (default: error)."""
    quoting: Quoting | None
    """Quoting in CSV and TSV tables (default: detected)."""
    dedupe: bool | None
    """Drop training samples that also occur in validation or test."""
    group_column: str | None
    """Column of groups, such as patients: no split or fold divides a group."""
    group_pattern: str | None
    """Groups by file path: a regular expression, such as 'patient_([0-9]+)'."""
    group_table: str | None
    """Groups by file path: a table of paths and groups, for data in folders."""
    corrections: str | None
    """Decisions of 'zoo clean': a CSV of samples to relabel or drop."""
    folds: int | None
    """Cross-validate: train K times, each time validating on another part of the data."""
    image_size: int | None
    """Height and width of the images."""
    channels: int | None
    """Channels of the images: 1, 3 (default), 4, …; by default also those of multispectral images."""
    resize: Resize | None
    """How images are made square (default: as the weights were trained)."""
    value_range: tuple[float, float] | None
    """Black and white level of images deeper than 8 bits (default: from the training images)."""
    input: InputOptions | None
    """Input of a plugin's kind of data, such as seconds=5; 'zoo show MODEL' lists the names."""
    max_length: int | None
    """Maximum tokens per text; longer texts are truncated."""
    pooling: Pooling | None
    """How token vectors are pooled into one text vector."""
    weights: str | None
    """Pretrained weights to start from; none trains from scratch."""
    head: str | None
    """linear, mlp, or a plugin's."""
    keep_head: bool | None
    """Starting from a run: keep the head's rows of the classes it knows (default: on)."""
    merge: bool | None
    """Save the whole network with the adapter merged into it, not the adapter alone."""
    preset: str | None
    """Other defaults: fast (linear probe), balanced, best (longer, augmentation, average of weights)."""
    time_limit: str | float | None
    """End within this time, report included: trains as many of the epochs as fit, e.g. 90, 30m, 2h."""
    precision: str | None
    """Numerical precision (default: auto, bf16 or fp16 where fast)."""
    compile: str | None
    """Use torch.compile; auto (default): on a GPU, where it saves more time than it takes."""
    device: str | None
    """Device: auto (default), cpu, cuda, cuda:1, …"""
    workers: int | None
    """Number of data-loading processes."""
    cache_images: bool | None
    """Cache decoded images (default: where it pays off)."""
    augment_on: str | None
    """Where batches are augmented (default: auto, on an accelerator the device)."""
    strategy: str | None
    """probe (linear probe), full, two-stage (probe, then full), gradual (unfreeze stage by stage), last:N (probe, then the last N stages), lora, dora, ia3, bias, norm, or a plugin's."""
    epochs: int | None
    """Number of epochs of the last phase."""
    lr: float | None
    """Learning rate of the last phase."""
    batch_size: int | Literal["auto"] | None
    """Samples per step (default: 32 on a CPU, else auto); auto: measured for memory and speed."""
    freeze_until: str | None
    """Freeze all stages up to and including this one."""
    freeze: Sequence[str] | None
    """Freeze this layer; may be repeated."""
    unfreeze: Sequence[str] | None
    """Train this layer even if its stage is frozen; may be repeated."""
    lora_rank: int | None
    """Rank of the LoRA matrices (default: 8)."""
    lora_alpha: int | None
    """LoRA scale is A / R (default: 16)."""
    lora_dropout: float | None
    """Dropout on LoRA inputs (default: 0)."""
    layer_decay: float | None
    """Layer-wise learning-rate decay, per stage."""
    batch_norm: str | None
    """Statistics of batch normalisation while the backbone trains: stored (with the weights; default if there are any) or batch."""
    accumulate: int | None
    """Gradient accumulation: split each batch into N parts."""
    optimizer: str | None
    """adamw (default), sgd, adam, nadam, radam, adagrad, …, or a plugin's, such as timm's."""
    activation_checkpointing: bool | None
    """Compute activations again in the backward pass: less memory, slower."""
    schedule: str | None
    """Learning-rate schedule: cosine (default), linear, constant, one-cycle."""
    warmup: float | None
    """Fraction of steps for learning-rate warm-up (default: 0.1)."""
    max_grad_norm: float | None
    """Maximum gradient norm (default: 1)."""
    head_solver: Solver | None
    """Solver for head-only training: lbfgs (to convergence) or adamw."""
    cached_views: int | None
    """Number of augmented views per image to cache frozen features for."""
    patience: int | None
    """Early stopping: end a phase after N epochs without improvement."""
    metric: str | None
    """Metric that selects the best epoch: accuracy, auroc, auprc, mcc, macro_f1, map, rmse, top_k:3, …, or a plugin's."""
    loss: str | None
    """Training loss (default: the task's own): generalized-cross-entropy, huber, absolute-error, or a plugin's."""
    weight_decay: float | None
    """Weight decay."""
    dropout: float | None
    """Dropout on the features, before the head."""
    label_smoothing: float | None
    """Probability spread over all classes."""
    flip: bool | None
    """Mirror training images at random (default: on, if the data and the network allow it)."""
    random_crop: bool | None
    """Crop training images at random (default: on, if the network allows it)."""
    augment: str | None
    """Augmentation beyond crops and flips: none (default), trivial (TrivialAugment), or a plugin's."""
    mixup: float | None
    """MixUp strength; 0 is off."""
    cutmix: float | None
    """CutMix strength; 0 is off."""
    l2sp: float | None
    """L2-SP: penalty on the distance from the pretrained weights."""
    ema: float | None
    """Decay of the exponential moving average of the weights, e.g. 0.99."""
    private: float | None
    """Train the head with differential privacy for this epsilon; strategy probe only."""
    private_delta: float | None
    """Delta of --private (default: 0.1 / training samples)."""
    class_weights: bool | None
    """Weight the loss by inverse class frequency."""
    balanced: bool | None
    """Sample each class equally often."""
    focal: float | None
    """Gamma of the focal loss, e.g. 2."""
    seed: int | None
    """Random seed (default: 0)."""
