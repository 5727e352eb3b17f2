"""The benchmarks' own logic: a section per kind of machine, targets, and what fits into the minutes."""

from __future__ import annotations

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are not part of the source distribution")

from benchmarks import report
from benchmarks.equal_starts.table import tables as equal_starts
from benchmarks.machine import AVX2, AVX512_BF16
from benchmarks.speed.budget import Budget, expected_seconds, fitting
from benchmarks.speed.cases import CASES
from benchmarks.speed.gpu_cases import GPU_CASES
from benchmarks.speed.table import not_measured, tables

PAGE = "# Page\n<!-- speed -->\n<!-- end of speed -->\nend\n"


def test_measuring_on_one_kind_of_machine_keeps_the_sections_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = PAGE
    for kind, text in ((AVX2, "old"), (AVX512_BF16, "other"), (AVX2, "new")):
        monkeypatch.setattr(report, "kind", lambda device, kind=kind: kind)
        page = report.with_section(page, "speed", text)
    assert page == (
        "# Page\n<!-- speed -->\n\n"
        "<!-- speed: avx2 -->\n**Processor with AVX2, without bfloat16**\n\nnew\n"
        "<!-- end of speed: avx2 -->\n\n"
        "<!-- speed: avx512-bf16 -->\n**Processor with AVX512-BF16, without AMX**\n\nother\n"
        "<!-- end of speed: avx512-bf16 -->\n<!-- end of speed -->\nend\n"
    )


def test_a_target_depends_on_the_kind_of_machine() -> None:
    case = next(case for case in CASES if case.name == "full-images")
    result = {"case": case.name, "memory": 100, "seconds": 9.0, "repeat": 0}
    results = [
        result | {"by": "zoo", "samples_per_second": 15.0},
        result | {"by": "tutorial loop", "samples_per_second": 10.0},
    ]
    assert "1.50 × | at least 1.3 × | met" in tables([case], results, AVX2)
    assert "1.50 × | at least 2.5 × | not met" in tables([case], results, AVX512_BF16)
    planned = [(case, library) for library in case.libraries]
    lost = not_measured(planned, results, {(case.name, "Lightning"): "no time left"})
    assert [line.partition(": ")[2].partition(": ")[2] for line in lost] == [
        "fastai, unfrozen.", "Lightning (no time left).", "timm's recipe.",
    ]  # fmt: skip


def test_what_has_a_target_fits_into_the_minutes_with_as_many_samples_as_possible() -> None:
    samples = [fitting(GPU_CASES, 60 * minutes)[0].samples for minutes in (1, 6, 30)]
    assert samples == [2000, 5000, 20000]
    needed = sum(
        expected_seconds(case, library)
        for case in fitting(GPU_CASES, 360)
        for library in case.libraries
        if not library.optional
    )
    assert needed <= 360


def test_a_run_ends_before_the_minutes_do() -> None:
    times = iter([0.0, 10.0, 300.0])
    budget = Budget(6, lambda: next(times))
    assert budget.limit(40) == 120  # three times what was expected
    assert budget.limit(40) == 50  # what is left, ten seconds aside
    assert Budget(None).limit(40) is None


def test_the_cases_of_a_processor_fit_into_half_an_hour() -> None:
    seconds = sum(lib.repeats * lib.seconds for case in CASES for lib in case.libraries)
    assert seconds <= 1800


def test_equal_starts_name_the_cells_in_which_zoo_is_behind_by_more_than_noise() -> None:
    def results(method: str, budget: str, *accuracies: float) -> list[dict[str, object]]:
        cell = {"dataset": "images", "shots": 5, "method": method, "budget": budget}
        cost = {"seconds": 60.0, "memory": 10**9}
        return [cell | cost | {"seed": s, "test": a} for s, a in enumerate(accuracies)]

    text = equal_starts([
        *results("zoo", "1", 0.80, 0.82), *results("trainer", "1", 0.90, 0.91),
        *results("zoo", "3", 0.80, 0.90), *results("trainer", "3", 0.86, 0.88),
        *results("logistic regression", "", 0.84, 0.84),
    ])  # fmt: skip
    assert "| 5, zoo | 81.0 ± 1.4 | 85.0 ± 7.1 |" in text
    assert "| 5, logistic regression | 84.0 ± 0.0 | 84.0 ± 0.0 |" in text
    assert (
        "images: zoo is first or within noise of the first in 1 of 2 cells; behind in: "
        "5 per class, 1 epoch: trainer by 9.5 points." in text
    )
