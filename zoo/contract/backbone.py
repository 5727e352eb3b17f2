"""The contract that every network meets: features, a head, stages, freezing, native weights."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from zoo.contract.stages import Stage, Stages, lies_under
from zoo.contract.unpadded import by_length
from zoo.errors import ContractError, HeadWidthError, WeightsError, first_line
from zoo.system.tensors.torch_workarounds import spare_group_norms
from zoo.system.tensors.torchvision_operators import declare_missing_operators

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from zoo.contract.spec import BackboneSpec

declare_missing_operators()

Batch = Mapping[str, Tensor]
"""Images: ``pixel_values`` ``(B, 3, H, W)``. Text: ``input_ids`` and ``attention_mask`` ``(B, T)``,
and with pairs of texts perhaps ``token_type_ids`` ``(B, T)``, which a network may pass over."""

Extract = Callable[[nn.Module, Batch], Tensor]
StateDict = dict[str, Tensor]


def image_features(net: nn.Module, batch: Batch) -> Tensor:
    """The output of a network for pictures whose head has been taken out: ``(B, feature_dim)``."""
    features: Tensor = net(batch["pixel_values"])
    return features


class Backbone(nn.Module):
    """A network without its head, and the head beside it.

    It holds the library's own network in ``net``, with an identity where the head was, so that
    anything about the network can be seen and changed with the library's own names.

    Build one with :meth:`wrap`. Attributes: ``spec`` (what it was built from), ``net``, ``head``
    (from ``(B, feature_dim)`` to ``(B, outputs)``; an identity where no head was published),
    ``head_path`` (where the head sits among the native names), ``head_bias`` (whether a linear
    head has a bias: the library's own classifier would drop one that it has no place for),
    ``tokenizer`` (texts only), ``prefix_tokens`` (as of :meth:`wrap`), ``unpadded`` (whether the texts of each length are
    computed apart, because padding would change their features; :func:`build` measures it),
    ``weights_notes`` (which parameters the loaded weights do not hold, in words), ``head_flaw``
    (why the published head is not there, or not as its plugin states; empty where it is).
    """

    def __init__(
        self,
        *,
        spec: BackboneSpec,
        net: nn.Module,
        head: nn.Module,
        head_path: str,
        stages: Sequence[Stage],
        extract: Extract,
        tokenizer: Tokenizer | None = None,
        to_native: Callable[[StateDict], StateDict] | None = None,
        from_native: Callable[[StateDict], StateDict] | None = None,
        to_file: Callable[[StateDict, str], StateDict] | None = None,
        native: Callable[[int], nn.Module] | None = None,
        native_files: Callable[[Backbone, Sequence[str], str], Mapping[str, str]] | None = None,
        native_code: Callable[[Backbone], str] | None = None,
        adaptable: Iterable[str] = (),
        unadaptable: Iterable[str] = (),
        prefix_tokens: int | None = None,
        token_embedding: str = "",
        loaded: Callable[[StateDict], StateDict] | None = None,
    ) -> None:
        super().__init__()
        spare_group_norms(net)
        self.spec = spec
        self.net = net
        self.head = head
        self.head_bias = not (isinstance(head, nn.Linear) and head.bias is None)
        self.head_path = head_path
        self.tokenizer = tokenizer
        self.prefix_tokens = prefix_tokens
        self._stages = Stages(spec.name, stages)
        self.check_stages()
        self._extract = extract
        self._to_native = to_native
        self._from_native = from_native
        self._to_file = to_file
        self._native = native
        self._native_files = native_files
        self._native_code = native_code
        self._adaptable = frozenset(adaptable)
        self._unadaptable = frozenset(unadaptable)
        self._token_embedding = token_embedding
        self.unpadded = False
        self.weights_notes: tuple[str, ...] = ()
        self.head_flaw = ""
        self._loaded = loaded

    @classmethod
    def wrap(
        cls,
        net: nn.Module,
        *,
        spec: BackboneSpec,
        head: str,
        stages: Mapping[str, Iterable[str]] | Iterable[str],
        extract: Extract = image_features,
        tokenizer: Tokenizer | None = None,
        to_native: Callable[[StateDict], StateDict] | None = None,
        from_native: Callable[[StateDict], StateDict] | None = None,
        to_file: Callable[[StateDict, str], StateDict] | None = None,
        native: Callable[[int], nn.Module] | None = None,
        native_files: Callable[[Backbone, Sequence[str], str], Mapping[str, str]] | None = None,
        native_code: Callable[[Backbone], str] | None = None,
        adaptable: Iterable[str] = (),
        unadaptable: Iterable[str] = (),
        prefix_tokens: int | None = None,
        token_embedding: str = "",
        loaded: Callable[[StateDict], StateDict] | None = None,
    ) -> Self:
        """Make a backbone of a library's network.

        Args:
            net: The network. If it has a module at ``head``, that module is taken out, and an
                identity put in its place.
            spec: What the network was built from.
            head: Path of the head, e.g. ``classifier.6``. A network without a head keeps the
                path as the place of a later head among the native names.
            stages: Ordered, input first: names to module (or parameter) paths, or paths alone,
                which are then the names. Together they hold every parameter but the head's.
            extract: From the network and a batch to ``(B, feature_dim)``; the default calls the
                network on ``pixel_values``.
            tokenizer: The text network's own tokenizer.
            to_native: Turns the plain names and shapes into the library's, where they differ.
            from_native: Its inverse, and that of ``to_file``.
            to_file: From the plain names and shapes and the name of the task to what the file of
                a run holds, where that depends on the task.
            native: Builds the library's own network with that many outputs, where putting the
                head back at its path does not make one.
            native_files: From the backbone, the class names and what makes answers of outputs to the text
                files that the library wants beside the weights, e.g. ``config.json``.
            native_code: From the backbone, whose head is linear, to Python source that needs no
                zoo: ``load(folder)``, the library's network with the ``model.safetensors`` in
                ``folder``, in evaluation mode; ``logits(network, batch)``, its outputs.
            adaptable: Modules of the library's own that PEFT can put LoRA beside, although they
                are none of torch's linear layers or convolutions.
            unadaptable: Modules whose weights the network reads without calling the module, so
                that an adapter there would do nothing.
            prefix_tokens: Of a network whose layers give tokens, ``(B, T, width)``, in which each
                but the first few stands for a place of the picture, row by row: how many come
                first that do not, such as a class token. ``None`` for any other network.
            token_embedding: Path of the layer that makes vectors of token ids, where it is not
                the first ``nn.Embedding`` with a row for each token.
            loaded: Only where the library itself has read the weights into ``net``: from the
                tensors of its file to the names and shapes of ``net``. The core then compares
                them instead of loading them.

        Raises:
            ContractError: A parameter lies in no stage, or a stage holds none.
        """
        if isinstance(stages, Mapping):
            groups = [Stage(name, tuple(paths)) for name, paths in stages.items()]
        else:
            groups = [Stage(path, (path,)) for path in stages]
        return cls(
            spec=spec,
            net=net,
            head=_take_out(net, head),
            head_path=head,
            stages=groups,
            extract=extract,
            tokenizer=tokenizer,
            to_native=to_native,
            from_native=from_native,
            to_file=to_file,
            native=native,
            native_files=native_files,
            native_code=native_code,
            adaptable=adaptable,
            unadaptable=unadaptable,
            prefix_tokens=prefix_tokens,
            token_embedding=token_embedding,
            loaded=loaded,
        )

    # -- the way forward ---------------------------------------------------------------------

    def features(self, batch: Batch | Tensor) -> Tensor:
        """``(B, feature_dim)``, whatever the head is. A bare tensor stands for ``pixel_values``.

        Raises:
            ContractError: The network gives features of another shape than its spec declares.
        """
        plain = _as_batch(batch)
        if self.unpadded and not plain["attention_mask"].is_meta:
            features = by_length(self._extract, self.net, plain)
        else:
            features = self._extract(self.net, plain)
        if features.ndim != 2 or features.shape[-1] != self.spec.feature_dim:
            raise ContractError(
                f"{self.spec.name} declares features of width {self.spec.feature_dim} and gives "
                f"{tuple(features.shape)}",
                hint=f"Its plugin is at fault: 'zoo check {self.spec.name}' shows more.",
            )
        return features

    def forward(self, batch: Batch | Tensor) -> Tensor:
        """``head(features(batch))``: ``(B, outputs)``."""
        logits: Tensor = self.head(self.features(batch))
        return logits

    # -- the head ----------------------------------------------------------------------------

    def replace_head(self, head: nn.Module | int) -> None:
        """Put ``head`` after the features; backbone tensors stay bit-identical.

        Args:
            head: Maps ``(B, feature_dim)`` to ``(B, n)``; moved to the backbone's device and
                dtype. A number ``n`` stands for a linear layer with ``n`` outputs.

        Raises:
            HeadWidthError: ``head`` expects another width than ``feature_dim``.
        """
        reference = next(self.net.parameters())
        if isinstance(head, int):
            head = nn.Linear(self.spec.feature_dim, head, bias=self.head_bias)
        head = head.to(device=reference.device, dtype=reference.dtype)
        self._check_head(head, reference)
        self.head = head.train(self.training)

    def _check_head(self, head: nn.Module, reference: Tensor) -> None:
        width, training = self.spec.feature_dim, head.training
        probe = torch.zeros(2, width, device=reference.device, dtype=reference.dtype)
        try:
            with torch.no_grad():
                output = head.eval()(probe)
        except RuntimeError as error:
            raise HeadWidthError(
                f"the head does not take features of width {width}, which {self.spec.name} has: "
                f"{first_line(error)}",
                hint=f"Build the head for (B, {width}), e.g. torch.nn.Linear({width}, classes).",
            ) from error
        finally:
            head.train(training)
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 2:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise HeadWidthError(f"the head must return (B, outputs); for B = 2 it gave {shape}")

    # -- stages and freezing -----------------------------------------------------------------

    def check_stages(self) -> None:
        """Demand that every parameter of ``net`` lies in one stage, and that no stage is empty.

        Nor may any be an integer, or something else than a tensor, as quantized layers have them.

        Raises:
            ContractError: It is not so, for example after a layer has been replaced.
        """
        quantised = [
            f"{key} is {getattr(value, 'dtype', type(value).__name__)}"
            for key, value in [*self.net.named_parameters(), *self.net.state_dict().items()]
            if not isinstance(value, Tensor)
            or (isinstance(value, nn.Parameter) and not value.is_floating_point())
        ]
        if quantised:
            raise ContractError(
                f"{self.spec.name} is quantized, and such layers do not train: {_some(quantised)}",
                hint="Fine-tune it in floating point, and quantize the network of the finished run.",
            )
        self._stages.check(path for path, _ in self.net.named_parameters())

    def stages(self) -> tuple[Stage, ...]:
        """Ordered, input first; their parameters are disjoint and together all of the backbone's."""
        return tuple(self._stages)

    def stage_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """The parameters of one stage by their names in ``net``.

        Raises:
            StageError: There is no such stage.
        """
        self._stages.index(name)
        return {
            path: parameter
            for path, parameter in self.net.named_parameters()
            if self._stages.of(path) == name
        }

    def stage_of(self, path: str) -> str | None:
        """The stage of a module, parameter or buffer of ``net``; ``None`` if it lies in none."""
        return self._stages.of(path)

    def freeze(self, *layers: str, upto: str | None = None) -> None:
        """Freeze layers, or the stages up to and including ``upto``, or the whole backbone.

        Frozen parameters take no gradient; frozen normalisation layers keep their statistics
        and frozen dropout is off, also after a later ``train()``. The head is never frozen.

        Args:
            layers: Stages, or modules or parameters of ``net`` (``features.28``).
            upto: The last stage to freeze.

        Raises:
            StageError: There is no such stage or layer; the message names the stages.
        """
        self._require_grad(False, layers, self._stages.upto(upto) if upto else ())

    def unfreeze(self, *layers: str, downto: str | None = None) -> None:
        """Unfreeze layers, or the stages from the last down to ``downto``, or the whole backbone.

        Raises:
            StageError: There is no such stage or layer; the message names the stages.
        """
        self._require_grad(True, layers, self._stages.downto(downto) if downto else ())

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, but what is frozen stays in evaluation mode."""
        super().train(mode)
        if mode:
            for module in self._resting():
                module.training = False
        return self

    def _require_grad(self, flag: bool, layers: Sequence[str], stages: Sequence[str]) -> None:
        parameters = dict(self.net.named_parameters())
        chosen = set() if layers or stages else set(parameters)
        chosen |= {path for path in parameters if self._stages.of(path) in stages}
        for layer in layers:
            chosen |= self._layer_parameters(layer, parameters)
        for path in chosen:
            parameters[path].requires_grad_(flag)
        self.train(self.training)

    def _layer_parameters(self, layer: str, parameters: Iterable[str]) -> set[str]:
        if layer in self._stages:
            return {path for path in parameters if self._stages.of(path) == layer}
        found = {path for path in parameters if lies_under(path, layer)}
        if not found:
            raise self._stages.unknown(layer)
        return found

    def _resting(self) -> Iterator[nn.Module]:
        """The modules of ``net`` that frozen parameters put to rest.

        A module without parameters (dropout, stochastic depth) rests with its stage; one that no
        stage's path names rests with the layer before it.
        """
        trained = {
            self._stages.of(p) for p, tensor in self.net.named_parameters() if tensor.requires_grad
        }
        before = False
        for path, module in self.net.named_modules():
            own = [p.requires_grad for p in module.parameters()]
            if own:
                resting = not any(own)
            else:
                stage = self._stages.of(path)
                resting = stage not in trained if stage else before
            if next(module.parameters(recurse=False), None) is not None:
                before = resting
            if resting:
                yield module

    # -- adapters ----------------------------------------------------------------------------

    def adapter_targets(self) -> list[str]:
        """Modules of ``net`` where LoRA may be inserted: linear layers and full convolutions.

        Besides them what the loader declared ``adaptable``; in a network without any of these,
        embeddings. Never the head, a depthwise or grouped convolution, the projection inside
        ``nn.MultiheadAttention``, which reads the weight without calling the module, or what
        the loader declared ``unadaptable`` for the same reason.
        """
        fused = self._unadaptable | {
            f"{path}.out_proj"
            for path, module in self.net.named_modules()
            if isinstance(module, nn.MultiheadAttention)
        }
        modules = [
            (path, m)
            for path, m in self.net.named_modules()
            if path not in fused and not is_parametrized(m)  # a merged weight would be lost
        ]
        layers = [
            path
            for path, m in modules
            if isinstance(m, nn.Linear) or _merges(m) or path in self._adaptable
        ]
        return layers or [path for path, m in modules if isinstance(m, nn.Embedding)]

    def left_unadapted(self) -> Counter[str]:
        """Convolutions that :meth:`adapter_targets` leaves out for how they use their weights.

        Their classes, and how many there are; depthwise and grouped ones are not among them.
        """
        targets = set(self.adapter_targets())
        return Counter(
            type(module).__name__
            for path, module in self.net.named_modules()
            if isinstance(module, _CONVOLUTIONS) and module.groups == 1 and path not in targets
        )

    # -- what explains it --------------------------------------------------------------------

    def maps_of(self, output: Tensor) -> Tensor | None:
        """What one of the layers puts out as maps, ``(B, channels, h, w)``, a view where it can be.

        Pictures are square here, so that the two sides of equal length tell channels-first from
        channels-last. Tokens are places where ``prefix_tokens`` says so.

        Args:
            output: Of any module of ``net``.

        Returns:
            ``None`` where the output has no places.
        """
        if output.ndim == 4:
            _, first, second, third = output.shape
            last = first == second != third
            return output.permute(0, 3, 1, 2) if last else output
        if output.ndim != 3 or self.prefix_tokens is None:
            return None
        places = output[:, self.prefix_tokens :].transpose(1, 2)  # (B, width, places)
        side = math.isqrt(places.shape[2])
        if side * side != places.shape[2]:
            return None
        return torch.unflatten(places, 2, (side, side))

    def token_embedding(self) -> nn.Module | None:
        """The layer that makes vectors of token ids, ``(B, T)`` to ``(B, T, width)``.

        ``None`` for networks of pictures, and where there is none to be found.
        """
        if not self.spec.input.tokens:
            return None
        if self._token_embedding:
            return self.net.get_submodule(self._token_embedding)
        rows = self.spec.text_input.vocab_size
        tables = (m for m in self.net.modules() if isinstance(m, nn.Embedding))
        return next((table for table in tables if table.num_embeddings == rows), None)

    # -- native weights ----------------------------------------------------------------------

    def native_network(self) -> nn.Module | None:
        """The library's own network with these parameters, in the mode that the backbone is in.

        A copy with the head put back, or the one that the loader's ``native`` builds. ``None``
        where ``head_path`` is no module of the network.
        """
        if self._native:
            net = self._native(self.outputs())
            net.load_state_dict(self.native_state_dict())
            return net.train(self.training)
        net = copy.deepcopy(self.net)
        try:
            net.set_submodule(self.head_path, copy.deepcopy(self.head), strict=True)
        except AttributeError:
            return None
        return net

    def outputs(self) -> int:
        """How many outputs the head has."""
        reference = next(self.net.parameters())
        features = torch.zeros(2, self.spec.feature_dim).to(reference)
        with torch.no_grad():
            return int(copy.deepcopy(self.head).eval()(features).shape[-1])

    def native_state_dict(self) -> StateDict:
        """Parameters and buffers, the head's included, under the library's own names.

        A plain network of the library, built for as many outputs as the head has, loads it.
        The tensors are the backbone's own, not copies.
        """
        state = self._plain_state_dict()
        return self._to_native(state) if self._to_native else state

    def file_state_dict(self, activation: str) -> StateDict:
        """What the file of a run holds whose answers ``activation`` makes of the outputs: :meth:`native_state_dict`, mostly.

        A library that would give out what the head says as if it were the answer must not find
        the head in its place.
        """
        if self._to_file:
            return self._to_file(self._plain_state_dict(), activation)
        return self.native_state_dict()

    def _plain_state_dict(self) -> StateDict:
        state: StateDict = self.net.state_dict()
        # In place, since some of torch's modules read the metadata that a copy would lack.
        state.update({f"{self.head_path}.{k}": v for k, v in self.head.state_dict().items()})
        return state

    def load_native_state_dict(
        self, state: Mapping[str, Tensor], *, strict_head: bool = False, source: str = "the weights"
    ) -> bool:
        """Take over parameters and buffers that have the library's own names.

        What of the network the weights do not hold is in ``weights_notes`` afterwards, and why
        their head cannot be used in ``head_flaw``.

        Args:
            state: Names to tensors, e.g. from ``model.safetensors`` or torchvision's files.
            strict_head: Whether the head's tensors must be there and fit. Otherwise a linear head
                of any number of outputs is taken over, and another one is left out.
            source: How an error calls the weights.

        Returns:
            Whether the head was taken over.

        Raises:
            WeightsError: The weights are of another architecture; the message says which names
                and shapes differ, and nothing has been changed then. Or the network does not
                hold their values afterwards: it is of a narrower type, or shares tensors that
                differ in the file.
        """
        self.weights_notes, self.head_flaw = (), ""
        plain = self._from_native(dict(state)) if self._from_native else dict(state)
        head, rest = self._parted(plain)
        own = self.net.state_dict()
        difference = _difference(rest, own)
        if strict_head:
            difference += _difference(head, self.head.state_dict())
        if difference:
            raise WeightsError(
                f"{source} are not of {self.spec.name}: {'; '.join(difference)}",
                hint="Give weights of this architecture, or '--weights none' to start from random ones.",
            )
        # A conversion hands the network's own tensors on where the file has none.
        given = {key for key in rest if rest[key].data_ptr() != own[key].data_ptr()}
        own.update(rest)  # in place: it carries version numbers that some networks ask for
        self.net.load_state_dict(own)
        _demand_values(rest, self.net.state_dict(), self.spec.name, source)
        self._note_missing(given, "not among them, and start random")
        return self._take_head(head, source)

    def _parted(self, plain: StateDict) -> tuple[StateDict, StateDict]:
        """The head's tensors under their names within it, and the others."""
        prefix = f"{self.head_path}."
        head = {k.removeprefix(prefix): v for k, v in plain.items() if k.startswith(prefix)}
        return head, {k: v for k, v in plain.items() if not k.startswith(prefix)}

    def _take_head(self, head: StateDict, source: str) -> bool:
        """Put the published head in, if there is one that can be; else it is noted."""
        weight = head.get("weight", torch.empty(0))
        linear = weight.ndim == 2 and weight.shape[1] == self.spec.feature_dim
        if _difference(head, self.head.state_dict()) and linear and head.keys() <= _LINEAR:
            self.replace_head(nn.Linear(weight.shape[1], len(weight), bias="bias" in head))
        if not head or _difference(head, self.head.state_dict()):
            if head:
                shapes = {f"{self.head_path}.{k} {tuple(v.shape)}": k for k, v in head.items()}
                self.head_flaw = f"the head in them does not fit: {_some(shapes)}"
            return False
        self.head.load_state_dict(head)
        _demand_values(head, self.head.state_dict(), f"the head of {self.spec.name}", source)
        return True

    def _note_missing(self, given: set[str], what: str) -> None:
        """Note the parameters of ``net`` that the weights say nothing of."""
        missing = [key for key, _ in self.net.named_parameters() if key not in given]
        if missing:
            fact = f"of the network's parameters {len(missing)} are {what}: {_some(missing)}"
            self.weights_notes = (*self.weights_notes, fact)

    @property
    def loads_itself(self) -> bool:
        """Whether the loader says that its library has read the weights into ``net``."""
        return self._loaded is not None

    def compare_loaded(self, state: Mapping[str, Tensor], *, source: str = "the weights") -> bool:
        """Demand that ``net`` holds the values of ``state``; the head is taken over.

        ``weights_notes`` and ``head_flaw`` are as after :meth:`load_native_state_dict`.

        Args:
            state: Names to tensors, as they are in the file.
            source: How an error calls the weights.

        Returns:
            Whether the head was taken over.

        Raises:
            WeightsError: It holds others.
        """
        self.weights_notes, self.head_flaw = (), ""
        head, rest = self._parted(self._loaded(dict(state)) if self._loaded else dict(state))
        own = self.net.state_dict()
        known = {k: v for k, v in rest.items() if k in own and v.shape == own[k].shape}
        _demand_values(known, own, self.spec.name, source)
        given = {key for key in known if known[key].data_ptr() != own[key].data_ptr()}
        self._note_missing(given, "not in the file under their names: random, or not compared")
        return self._take_head(head, source)

    def native_files(
        self, classes: Sequence[str], activation: str = "softmax"
    ) -> Mapping[str, str]:
        """Text files that the library wants beside the weights, by name; often none.

        Args:
            classes: What the outputs stand for.
            activation: What makes answers of them: ``softmax``, ``sigmoid`` or ``standardised``.
        """
        return self._native_files(self, classes, activation) if self._native_files else {}

    def native_code(self) -> str:
        """Python source that loads a run of this backbone without zoo, as :meth:`wrap` has it.

        Empty where the plugin gives none.
        """
        return self._native_code(self) if self._native_code else ""


_LINEAR = {"weight", "bias"}


def _some(names: Iterable[str]) -> str:
    """The first few of many names."""
    listed = list(names)
    return ", ".join(listed[:3]) + (", …" if len(listed) > 3 else "")


def _take_out(net: nn.Module, path: str) -> nn.Module:
    """Put an identity at ``path`` and return what was there (an identity if nothing was)."""
    parent_path, _, name = path.rpartition(".")
    try:
        parent = net.get_submodule(parent_path)
        head = parent.get_submodule(name)
    except AttributeError:
        return nn.Identity()
    setattr(parent, name, nn.Identity())
    return head


def _as_batch(batch: Batch | Tensor) -> Batch:
    return {"pixel_values": batch} if isinstance(batch, Tensor) else batch


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _merges(module: nn.Module) -> bool:
    """Whether it is a full convolution with which an adapter can be merged.

    Not one that standardises its weight, for example: merged, it gives other outputs. One whose
    ``forward`` is not torch's own is tried: two weights added must give the outputs added.
    """
    if not isinstance(module, _CONVOLUTIONS) or module.groups != 1:
        return False
    return _forwards_as_torch(module) or _is_additive(module)


def _forwards_as_torch(module: nn.Module) -> bool:
    return any(type(module).forward is kind.forward for kind in _CONVOLUTIONS)


def _is_additive(module: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    if module.weight.is_meta:
        return False
    twin = copy.deepcopy(module).cpu().double().eval()
    generator = torch.Generator().manual_seed(0)
    reach = zip(module.kernel_size, module.dilation, module.stride, strict=True)
    sides = [dilation * (kernel - 1) + 1 + 2 * stride for kernel, dilation, stride in reach]
    given = torch.randn(1, module.in_channels, *sides, generator=generator).double()
    first, second = (torch.randn(module.weight.shape, generator=generator) for _ in range(2))
    outputs = []
    try:
        with torch.no_grad():
            if twin.bias is not None:
                twin.bias.zero_()
            for weight in (first, second, first + second):
                twin.weight.copy_(weight)
                outputs.append(twin(given))
    except Exception:  # of another library; what it is good for is unknown
        return False
    return torch.allclose(outputs[0] + outputs[1], outputs[2], rtol=1e-4, atol=1e-4)


def _difference(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """What keeps ``given`` from being loaded into ``wanted``, in words."""
    missing = [k for k in wanted if k not in given]
    unknown = [k for k in given if k not in wanted]
    shapes = [
        f"{k} is {tuple(given[k].shape)} instead of {tuple(wanted[k].shape)}"
        for k in wanted
        if k in given and given[k].shape != wanted[k].shape
    ]
    return [
        f"{len(names)} {what}: {_some(names)}"
        for what, names in (
            ("missing", missing),
            ("unknown", unknown),
            ("of another shape", shapes),
        )
        if names
    ]


def _demand_values(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str, source: str
) -> None:
    """Demand that each tensor of ``given`` has the same values in ``own``."""
    others = [key for key, tensor in given.items() if not _holds(own[key], tensor)]
    if others:
        raise WeightsError(
            f"{name} does not hold the values of {source}: {len(others)} of {len(given)} tensors "
            f"differ: {_some(others)}",
            hint="Its plugin is at fault: the network must be float32, and tensors that differ "
            "in the file must not be shared.",
        )


def _holds(own: Tensor, given: Tensor) -> bool:
    """Whether ``own`` has the values of ``given``, in float32 or in the type of the file."""
    if own.is_meta:
        return False
    if own.is_floating_point() and not given.is_floating_point():
        return False  # quantized values mean nothing without their scales
    given = given.to(own.device)
    wide = own.dtype in (torch.float32, torch.float64)
    left, right = (own, given.to(own.dtype)) if wide else (own.to(given.dtype), given)
    return torch.equal(left, right) or torch.allclose(left, right, rtol=0, atol=0, equal_nan=True)
