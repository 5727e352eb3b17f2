"""Names outside the catalogue: audio encoders of the Hub and in local folders, read without torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo import BackboneSpec, NameLookupError, Weights, hub_reachable, read_small
from zoo_audio.families import FAMILIES

NAMESPACE, HUB, SCHEME = "hf/", "hf:", "path:"
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
LOADER = "zoo_audio.encoders:load"


def resolve(name: str) -> BackboneSpec | None:
    """Return the spec of ``hf/<org>/<name>``, ``hf:<org>/<name>`` or ``path:<folder>``; ``None`` if it
    is not an audio encoder.

    The plugin ``hf`` is asked for ``hf/<org>/<name>`` first, and has downloaded the config.
    """
    if name.startswith(SCHEME):
        folder = Path(os.path.expanduser(name.removeprefix(SCHEME))).absolute()
        if not (folder / CONFIG).is_file():
            return None
        try:
            texts = {
                file: read_small(folder / file).decode()
                for file in (CONFIG, PREPROCESSOR)
                if (folder / file).is_file()
            }
        except (OSError, ValueError):  # reported by the plugin of all folders of the library
            return None
        return _spec(f"{SCHEME}{folder.resolve()}", texts, "folder", str(folder.resolve()))
    if not name.startswith((NAMESPACE, HUB)):
        return None
    repo = name.removeprefix(NAMESPACE).removeprefix(HUB)
    missing = (PREPROCESSOR,) if name.startswith(NAMESPACE) else (CONFIG, PREPROCESSOR)
    texts = {
        file: text
        for file in (CONFIG, PREPROCESSOR)
        if (text := _from_hub(repo, file, download=file in missing))
    }
    return _spec(f"{NAMESPACE}{repo}", texts, "hub", f"{HUB}{repo}") if CONFIG in texts else None


def _from_hub(repo: str, file: str, *, download: bool) -> str:
    """Return the text of a file in the cache, or from the Hub if it is reachable; else empty."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    try:
        found = try_to_load_from_cache(repo, file)
        if found is None and download and hub_reachable():
            found = hf_hub_download(repo, file)
        return read_small(Path(found)).decode() if isinstance(found, str) else ""
    except (OSError, ValueError):  # not a valid id, or there is no such file
        return ""


def _spec(name: str, texts: Mapping[str, str], tag: str, uri: str) -> BackboneSpec | None:
    config, prepared = (_parsed(texts.get(file, "{}"), name) for file in (CONFIG, PREPROCESSOR))
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        return None
    width = config.get(family.width, _DEFAULT_WIDTH)
    if not isinstance(width, int) or width < 1:
        raise NameLookupError(
            f"{name!r} is not supported: its config.json has a {family.width} of {width!r}",
            hint="Restore its config.json.",
        )
    classified = str((config.get("architectures") or [""])[0]).endswith("ForAudioClassification")
    own = classified and family.head != "zoo_head"
    classes = len(config.get("id2label") or ()) or 2
    return BackboneSpec(
        name=name,
        modality="audio",
        feature_dim=width,
        params=0,
        input=family.input(config, prepared),
        loader=LOADER,
        weights=(
            Weights(tag=tag, uri=uri, default=True, classes=classes if own else 0, config=CONFIG),
        ),
        license="Apache-2.0",
        tags=(str(config["model_type"]),),
        config={key: value for key, value in config.items() if key != "auto_map"},
    )


_DEFAULT_WIDTH = 768
"""Of all families, where a config states none."""


def _parsed(text: str, name: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise NameLookupError(
            f"{name}: its config is not JSON: {error}", hint="Restore its config.json."
        ) from error
    return data if isinstance(data, dict) else {}
