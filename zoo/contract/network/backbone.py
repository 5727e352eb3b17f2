"""The interface of all networks: features, head, stages, freezing, native weights."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from zoo.contract.network.adapters import adapter_targets, left_unadapted
from zoo.contract.network.batch import (
    Batch,
    Extract,
    as_batch,
    embedding_of,
    image_features,
    require_width,
)
from zoo.contract.network.channels import channels_of, fit_channels
from zoo.contract.network.default_stages import stages_of
from zoo.contract.network.feature_maps import as_maps
from zoo.contract.network.head import check_head, take_out, with_head
from zoo.contract.network.loading import difference, head_for, load_head, load_net, part_head
from zoo.contract.network.options import (
    AdapterTargets,
    Convert,
    Native,
    StateDict,
    TokenOptions,
)
from zoo.contract.network.shown import html_of
from zoo.contract.network.staged import StagedNetwork
from zoo.contract.network.unpadded import by_length
from zoo.contract.stages import Stage
from zoo.system.tensors.torch_workarounds import spare_group_norms
from zoo.system.tensors.torchvision_operators import declare_missing_operators

if TYPE_CHECKING:
    from zoo.contract.spec import BackboneSpec

declare_missing_operators()


class Backbone(StagedNetwork):
    """A network and its head.

    ``net`` is the library's network with an identity in place of the head, so that its modules keep
    the library's names. Build a backbone with :meth:`wrap`.

    Attributes:
        spec: The specification that it was built from.
        net: The network without its head.
        head: Maps ``(B, feature_dim)`` to ``(B, outputs)``; an identity if none was published.
        head_path: Path of the head in the library's network.
        head_bias: Whether a linear head has a bias. The library's classifier would drop it if it
            has none itself.
        tokenizer: For texts, the tokenizer.
        prefix_tokens: ``prefix`` of :class:`zoo.TokenOptions`.
        unpadded: Whether texts of different lengths are computed separately, because padding would
            change their features; measured by :func:`build`.
        extract: Function from the network and a batch to the features, as the plugin gave it.
        weights_notes: Which parameters are missing from the loaded weights, in words.
        head_flaw: Why the published head is missing or not as its plugin states; empty if it is.
        channels_note: How the first convolution was adapted to the channels, in words.
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
        convert: Convert | None = None,
        native: Native | None = None,
        adapters: AdapterTargets | None = None,
        tokens: TokenOptions | None = None,
    ) -> None:
        spec.require_valid()
        super().__init__(spec.name, net, stages)
        spare_group_norms(net)
        self.spec = spec
        self.head = head
        self.head_bias = not (isinstance(head, nn.Linear) and head.bias is None)
        self.head_path = head_path
        self._convert = convert
        self._native = native or Native()
        self._adapters = adapters or AdapterTargets()
        self._tokens = tokens or TokenOptions()
        self.tokenizer: Any = None
        self.prefix_tokens = self._tokens.prefix
        self.extract = extract
        self.unpadded = False
        self.weights_notes: tuple[str, ...] = ()
        self.head_flaw = ""
        self.channels_note = ""

    def _repr_html_(self) -> str:
        named = {each.name: self.stage_parameters(each.name).values() for each in self.stages()}
        return html_of(self.spec, self.head, named)

    @classmethod
    def wrap(
        cls,
        net: nn.Module,
        *,
        spec: BackboneSpec,
        head: str,
        stages: Mapping[str, Iterable[str]] | Iterable[str] | None = None,
        extract: Extract = image_features,
        convert: Convert | None = None,
        native: Native | None = None,
        adapters: AdapterTargets | None = None,
        tokens: TokenOptions | None = None,
    ) -> Self:
        """Wrap a library's network as a backbone.

        Args:
            net: The network. A module at ``head`` is replaced by an identity.
            spec: What the network was built from.
            head: Path of the head, e.g. ``classifier.6``. For a network without a head, the path
                that a later head has in weights files.
            stages: Names to module (or parameter) paths, input first; or a list of paths, which
                are then the names. Together they contain all parameters except the head's. By
                default one stage per child module.
            extract: From the network and a batch to ``(B, feature_dim)``; the default calls the
                network on ``pixel_values``.
            convert: Converts a state dict from a weights file to the names and shapes of the
                network, including its head, if they differ.
            native: How the library itself names, builds and loads the network.
            adapters: Corrections to the layers that adapters are added to.
            tokens: The tokenizer, and where tokens are in the network's layers.

        Raises:
            ContractError: A parameter is in no stage, or a stage has no parameters.
        """
        taken = take_out(net, head)
        return cls(
            spec=spec,
            net=net,
            head=taken,
            head_path=head,
            stages=stages_of(net, head, stages),
            extract=extract,
            convert=convert,
            native=native,
            adapters=adapters,
            tokens=tokens,
        )

    def read_tokenizer(self, folder: Path | None) -> None:
        """Set ``tokenizer`` to the published one.

        Args:
            folder: The folder of the weights; ``None`` for random initialisation.
        """
        own = self._tokens.tokenizer
        self.tokenizer = own(folder) if callable(own) else own

    # -- forward pass -----------------------------------------------------------------------

    @property
    def optional_mask(self) -> bool:
        """Whether texts without padding need no ``attention_mask``."""
        return self._tokens.optional_mask and not self.unpadded

    def features(self, batch: Batch | Tensor) -> Tensor:
        """Return features ``(B, feature_dim)``. A tensor is used as ``pixel_values``.

        Raises:
            ContractError: The shape of the features differs from the spec.
        """
        plain = as_batch(batch)
        if self.unpadded and not plain["attention_mask"].is_meta:
            features = by_length(self.extract, self.net, plain)
        else:
            features = self.extract(self.net, plain)
        require_width(features, self.spec)
        return features

    def forward(self, batch: Batch | Tensor) -> Tensor:
        """Return ``head(features(batch))``: ``(B, outputs)``."""
        logits: Tensor = self.head(self.features(batch))
        return logits

    # -- the head ----------------------------------------------------------------------------

    def replace_head(self, head: nn.Module | int) -> None:
        """Replace the head; backbone tensors stay bit-identical.

        Args:
            head: Maps ``(B, feature_dim)`` to ``(B, n)``; moved to the backbone's device and
                dtype. An integer ``n`` creates a linear layer with ``n`` outputs.

        Raises:
            HeadWidthError: ``head`` does not accept features of width ``feature_dim``.
        """
        reference = next(self.net.parameters())
        if isinstance(head, int):
            head = nn.Linear(self.spec.feature_dim, head, bias=self.head_bias)
        head = head.to(device=reference.device, dtype=reference.dtype)
        check_head(head, self.spec.feature_dim, self.spec.name, reference)
        self.head = head.train(self.training)

    # -- channels ----------------------------------------------------------------------------

    def fit_channels(self, channels: int) -> None:
        """Adapt the first convolution and its weights to another number of input channels.

        Weights are summed for one channel, or else repeated and scaled, and ``channels_note`` is
        set.

        Raises:
            ContractError: The network has no first convolution.
        """
        self.channels_note = fit_channels(self.net, channels, self.spec.name)

    def channels_in(self, state: Mapping[str, Tensor]) -> int | None:
        """Return the number of input channels in a state dict; ``None`` if it has no first convolution."""
        return channels_of(self.net, state)

    # -- adapters ----------------------------------------------------------------------------

    def adapter_targets(self) -> list[str]:
        """Return the paths of the modules of ``net`` that can be adapted.

        These are linear layers, full convolutions and ``also`` of :class:`zoo.AdapterTargets`, or
        embeddings if the network has none of them. Never included are the head, depthwise and
        grouped convolutions, the projection inside ``nn.MultiheadAttention``, whose weight is used
        without calling the module, and ``never`` of :class:`zoo.AdapterTargets`.
        """
        also, never = frozenset(self._adapters.also), frozenset(self._adapters.never)
        return adapter_targets(self.net, also, never)

    def left_unadapted(self) -> Counter[str]:
        """Count full convolutions that cannot be adapted because of how they use their weights.

        By class; depthwise and grouped convolutions are not counted.
        """
        return left_unadapted(self.net, self.adapter_targets())

    # -- attribution ------------------------------------------------------------------------

    def maps_of(self, output: Tensor) -> Tensor | None:
        """Return a layer's output as feature maps, ``(B, channels, h, w)``, as a view if possible.

        Tokens are image patches if ``prefix_tokens`` is set.

        Args:
            output: Output of any module of ``net``.

        Returns:
            ``None`` if the output has no spatial dimensions.
        """
        return as_maps(output, self.prefix_tokens)

    def token_embedding(self) -> nn.Module | None:
        """Return the token embedding layer, ``(B, T)`` to ``(B, T, width)``; ``None`` if not found."""
        if not self.spec.input.tokens:
            return None
        rows = self.spec.text_input.vocab_size
        return embedding_of(self.net, self._tokens.embedding, rows)

    # -- native weights ----------------------------------------------------------------------

    def native_network(self) -> nn.Module | None:
        """Return the library's network with these parameters, in the same mode as the backbone.

        It is a copy of ``net`` with the head, or the network that ``network`` of
        :class:`zoo.Native` builds. ``None`` if ``head_path`` is not a module of the network.
        """
        if self._native.network:
            net = self._native.network(self.outputs())
            if self.channels_note:
                fit_channels(net, self.spec.image_input.channels, self.spec.name)
            net.load_state_dict(self.native_state_dict())
            return net.train(self.training)
        return with_head(self.net, self.head, self.head_path)

    def outputs(self) -> int:
        """Return the number of outputs of the head."""
        reference = next(self.net.parameters())
        features = torch.zeros(2, self.spec.feature_dim).to(reference)
        with torch.no_grad():
            return int(copy.deepcopy(self.head).eval()(features).shape[-1])

    def native_state_dict(self) -> StateDict:
        """Return parameters and buffers, including the head's, under the library's names.

        The library's own network, built with the same number of outputs, can load it. Tensors are
        not copied.
        """
        state = self._plain_state_dict()
        return self._native.names(state) if self._native.names else state

    def file_state_dict(self, activation: str) -> StateDict:
        """Return the tensors for the weights file of a run, usually :meth:`native_state_dict`.

        They differ if the library would use the head's outputs without applying ``activation``.
        """
        if self._native.file:
            return self._native.file(self._plain_state_dict(), activation)
        return self.native_state_dict()

    def _plain_state_dict(self) -> StateDict:
        state: StateDict = self.net.state_dict()
        # In place, since some of torch's modules read the metadata that a copy would lack.
        state.update({f"{self.head_path}.{k}": v for k, v in self.head.state_dict().items()})
        return state

    def load_native_state_dict(
        self,
        state: Mapping[str, Tensor],
        *,
        strict_head: bool = False,
        lacks: Sequence[str] = (),
        source: str = "the given state",
    ) -> bool:
        """Load parameters and buffers by the library's own names.

        Sets ``weights_notes`` (parameters missing from the weights) and ``head_flaw`` (why their
        head cannot be used).

        Args:
            state: Names to tensors, e.g. from ``model.safetensors`` or torchvision's files.
            strict_head: Whether the weights must contain a head that fits. Otherwise a head with
                another number of outputs replaces the network's if it is linear or of the same
                structure, and any other head is ignored.
            lacks: Patterns of tensors that are missing from the weights, or not valid there.
            source: Path of the weights, for error messages.

        Returns:
            Whether the head was loaded.

        Raises:
            WeightsError: Tensors are missing, unknown or have the wrong shape; the message lists
                them, and nothing is changed. Or the network does not have the values of the
                weights after loading, because its dtype is narrower or it shares tensors that
                differ in the file.
        """
        self.weights_notes, self.head_flaw = (), ""
        plain = self._convert(dict(state)) if self._convert else dict(state)
        head, rest = part_head(plain, self.head_path)
        head_state, name = self.head.state_dict(), self.spec.name
        flaws = difference(head, head_state) if strict_head else []
        self.weights_notes = load_net(
            self.net, rest, lacks=lacks, flaws=flaws, name=name, source=source
        )
        if difference(head, head_state) and (
            fitting := head_for(head, self.head, self.spec.feature_dim)
        ):
            self.replace_head(fitting)
        self.head_flaw = load_head(self.head, head, path=self.head_path, name=name, source=source)
        return bool(head) and not self.head_flaw

    def native_files(
        self, classes: Sequence[str], activation: str = "softmax"
    ) -> Mapping[str, str]:
        """Return text files that the library needs next to the weights, by name; may be empty.

        Args:
            classes: Names of the outputs.
            activation: ``softmax``, ``sigmoid`` or ``standardised``.
        """
        files = self._native.files
        return files(self, classes, activation) if files else {}

    def native_code(self) -> str:
        """Return Python code that loads a run of this backbone without zoo; empty if there is none."""
        return self._native.code(self) if self._native.code else ""
