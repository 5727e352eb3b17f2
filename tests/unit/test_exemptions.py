"""Exemptions from checks: to whom they apply, and what they must say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from zoo.contract.exemptions import Exemption, reason_for
from zoo.errors import ContractError
from zoo.testing.catalogue import exemptions_match_checks_and_backbones


def test_an_exemption_is_for_the_backbones_that_it_names() -> None:
    given = [Exemption(check="width", reason="has two heads", backbones=("twin*",))]
    assert reason_for(given, "width", "twin_small") == "has two heads"
    assert reason_for(given, "width", "single") == ""
    assert reason_for(given, "stages", "twin_small") == ""


@pytest.mark.parametrize("reason", ["", "  "])
def test_an_exemption_without_a_reason_is_none(reason: str) -> None:
    with pytest.raises(ContractError, match="'width'"):
        Exemption(check="width", reason=reason)


def test_a_text_is_no_tuple_of_backbones() -> None:
    with pytest.raises(ContractError, match="needs a tuple of backbones"):
        Exemption(check="width", reason="has two heads", backbones="twin")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("check", "pattern", "missing"),
    [("can_fly", "*", "can_fly"), ("can_be_exported", "b*", r"b\*")],
)
def test_an_exemption_names_a_check_and_backbones_that_there_are(
    check: str, pattern: str, missing: str
) -> None:
    def published(check: str, pattern: str) -> Any:
        exemption = Exemption(check=check, reason="has two heads", backbones=(pattern,))
        return SimpleNamespace(specs=[SimpleNamespace(arch="net")], exemptions=[exemption])

    exemptions_match_checks_and_backbones(published("can_be_exported", "n*"))
    with pytest.raises(AssertionError, match=missing):
        exemptions_match_checks_and_backbones(published(check, pattern))
