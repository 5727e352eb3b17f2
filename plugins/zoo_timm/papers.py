"""Find the paper that timm cites for an architecture."""

from __future__ import annotations

import re
import sys
from typing import Any

from zoo_timm.library import timm

_ADDRESS = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})")


def paper(arch: str) -> str:
    """Return the URL of the paper of ``arch``; empty if timm cites none, or several.

    The first of these that exists: the paper in all configurations (one that is only in some is
    about training), the only one cited by the architecture's function, the only one cited in its
    model file.
    """
    build = timm.models.model_entrypoint(arch)
    number = (
        _shared(list(timm.models.get_arch_pretrained_cfgs(arch).values()))
        or _only_cited(build.__doc__)
        or _only_cited(sys.modules[build.__module__].__doc__)
    )
    return f"https://arxiv.org/abs/{number}" if number else ""


def _shared(configs: list[Any]) -> str:
    named = [_named(config) for config in configs]
    common = (number for number in named[0] if all(number in each for each in named))
    return next(common, "").removeprefix("arXiv:")


def _named(config: Any) -> list[str]:
    papers = config.paper_ids or ()
    return [papers] if isinstance(papers, str) else list(papers)


def _only_cited(text: str | None) -> str:
    found = set(_ADDRESS.findall(text or ""))
    return found.pop() if len(found) == 1 else ""
