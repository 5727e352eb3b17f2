"""Builds the dataloaders of a fine-tune."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from zoo.contract.spec import BackboneSpec
from zoo.data.samples import Pool, Samples
from zoo.engine.batch_norm import refuse_single_sample_batches
from zoo.engine.decoding import MOST_BYTES, worth_decoding
from zoo.engine.forward import Forward
from zoo.engine.loader_factory import LoaderFactory
from zoo.engine.placement import (
    AUTO,
    WORKERS,
    Placement,
    Wanted,
    choose_placement,
    measured_speeds,
    place,
)
from zoo.engine.progress import Reporter
from zoo.engine.streams import wait_for
from zoo.engine.training_setup import Dataloaders, PooledLoaders
from zoo.errors import ZooError
from zoo.modalities import modality_of
from zoo.modalities.batches import Placing
from zoo.training.plan import Plan


def make_dataloaders(
    plan: Plan, forward: Forward, reporter: Reporter, accelerator: Accelerator
) -> Dataloaders:
    """Make the dataloaders; where it saves time, inputs are decoded once into the cache.

    Raises:
        ZooError: An input cannot be read, or a batch is too small for batch normalisation.
    """
    dataloaders = _feeds(plan, reporter, accelerator)
    try:
        refuse_single_sample_batches(
            forward, plan.batch_norms, plan.recipe, lambda: dataloaders.val.batch([(0, 0)])
        )
    except ZooError:
        dataloaders.close()
        raise
    if note := _truncation_note(dataloaders, plan.backbone.spec):
        reporter.note(note)
    return replace(dataloaders, notes=(*plan.splits.notes, *([note] if note else [])))


def _truncation_note(dataloaders: Dataloaders, spec: BackboneSpec) -> str:
    readers = (dataloaders.train.reader, dataloaders.val.reader)
    cut = int(sum(reader.cut.sum() for reader in readers))
    count = sum(len(reader.samples) for reader in readers)
    return modality_of(spec).truncation_note(cut, count, spec)


def _feeds(plan: Plan, reporter: Reporter, accelerator: Accelerator) -> Dataloaders:
    request, splits, recipe, start = plan.request, plan.splits, plan.recipe, plan.start.start
    spec = start.backbone.spec
    loaders = LoaderFactory(
        spec=spec,
        tokenizer=start.tokenizer,
        workers=request.workers,
        flip=splits.flip,
        min_scale=splits.min_scale,
        augment=plan.opened.augment,
        balanced=recipe.balanced,
        seed=recipe.seed,
        pin=torch.cuda.is_available(),
        share=(accelerator.process_index, accelerator.num_processes),
        static=request.compile == "on" or accelerator.device.type != "cpu",
    )
    train, val = splits.train, splits.val
    assert val is not None
    epochs = sum(phase.epochs for phase in plan.phases if phase.trains_backbone)
    placing = modality_of(spec).placing(spec)
    streamed = None if placing is None else placing.streamed(train, accelerator.device)
    placement = _placement(plan, placing, epochs, accelerator, loaders, streamed)
    cached_train, cached_val = train, val
    whole_loaders = loaders
    if placement.bytes <= MOST_BYTES:
        cached_train, cached_val = _cached(plan, epochs, accelerator)
    if placing is not None and placement.memory:
        cached_train, cached_val, placement = place(
            placement,
            placing,
            cached_train,
            cached_val,
            device=accelerator.device,
            plain=loaders.plain,
            reporter=reporter,
        )
    elif words := placement.in_words(splits.kind.nouns, accelerator.device):
        reporter.note(words)
    if streamed is not None and placement.streamed:
        cached_train = streamed
    loaders = replace(loaders, augment_on=placement.augment_on)
    assert train.labels is not None
    assert val.labels is not None
    return Dataloaders(
        train=loaders.shuffled(cached_train, batch_size=recipe.batch_size),
        plain_train=lambda: loaders.plain(train),
        view=lambda number: loaders.view(cached_train, number),
        variation=loaders.variation,
        val=loaders.plain(cached_val),
        train_labels=train.labels,
        val_labels=val.labels,
        key=splits.fingerprint,
        source=splits.source,
        notes=splits.notes,
        placement=placement if placing else None,
        pool=_pooled(splits.pool, whole_loaders) if splits.pool else None,
    )


def _pooled(pool: Pool, loaders: LoaderFactory) -> PooledLoaders:
    """The dataloaders of all samples of a cross-validation."""
    words = loaders.tokenizer.to_str() if loaders.tokenizer else ""  # may be trained on the fold
    key = hashlib.sha256(f"{pool.samples.fingerprint}\n{words}".encode()).hexdigest()
    return PooledLoaders(
        plain_train=lambda: loaders.plain(pool.samples),
        view=lambda number: loaders.view(pool.samples, number),
        train=pool.train,
        val=pool.val,
        count=len(pool.samples),
        key=key,
    )


def _placement(
    plan: Plan,
    placing: Placing | None,
    epochs: int,
    accelerator: Accelerator,
    loaders: LoaderFactory,
    streamed: Samples | None,
) -> Placement:
    """Where batches are made; on all processes alike."""
    train, val, alone = plan.splits.train, plan.splits.val, accelerator.num_processes == 1

    def speeds() -> dict[str, float]:
        if streamed is None or not alone:
            return {}
        device, workers = (
            loaders.shuffled(samples, batch_size=plan.recipe.batch_size)
            for samples in (streamed, train)
        )
        return measured_speeds(
            list(workers.order)[:3],
            device.reader,
            workers.reader,
            processes=max(1, workers.num_workers),
            wait=lambda: wait_for(accelerator.device),
        )

    wanted = Wanted(
        asked=plan.request.augment_on or AUTO,
        device=accelerator.device,
        epochs=epochs,
        views=plan.recipe.cached_views,
        augment=plan.opened.augment,
        processes=accelerator.num_processes,
        streamed=streamed is not None and bool(plan.request.streamed),
    )
    assert val is not None
    placement = choose_placement(wanted, placing, train, val, speeds=speeds)
    if not alone and WORKERS in gather_object([placement.augment_on]):
        return Placement(reason=placement.reason)
    return placement


def _cached(plan: Plan, epochs: int, accelerator: Accelerator) -> tuple[Samples, Samples]:
    """Training and validation samples, decoded into the cache where that saves time."""
    splits, spec, modality = plan.splits, plan.backbone.spec, modality_of(plan.backbone.spec)
    train, val = splits.train, splits.val
    assert val is not None
    decoding = modality.decoding(spec, train=True)
    asked, device = plan.request.cache_images, accelerator.device
    if decoding is None or not worth_decoding(asked, decoding, device=device, epochs=epochs):
        return train, val
    with accelerator.main_process_first():
        plain = modality.decoding(spec, train=False)
        return (
            plan.opened.decoded.of(train, decoding),
            plan.opened.decoded.of(val, plain or decoding),
        )
