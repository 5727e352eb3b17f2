"""Load the encoders' tokenizers, as Rust tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transformers import AutoTokenizer

from zoo import BackboneSpec, WeightsError, first_line, panics_are_errors
from zoo_transformers import hub

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Each of these is enough for the library to build a tokenizer.
_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spm.model", "sentencepiece.bpe.model")


def find(spec: BackboneSpec, weights: Path | None) -> Tokenizer | None:
    """Return the tokenizer next to the weights, or else the published one if it is on this
    machine.

    Args:
        spec: Its ``own_tokenizer`` is false if the caller provides a tokenizer.
        weights: A folder or a file of weights.

    Raises:
        WeightsError: The tokenizer is not a fast one.
    """
    if not spec.text_input.own_tokenizer:
        return None
    for folder in _places(spec, weights):
        if any((folder / file).is_file() for file in _FILES):
            return _read(folder, spec.name)
    return None


def _places(spec: BackboneSpec, weights: Path | None) -> list[Path]:
    places = [weights] if weights else []
    published = spec.default_weights
    if published and published.uri.startswith("hf:"):
        if folder := hub.cached_folder(published.uri.removeprefix("hf:")):
            places.append(folder)
    elif published:
        uri = Path(published.uri)
        places.append(uri if uri.is_dir() else uri.parent)
    return places


def _read(folder: Path, name: str) -> Tokenizer:
    """Remove padding and truncation, which zoo sets itself."""
    try:
        # Unless this is False, the library would ask whether to run the folder's code.
        with panics_are_errors():
            loaded = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # a damaged file makes the library raise anything
        raise WeightsError(
            f"failed to read the tokenizer of {name} in {folder}: {first_line(error)}",
            hint="Copy the model's tokenizer.json to the folder of its weights.",
        ) from error
    tokenizer: Tokenizer | None = getattr(loaded, "backend_tokenizer", None)
    if tokenizer is None:
        raise WeightsError(
            f"the tokenizer of {name}, {type(loaded).__name__}, has no fast (Rust) version",
            hint="Use a model with a tokenizer.json.",
        )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
