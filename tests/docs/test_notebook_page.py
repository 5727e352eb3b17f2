"""The notebook in docs/ is executed as a reader would, and shows what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


@pytest.mark.long
@pytest.mark.slow(1)
def test_the_notebook_runs_and_shows_tables_figures_and_a_moving_bar(tmp_path: Path) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    bars: list[str] = []

    class Client(nbclient.NotebookClient):  # type: ignore[misc, name-defined]
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            if msg["msg_type"] in ("display_data", "update_display_data"):
                bars.append(msg["content"]["data"].get("text/html", ""))
            return super().process_message(msg, cell, cell_index)

    client = Client(
        notebook, timeout=300, kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )  # fmt: skip
    client.execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    data = [{kind for output in cell.outputs for kind in output.get("data", ())} for cell in code]
    shown = {
        source: kinds for cell, kinds in zip(code, data, strict=True) for source in [cell.source]
    }
    assert "text/html" in next(k for s, k in shown.items() if s.startswith("run = "))
    assert "image/png" in shown["run.plot()"]
    for source in ("run.confusion()", "run.mistakes().head()"):
        assert "text/html" in shown[source]
    assert any("<progress" in bar for bar in bars)
    printed = "".join(o.get("text", "") for cell in code for o in cell.outputs)
    assert printed.count("full 1/2") >= 2
    red = "".join(o["text"] for cell in code for o in cell.outputs if o.get("name") == "stderr")
    assert "IProgress" in red or not red  # what tqdm says where there are no widgets
    assert "full 1/2" not in red
    displayed = [[o for o in c.outputs if o.output_type == "display_data"] for c in code]
    assert max(map(len, displayed)) == 1, "one bar per cell"
