"""The interface of every network: features, head, stages, freezing, native weights."""

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
    """A network without its head, and the head.

    ``net`` is the library's own network with an identity in place of the head, so that its modules
    keep the library's names.

    Build one with :meth:`wrap`. Attributes: ``spec`` (what it was built from), ``net``, ``head``
    (from ``(B, feature_dim)`` to ``(B, outputs)``; an identity where no head was published),
    ``head_path`` (where the head sits among the native names), ``head_bias`` (whether a linear
    head has a bias: the library's own classifier would drop one that it has no place for),
    ``tokenizer`` (texts only), ``prefix_tokens`` (``prefix`` of :class:`zoo.TokenOptions`),
    ``unpadded`` (whether the texts of each length are
    computed apart, because padding would change their features; :func:`build` measures it),
    ``extract`` (from the network and a batch to the features, as the plugin calls it),
    ``weights_notes`` (which parameters the loaded weights do not hold, in words), ``head_flaw``
    (why the published head is not there, or not as its plugin states; empty where it is),
    ``channels_note`` (how the first convolution was fitted to the channels, in words).
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
            head: Path of the head, e.g. ``classifier.6``. A network without a head keeps the
                path as the place of a later head among the native names.
            stages: Ordered, input first: names to module (or parameter) paths, or paths alone,
                which are then the names. Together they hold every parameter but the head's.
                By default one per child module.
            extract: From the network and a batch to ``(B, feature_dim)``; the default calls the
                network on ``pixel_values``.
            convert: From the names and shapes in a weights file to the network's, the head's
                included, where the two differ.
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
        """Set ``tokenizer`` to the network's own.

        Args:
            folder: Where its weights are; ``None`` for random initialisation.
        """
        own = self._tokens.tokenizer
        self.tokenizer = own(folder) if callable(own) else own

    # -- forward pass -----------------------------------------------------------------------

    def features(self, batch: Batch | Tensor) -> Tensor:
        """Return ``(B, feature_dim)``. A tensor is taken as ``pixel_values``.

        Raises:
            ContractError: The features have another shape than the spec declares.
        """
        plain = as_batch(batch)
        if self.unpadded and not plain["attention_mask"].is_meta:
            features = by_length(self.extract, self.net, plain)
        else:
            features = self.extract(self.net, plain)
        require_width(features, self.spec)
        return features

    def forward(self, batch: Batch | Tensor) -> Tensor:
        """``head(features(batch))``: ``(B, outputs)``."""
        logits: Tensor = self.head(self.features(batch))
        return logits

    # -- the head ----------------------------------------------------------------------------

    def replace_head(self, head: nn.Module | int) -> None:
        """Replace the head; backbone tensors stay bit-identical.

        Args:
            head: Maps ``(B, feature_dim)`` to ``(B, n)``; moved to the backbone's device and
                dtype. An integer ``n`` means a linear layer with ``n`` outputs.

        Raises:
            HeadWidthError: ``head`` expects another width than ``feature_dim``.
        """
        reference = next(self.net.parameters())
        if isinstance(head, int):
            head = nn.Linear(self.spec.feature_dim, head, bias=self.head_bias)
        head = head.to(device=reference.device, dtype=reference.dtype)
        check_head(head, self.spec.feature_dim, self.spec.name, reference)
        self.head = head.train(self.training)

    # -- channels ----------------------------------------------------------------------------

    def fit_channels(self, channels: int) -> None:
        """Give the first convolution another number of input channels; its weights are kept.

        They are summed for one channel, else repeated and scaled; ``channels_note`` says so.

        Raises:
            ContractError: The network has no first convolution.
        """
        self.channels_note = fit_channels(self.net, channels, self.spec.name)

    def channels_in(self, state: Mapping[str, Tensor]) -> int | None:
        """The input channels of the first convolution in weights; ``None`` if it is not in them."""
        return channels_of(self.net, state)

    # -- adapters ----------------------------------------------------------------------------

    def adapter_targets(self) -> list[str]:
        """Modules of ``net`` where LoRA may be inserted: linear layers and full convolutions.

        Besides them ``also`` of :class:`zoo.AdapterTargets`; in a network without any of these,
        embeddings. Never the head, a depthwise or grouped convolution, the projection inside
        ``nn.MultiheadAttention``, which reads the weight without calling the module, or
        ``never`` of :class:`zoo.AdapterTargets`.
        """
        also, never = frozenset(self._adapters.also), frozenset(self._adapters.never)
        return adapter_targets(self.net, also, never)

    def left_unadapted(self) -> Counter[str]:
        """Convolutions that :meth:`adapter_targets` leaves out for how they use their weights.

        Their classes, and how many there are; depthwise and grouped ones are not among them.
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
        """The library's own network with these parameters, in the mode that the backbone is in.

        A copy with the head put back, or the one that ``network`` of :class:`zoo.Native` builds.
        ``None`` where ``head_path`` is not a module of the network.
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
        """Parameters and buffers, the head's included, under the library's own names.

        A plain network of the library, built for as many outputs as the head has, loads it.
        The tensors are the backbone's own, not copies.
        """
        state = self._plain_state_dict()
        return self._native.names(state) if self._native.names else state

    def file_state_dict(self, activation: str) -> StateDict:
        """Tensors for the weights file of a run; mostly those of :meth:`native_state_dict`.

        They differ where the library would use the head's outputs without ``activation``.
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
            strict_head: Whether the head's tensors must be there and fit. Otherwise a head of any
                number of outputs is taken over if it is linear or as the network's own, and
                another one is left out.
            lacks: Patterns of the network's tensors that are not taken from the weights.
            source: Where the weights are, for error messages: a path.

        Returns:
            Whether the head was loaded.

        Raises:
            WeightsError: Tensors are missing, unknown or of another shape; the message names
                them, and nothing has been changed then. Or the network does not
                hold their values afterwards: it is of a narrower type, or shares tensors that
                differ in the file.
        """
        self.weights_notes, self.head_flaw = (), ""
        plain = self._convert(dict(state)) if self._convert else dict(state)
        head, rest = part_head(plain, self.head_path)
        own, name = self.head.state_dict(), self.spec.name
        flaws = difference(head, own) if strict_head else []
        self.weights_notes = load_net(
            self.net, rest, lacks=lacks, flaws=flaws, name=name, source=source
        )
        if difference(head, own) and (fitting := head_for(head, self.head, self.spec.feature_dim)):
            self.replace_head(fitting)
        self.head_flaw = load_head(self.head, head, path=self.head_path, name=name, source=source)
        return bool(head) and not self.head_flaw

    def native_files(
        self, classes: Sequence[str], activation: str = "softmax"
    ) -> Mapping[str, str]:
        """Return text files that the library needs beside the weights, by name; often none.

        Args:
            classes: Names of the outputs.
            activation: ``softmax``, ``sigmoid`` or ``standardised``.
        """
        files = self._native.files
        return files(self, classes, activation) if files else {}

    def native_code(self) -> str:
        """Python source that loads a run of this backbone without zoo; empty if there is none."""
        return self._native.code(self) if self._native.code else ""
