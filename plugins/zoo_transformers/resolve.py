"""Resolve names outside the catalogue: Hub ids and local folders. No torch."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from zoo import (
    BackboneSpec,
    NameLookupError,
    Pooling,
    TextInput,
    Weights,
    WeightsUnavailable,
    read_small,
    refuse_endless,
)
from zoo_transformers import hub, sizes
from zoo_transformers.catalogue import LIBRARY_LICENSE, LOADER
from zoo_transformers.families import family_of, longest_text, width_of
from zoo_transformers.image_resolve import PROCESSOR_FILES, image_spec, processes_images

NAMESPACE = "hf/"
SCHEME = "path:"
POOLING_KEY = "zoo_pooling"
"""Entry of a run's config.json that states the pooling."""

Json = Mapping[str, Any]

_HUB_NAME = re.compile(r"hf[/:]([\w-][\w.-]*/[\w-][\w.-]*)")
_POOLING_FILE = "1_Pooling/config.json"
_LENGTH_FILE = "sentence_bert_config.json"
ADAPTER = "adapter_config.json"
# sentence-transformers: flags up to version 5, one word since.
_SENTENCE_POOLING: Mapping[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
    "mean": "mean",
    "cls": "cls",
    "lasttoken": "last",
}
_AUDIO_FIELDS = ("conv_stride", "num_mel_bins")
"""Config fields of audio models, some of which also have a ``vocab_size``, that of transcripts."""
_CLASSIFIER = "ForSequenceClassification"
_GENERATORS = ("ForCausalLM", "LMHeadModel")


def resolve(name: str) -> BackboneSpec | None:
    """Return the spec of ``hf/<org>/<name>``, ``hf:<org>/<name>`` or ``path:<folder>``, or ``None``.

    Raises:
        NameLookupError: The folder or repository does not exist, or is not a model that the
            installed Transformers supports without code from the repository.
        WeightsUnavailable: The config is not on this machine and the Hub is unreachable.
    """
    if name.startswith(SCHEME):
        return _from_folder(Path(os.path.expanduser(name.removeprefix(SCHEME))))
    if found := _HUB_NAME.fullmatch(name):
        return _from_hub(f"{NAMESPACE}{found[1]}", found[1])
    return None


def _from_folder(folder: Path) -> BackboneSpec:
    file = folder / "config.json"
    _demand_ends(folder)
    if not file.is_file():
        if (folder / ADAPTER).is_file():
            raise _adapter_error(str(folder))
        problem = "no config.json" if folder.is_dir() else "not a folder"
        raise NameLookupError(
            f"'{SCHEME}{folder}' is not a model folder: {problem}",
            hint="Use a folder written by save_pretrained, with config.json, weights and tokenizer.",
        )
    folder = folder.resolve()
    config = _parse(read_small(file).decode(), str(file))
    for processor in (folder / name for name in PROCESSOR_FILES):
        if processor.is_file() and processes_images(
            _parse(read_small(processor).decode(), str(processor))
        ):
            return _image(f"{SCHEME}{folder}", config, folder, ("folder", str(folder)))
    published: dict[str, Any] = {}
    for declared in (folder / _POOLING_FILE, folder / _LENGTH_FILE):
        if declared.is_file():
            published |= _parse(read_small(declared).decode(), str(declared))
    return _spec(
        f"{SCHEME}{folder}",
        config=config,
        published=published,
        weights=("folder", str(folder)),
        header=sizes.read_header(folder),
    )


def _adapter_error(where: str, base: str = "") -> NameLookupError:
    return NameLookupError(
        f"{where} contains a PEFT adapter ({ADAPTER}){base}, not a complete model",
        hint="Merge the adapter and save the model and its tokenizer: model.merge_and_unload()"
        ".save_pretrained(FOLDER); then use path:FOLDER.",
    )


def _demand_ends(folder: Path) -> None:
    """Refuse a folder that holds a pipe, a device or a file without end."""
    try:
        for each in (folder, (folder / _POOLING_FILE).parent):
            if each.is_dir():
                refuse_endless(each)
    except OSError as error:
        raise NameLookupError(
            f"{error.filename} cannot be read: {error.strerror}",
            hint="Use a folder written by save_pretrained, with config.json, weights and tokenizer.",
        ) from error


def _from_hub(name: str, repo: str) -> BackboneSpec:
    config = hub.read(repo, "config.json")
    if config is None:
        if (adapter := hub.read(repo, ADAPTER)) is not None:
            base = _parse(adapter, f"{repo}/{ADAPTER}").get("base_model_name_or_path")
            raise _adapter_error(
                f"the Hub's {repo}", f" of {base}" if isinstance(base, str) else ""
            )
        raise NameLookupError(
            f"the Hub's {repo} is not a Transformers model: no config.json",
            hint="'zoo list --modality text --all' lists the available encoders.",
        )
    stated = _parse(config, f"{repo}/config.json")
    for file in PROCESSOR_FILES:
        with suppress(WeightsUnavailable):
            processor = hub.read(repo, file)
            if processor and processes_images(_parse(processor, f"{repo}/{file}")):
                folder = hub.cached_folder(repo)
                assert folder is not None  # as the config is there
                return _image(name, stated, folder, ("hub", f"hf:{repo}"))
    published: dict[str, Any] = {}
    for file in (_POOLING_FILE, _LENGTH_FILE):
        with suppress(WeightsUnavailable):  # the cache has the config and not this file
            if declared := hub.read(repo, file):
                published |= _parse(declared, f"{repo}/{file}")
    return _spec(
        name,
        config=stated,
        published=published,
        weights=("hub", f"hf:{repo}"),
        header={},
    )


