"""Checks of what a plugin offers beside backbones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from zoo.contract.extensions import imported
from zoo.contract.modalities import registered
from zoo.contract.readers import registered_readers
from zoo.engine.chosen_strategy import STRATEGY
from zoo.engine.heads import HEAD
from zoo.engine.optimizers import OPTIMIZER
from zoo.errors import ZooError, first_line
from zoo.export.exporters import EXPORTER
from zoo.modalities.augmentations import AUGMENTATION
from zoo.registry.offers import Offer
from zoo.registry.readers import offered
from zoo.system.tensors.seeds import seed_devices
from zoo.tasks import TASK
from zoo.tasks.losses import LOSS
from zoo.tasks.metrics import METRIC
from zoo.testing.checks import NotApplicable
from zoo.testing.offered.adapters import check_adapter
from zoo.testing.offered.augmentations import check_augmentation
from zoo.testing.offered.exporters import check_exporter
from zoo.testing.offered.heads import check_head
from zoo.testing.offered.losses import check_loss
from zoo.testing.offered.metrics import check_metric
from zoo.testing.offered.modalities import check_modality, modality_offer
from zoo.testing.offered.optimizers import check_optimizer
from zoo.testing.offered.readers import check_reader
from zoo.testing.offered.strategies import check_strategy
from zoo.testing.published import PluginCheck, PublishedCatalogue
from zoo.weights.find_adapter import ADAPTER


def heads_can_be_trained(plugin: PublishedCatalogue) -> None:
    """Every head has the requested number of outputs, gets gradients, and can be reopened."""
    with torch.random.fork_rng():
        seed_devices(0)
        _each(plugin.offers(HEAD), check_head)


def strategies_make_valid_phases(plugin: PublishedCatalogue) -> None:
    """Every strategy makes valid phases for any stages; those that need an argument are not called."""
    _each(plugin.offers(STRATEGY), check_strategy)


def metrics_have_sensible_values(plugin: PublishedCatalogue) -> None:
    """Every metric is finite or says why not, is best for perfect predictions, and ignores order."""
    _each(plugin.offers(METRIC), check_metric)


def losses_can_be_trained(plugin: PublishedCatalogue) -> None:
    """Every loss is finite, lower for correct than for wrong predictions, and has a gradient."""
    _each(plugin.offers(LOSS), check_loss)


def optimizers_lower_a_loss_and_resume(plugin: PublishedCatalogue) -> None:
    """Every optimiser lowers a loss, and a stopped run continues to the same bytes."""
    _each(plugin.offers(OPTIMIZER), check_optimizer)


def adapters_can_be_trained(plugin: PublishedCatalogue) -> None:
    """Every adapter starts without effect, alone changes in a step, and merges without a difference."""
    with torch.random.fork_rng():
        seed_devices(0)
        _each(plugin.offers(ADAPTER), check_adapter)


def augmentations_can_be_repeated(plugin: PublishedCatalogue) -> None:
    """Every augmentation gives finite images of the same size and mode, the same from one seed."""
    _each(plugin.offers(AUGMENTATION), check_augmentation)


def readers_give_tables(plugin: PublishedCatalogue) -> None:
    """Every reader gives rows and columns of its example, the same each time."""
    provided = [each for each in registered_readers().values() if each.plugin == plugin.source.name]
    _each([offered(each) for each in dict.fromkeys(provided)], check_reader)


def modalities_prepare_inputs(plugin: PublishedCatalogue) -> None:
    """Every modality reads its demo data, and prepares finite tensors, the same from one seed."""
    provided = [each for each in registered().values() if each.plugin == plugin.source.name]
    _each([modality_offer(each) for each in provided], partial(check_modality, specs=plugin.specs))


def exports_match_the_run(plugin: PublishedCatalogue) -> None:
    """Every export format reproduces the run's outputs, or says why it cannot be loaded."""
    _each(plugin.offers(EXPORTER), check_exporter)


def functions_can_be_imported(plugin: PublishedCatalogue) -> None:
    """Tasks, metrics, losses, augmentations, formats and readers name existing functions."""
    for kind in (TASK, METRIC, LOSS, AUGMENTATION, EXPORTER):
        _each(plugin.offers(kind), _check_functions)
    for reader in registered_readers().values():
        if reader.plugin == plugin.source.name:
            assert callable(imported(reader.read)), f"the reader {reader.read} is not a function"


FUNCTIONS = ("formula", "apply", "apply_batch", "write", "run")
"""Fields that hold a function; some may be empty."""


def _check_functions(offer: Offer[Any]) -> None:
    given = offer.value
    fields = getattr(given, "__dataclass_fields__", {}) if not isinstance(given, type) else {}
    functions = [
        *getattr(given, "measures", {}).values(),
        *(getattr(given, name) for name in FUNCTIONS if name in fields),
    ]
    for function in filter(None, functions):
        assert callable(imported(function)), f"the {offer} names {function!r}, not a function"


def _each(offers: Sequence[Offer[Any]], check: Callable[[Offer[Any]], None]) -> None:
    """Check all, and list those that fail.

    Raises:
        NotApplicable: None fails, but some cannot be checked.
    """
    failures, skipped = [], []
    for offer in offers:
        try:
            check(offer)
        except NotApplicable as reason:
            skipped.append(str(reason))
        except (AssertionError, ZooError) as error:
            message = getattr(error, "message", str(error))
            failures.append(message if str(offer) in message else f"{offer}: {message}")
        except (Exception, SystemExit) as error:
            failures.append(f"{offer} raised {first_line(error, kind=True)}")
    assert not failures, "; ".join(failures)
    if skipped:
        raise NotApplicable("; ".join(skipped))


OFFER_CHECKS: Sequence[PluginCheck] = (
    heads_can_be_trained,
    strategies_make_valid_phases,
    metrics_have_sensible_values,
    losses_can_be_trained,
    optimizers_lower_a_loss_and_resume,
    adapters_can_be_trained,
    augmentations_can_be_repeated,
    readers_give_tables,
    modalities_prepare_inputs,
    exports_match_the_run,
    functions_can_be_imported,
)
