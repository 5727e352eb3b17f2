"""Threads sleep while they wait for each other, unless the user has chosen otherwise."""

from __future__ import annotations

import os
import sys

import pytest

from zoo.system.threads import POLICY, sleep_when_waiting, sleeping


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POLICY, "")  # so that it is as before after the test
    for name in (POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def test_the_command_line_lets_threads_sleep() -> None:
    sleep_when_waiting()
    assert os.environ[POLICY] == "PASSIVE"


def test_in_python_the_environment_is_as_before() -> None:
    with sleeping():
        assert os.environ[POLICY] == "PASSIVE"
    assert POLICY not in os.environ


@pytest.mark.parametrize(
    ("name", "value"), [(POLICY, "ACTIVE"), ("GOMP_SPINCOUNT", "9"), ("KMP_BLOCKTIME", "1")]
)
def test_what_the_user_has_chosen_stays(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    before = dict(os.environ)
    sleep_when_waiting()
    with sleeping():
        assert dict(os.environ) == before


def test_torch_reads_it_only_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with sleeping():
        assert POLICY not in os.environ