def _spec(
    name: str, *, config: Json, published: Json, weights: tuple[str, str], header: sizes.Header
) -> BackboneSpec:
    width = _demand_encoder(name, config)
    sizes.check_config(name, config)
    pooling = _pooling(config, published, header)
    tag, uri = weights
    return BackboneSpec(
        name=name,
        modality="text",
        feature_dim=width,
        params=sizes.count(header, pooling) or sizes.estimate(config, width),
        input=TextInput(
            max_length=longest_text(config),
            pooling=pooling,
            vocab_size=config["vocab_size"],
            pad_id=_pad_id(config),
            usual_length=_usual_length(published),
        ),
        loader=LOADER,
        weights=(
            Weights(tag=tag, uri=uri, default=True, classes=_published_classes(config, pooling)),
        ),
        license=LIBRARY_LICENSE,
        tags=(config["model_type"],),
        config={k: v for k, v in config.items() if k != "auto_map"},
    )


def _image(name: str, config: Json, folder: Path, weights: tuple[str, str]) -> BackboneSpec:
    _demand_known(name, config)
    sizes.check_config(name, config)
    return image_spec(name, config, folder, weights)


def _demand_known(name: str, config: Json) -> str:
    """Return the ``model_type``, if the installed library has its code."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise _unsupported(name, "its config.json has no model_type")
    if "auto_map" in config and not _library_has(model_type):
        raise _unsupported(
            name,
            f"{model_type!r} needs code from its own repository, which zoo does not execute",
        )
    return model_type


def _demand_encoder(name: str, config: Json) -> int:
    """Return the width of the hidden states, if the config is a text encoder's."""
    model_type = _demand_known(name, config)
    if any(key in config for key in _AUDIO_FIELDS):
        raise _unsupported(name, f"{model_type!r} is an audio model")
    if config.get("is_encoder_decoder"):
        raise _unsupported(name, f"{model_type!r} is an encoder-decoder model")
    width = width_of(config)
    if width is None or not isinstance(config.get("vocab_size"), int):
        raise _unsupported(
            name, f"{model_type!r} has no vocab_size or width, so it is not a text model"
        )
    return width


def _library_has(model_type: str) -> bool:
    """Whether the installed Transformers has a folder for the architecture; does not import it."""
    library = importlib.util.find_spec("transformers")
    roots = (library.submodule_search_locations if library else None) or []
    module = model_type.replace("-", "_")
    return any((Path(root) / "models" / module).is_dir() for root in roots)


def _pooling(config: Json, published: Json, header: sizes.Header) -> Pooling:
    """Return the declared pooling, or the family's default (see :mod:`.families`)."""
    if config.get(POOLING_KEY) in ("cls", "mean", "pooler", "last"):
        stated: Pooling = config[POOLING_KEY]
        return stated
    flags = [key for key, value in published.items() if value is True]
    flags.append(str(published.get("pooling_mode")))
    if declared := [_SENTENCE_POOLING[flag] for flag in flags if flag in _SENTENCE_POOLING]:
        return declared[0]
    architecture = _architecture(config)
    if architecture.endswith(_CLASSIFIER):
        return "pooler"
    if architecture.endswith(_GENERATORS):
        return "last"
    default = family_of(config["model_type"]).pooling
    return "mean" if default == "pooler" and not sizes.has_pooler(header) else default


def _published_classes(config: Json, pooling: Pooling) -> int:
    if pooling != "pooler" or not _architecture(config).endswith(_CLASSIFIER):
        return 0
    return len(config.get("id2label") or ()) or int(config.get("num_labels") or 2)


def _architecture(config: Json) -> str:
    return str((config.get("architectures") or [""])[0])


def _pad_id(config: Json) -> int:
    """Return the padding token's id; without one, that of the end-of-text or start-of-text token.

    0 only if the config states none of them: it may be a normal token (``!`` in GPT-2).
    """
    for key in ("pad_token_id", "eos_token_id", "bos_token_id"):
        stated = config.get(key)
        token = stated[0] if isinstance(stated, list) and stated else stated
        if isinstance(token, int) and 0 <= token < config["vocab_size"]:
            return token
    return 0


def _usual_length(published: Json) -> int:
    """Return sentence-transformers' ``max_seq_length``, in tokens; 0 if it is not stated."""
    length = published.get("max_seq_length")
    return length if type(length) is int and length > 0 else 0


_REPAIR = "Save the network again with save_pretrained, or restore the file."


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise NameLookupError(f"{where} is not JSON: {error}", hint=_REPAIR) from error
    if not isinstance(data, dict):
        raise NameLookupError(f"{where} is not a JSON object", hint=_REPAIR)
    return data


def _unsupported(name: str, why: str) -> NameLookupError:
    return NameLookupError(
        f"{name!r} is not supported as a backbone: {why}",
        hint="'zoo list hf/ --all' lists the available encoders. A model for images needs its "
        "preprocessor_config.json.",
    )
