"""The optimiser of one phase, and its training step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from zoo.contract.network.recomputing import recomputed
from zoo.engine import sharding
from zoo.engine.averaging import Average
from zoo.engine.batch_norm import training_norms
from zoo.engine.batch_size import is_out_of_memory
from zoo.engine.break_even import Timing
from zoo.engine.compile_switch import Stretch, Switch
from zoo.engine.convolutions import fast_weight_gradients
from zoo.engine.dropout import fast_dropout
from zoo.engine.embeddings import EmbeddingGradients
from zoo.engine.groups import parameter_groups
from zoo.engine.l2sp import L2SP
from zoo.engine.loss_scale import LossScale
from zoo.engine.micro_batches import micro_batches
from zoo.engine.optimizer_state import OptimizerState
from zoo.engine.optimizers import make_optimizer
from zoo.engine.readings import StepResult
from zoo.engine.replacing import replaced
from zoo.engine.schedules import schedule
from zoo.engine.sources import Inputs, Source, Step
from zoo.engine.strategies import Phase
from zoo.engine.timetable import Timetable
from zoo.engine.trainable import choose_trained, same_until, trained_names
from zoo.engine.training_setup import TrainingSetup
from zoo.system.tensors.seeds import mixed_seed, seed_devices


class Learner:
    """Trains the parameters of one phase.

    A step depends only on the tensors held here and on the step's number, so that a resumed run
    ends like an uninterrupted one.

    Attributes:
        accumulate: Micro-batches per step.
        average: The EMA of the weights, if the recipe has one.

    Args:
        setup: Everything that the phases share.
        phase: Its parameters, epochs and learning rate.
        number: Number of the phase, from 0.
        source: Its batches, and the module to call on them.
        l2sp: The L2-SP penalty, if any.
        timetable: Its steps, which a time limit may cut; default: all of its epochs.
        done: Completed steps of the phase.
        factor: From a step's number to the factor on the learning rate; default: the recipe's
            schedule.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        phase: Phase,
        number: int,
        source: Source,
        l2sp: L2SP | None = None,
        *,
        timetable: Timetable | None = None,
        done: int = 0,
        factor: Callable[[float], float] | None = None,
    ) -> None:
        self._setup, self._phase, self._number = setup, phase, number
        self._source = source
        self._recipe, self._forward = setup.recipe, setup.forward
        self._timetable = timetable or Timetable(source.steps, phase.epochs)
        self._total = self._timetable.planned
        self._factor = factor or schedule(self._recipe.schedule, self._total, self._recipe.warmup)
        self.accumulate = self._recipe.accumulate if phase.trains_backbone else 1
        self.average: Average | None = None
        self._min_part = 1
        again = self._recipe.activation_checkpointing and phase.trains_backbone
        self._blocks = self._forward.backbone.blocks() if again else []
        self._l2sp = l2sp if phase.trains_backbone else None
        self._scale = LossScale(self._forward.device) if self._forward.scaled else None
        self._embeddings = EmbeddingGradients()
        self._optimizer: torch.optim.Optimizer | None = None
        self._names: tuple[str, ...] = ()
        self._switch: Switch | None = None
        self._until = self._total
        self._update_trained(done)

    def begin(self) -> None:
        """Switch to training mode at the beginning of an epoch."""
        self._model.train()

    # -- one step ----------------------------------------------------------------------------

    def step(self, number: int, step: Step) -> StepResult:
        """Take one step, without waiting for the device.

        Args:
            number: Number of the step in the phase, from 0.
            step: Its samples.
        """
        self._update_trained(number)
        assert self._optimizer is not None
        factor = self._factor(self._timetable.place(number))
        for group in self._optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor
        while True:
            began = time.perf_counter()
            call = self._call(number, step.samples)
            with self._forward.masks_kept(call is not self._model):
                inputs, targets = self._source.place(step, number)
            try:
                loss = self._gradients(call, inputs, targets, step.samples, number)
                if self._switch and self._switch.fresh():
                    spent = time.perf_counter() - began
                    self._setup.parts.move(spent, "training", "compiling")
                break
            except Exception as error:
                if not (self._uncompiled(error, number) or self._halve(error, len(targets))):
                    raise
        if self._scale:
            self._scale.unscale(self._optimizer)
        if self._l2sp:
            self._l2sp.add_gradients()
        clip = sharding.clipping(self._setup.accelerator)
        norm = sharding.gather(clip(self._trained, self._recipe.max_grad_norm))
        if self._scale:
            self._scale.step(self._optimizer)
        else:
            self._prepared.step()
        self._prepared.zero_grad()
        if self.average:
            self.average.update()
        return StepResult(loss, norm)

    def _call(self, number: int, samples: int) -> Callable[[Inputs], Tensor]:
        """The network, or its compiled code, which is for full steps: others do not repay it."""
        whole = self._forward.ragged or samples == self._recipe.batch_size
        return (self._switch.call(number) if self._switch and whole else None) or self._model

    def _gradients(
        self,
        call: Callable[[Inputs], Tensor],
        inputs: Inputs,
        targets: Tensor,
        samples: int,
        number: int,
    ) -> Tensor:
        """Gradients of the mean loss over the step's samples of all processes; the loss's sum."""
        accelerator = self._setup.accelerator
        seed_devices(
            mixed_seed(self._recipe.seed, self._number, number, accelerator.process_index)
        )  # dropout depends only on the step
        total = torch.zeros((), device=self._forward.device)
        cut = list(micro_batches(inputs, targets, self.accumulate, self._min_part))
        for index, (some, expected) in enumerate(cut):
            last = index == len(cut) - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self._model):
                with self._forward.autocast(), recomputed(self._blocks), self._faster(call):
                    logits = call(some)  # (b, outputs)
                losses = self._setup.loss(logits.float(), expected)  # (b,)
                mean = losses.sum() * (accelerator.num_processes / samples)
                accelerator.backward(self._scale.scaled(mean) if self._scale else mean)
            total += losses.detach().sum()
        return total

    def timed(self, timing: Timing, done: int) -> int | None:
        """Decide on compiling, from the seconds of the latest steps.

        Args:
            timing: Of these steps.
            done: Completed steps of the phase.

        Returns:
            After how many steps the next timing is needed; ``None`` for at any time.
        """
        if not self._switch:
            return None
        self._switch.add(timing, done, max(0, min(self._until, self._timetable.total) - done))
        return self._switch.soon

    def _uncompiled(self, error: Exception, number: int) -> bool:
        """Whether to repeat a step that failed because it was compiled, without that."""
        if not (self._switch and self._switch.failed(error, number)):
            return False
        self._prepared.zero_grad()
        return True

    def _faster(self, call: object) -> AbstractContextManager[object]:
        """Faster functions, unless layers run again in the backward pass, or compiled."""
        if self._blocks or call is not self._model:
            return contextlib.nullcontext()
        net, device = self._forward.backbone.net, self._forward.device
        functions = {**fast_weight_gradients(net, device), **fast_dropout(net, device)}
        if self._setup.accelerator.num_processes == 1:
            functions.update(self._embeddings.replacing(net, device))
        return replaced(functions)

    def _halve(self, error: Exception, samples: int) -> bool:
        """Halve the micro-batches to retry the step after running out of memory, if allowed."""
        can_halve = self.accumulate * self._min_part < samples
        if not (is_out_of_memory(error) and self._recipe.fit_memory and can_halve):
            return False
        self._prepared.zero_grad()
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()
        self.accumulate *= 2
        size = -(-samples // self.accumulate)
        self._setup.reporter.note(f"out of memory: using micro-batches of {size} samples")
        return True

    # -- trained parameters ------------------------------------------------------------------

    def _update_trained(self, number: int) -> None:
        """Freeze and unfreeze for step ``number``; keeps the optimiser state of trained parameters."""
        backbone = self._forward.backbone
        if self._names and not self._phase.gradual:
            return
        choose_trained(
            backbone, self._phase, self._recipe, done=self._timetable.place(number) / self._total
        )
        names = trained_names(backbone)
        if names == self._names:
            return
        self.gather()
        held = self.tensors() if self._optimizer else {}
        groups = parameter_groups(
            backbone,
            lr=self._phase.lr,
            layer_decay=self._phase.layer_decay,
            weight_decay=self._recipe.weight_decay,
            base_width=self._recipe.base_width,
        )
        for group in groups:
            group["full_lr"] = group["lr"]
        trained, accelerator = self._source.trained, self._setup.accelerator
        if accelerator.is_fsdp2:
            trained, groups = sharding.copy_to_shard(trained, groups)
        name = self._phase.optimizer or self._recipe.optimizer
        offer, device = self._setup.optimizers[name], self._forward.device
        optimizer = make_optimizer(offer, groups, device)
        self._names, self._optimizer = names, optimizer
        accelerator.free_memory()
        self._model, self._prepared = accelerator.prepare(trained, optimizer)
        self._model.train()
        # Batch normalisation may not work with one sample; see refuse_single_sample_batches.
        roomy = self._recipe.batch_size >= 2 * self._recipe.accumulate
        self._min_part = 2 if roomy and training_norms(backbone) else 1
        self._update_compiled(number)
        self._state = OptimizerState(optimizer, self._parameters())
        # In the model's order, as Accelerate expects for sharded parameters.
        self._trained = [p for p in self._model.parameters() if p.requires_grad]
        self.load_tensors(held, accumulate=self.accumulate)
        if self._recipe.ema and self._phase.trains_backbone:
            average = Average(backbone, decay=self._recipe.ema)
            if self.average:
                average.load_state_dict({**average.state_dict(), **self.average.state_dict()})
            self.average = average

    def _update_compiled(self, number: int) -> None:
        """Begin a stretch of steps with the same trained parameters, in which code can be kept."""
        forward, phase, recipe = self._forward, self._phase, self._recipe
        if self._blocks or not (forward.compiler and self._source.compilable):
            return
        if self._switch:
            self._switch.end(number)
        self._until = same_until(forward.backbone, phase, number, self._total)
        size = recipe.batch_size // self.accumulate
        fixed = not forward.ragged and self.accumulate == 1
        stretch = Stretch(
            of=phase.name,
            number=self._number,
            net=self._model,
            call=self._model,
            shapes=(size, forward.backbone.spec.to_json()["input"], forward.precision),
            dynamic=forward.ragged,
            graphs=fixed and forward.device.type == "cuda",
        )
        self._switch = Switch(forward.compiler, stretch, number)

    # -- state -------------------------------------------------------------------------------

    def gather(self) -> None:
        """Copy sharded parameters back into the backbone; every process must call it."""
        if self._optimizer and self._setup.accelerator.is_fsdp2:
            state = self._model.state_dict()
            self._source.trained.load_state_dict(
                {name: sharding.gather(tensor) for name, tensor in state.items()}
            )

    def tensors(self) -> dict[str, Tensor]:
        """The state to save beside the backbone: optimiser, EMA and loss scale."""
        assert self._optimizer is not None
        held = {f"optimizer/{k}": v for k, v in self._state.tensors().items()}
        if self.average:
            held |= {f"average/{k}": v for k, v in self.average.state_dict().items()}
        if self._scale:
            held |= {f"loss_scale/{k}": v for k, v in self._scale.tensors().items()}
        return held

    def load_tensors(self, tensors: Mapping[str, Tensor], *, accumulate: int) -> None:
        """Load what :meth:`tensors` returned, with ``accumulate`` micro-batches per step."""
        assert self._optimizer is not None
        self.accumulate = accumulate
        self._state.load_tensors(_under("optimizer/", tensors))
        if self.average:
            self.average.load_state_dict(_under("average/", tensors))
        if self._scale and tensors:
            self._scale.load_tensors(_under("loss_scale/", tensors))

    def _parameters(self) -> dict[str, nn.Parameter]:
        """The trained parameters, or this process's shards, by their names in the backbone."""
        names = {p: name for name, p in self._forward.backbone.named_parameters()}
        trained = zip(self._source.trained.parameters(), self._model.parameters(), strict=True)
        return {names[p]: local for p, local in trained}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
