"""The code blocks of the documentation, and which of their lines somebody would type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("", "shell", "bash", "sh", "console")
PROGRAMS = ("zoo", "echo", "printf", "pip", "pytest", "python")
PROGRAMS += ("torchrun", "accelerate", "mkdocs", "cd")

UNRUN: Mapping[str, str] = {
    r"pip install (?!-e \.)": "installs from the network; CI types the README's line",
    r"pytest\b": "is what runs this",
    r"torchrun\b": "several processes: end_to_end/test_processes.py",
    r"accelerate\b": "several processes, or cards: end_to_end/test_processes.py",
    r"mkdocs\b": "serves until it is stopped; docs/test_site.py builds the site",
    r"zoo finetune --resume": "needs a run that was stopped: end_to_end/test_resume.py",
    r"zoo serve\b": "serves until it is stopped; it has tests of its own",
    r"zoo push\b": "sends to the Hub; it has tests of its own",
    r"zoo tune\b": "takes minutes: end_to_end/test_tune.py",
    r"zoo (recommend|embed|clean)\b": "wants published weights, and none are here; its own tests have some",
    r".*--open\b": "opens a browser",
    r".*<\w+>": "has a placeholder",
}
"""Commands that are not run here, and why; a block may also say so: ```shell title="not run: …"."""

UNRUN_CODE: Mapping[str, str] = {
    "snapshot_download(": "fetches from the Hub",
    "zoo.clean(": "wants published weights: end_to_end/test_clean.py",
}
"""What a Python block holds that is not run here, and why."""

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: From the project's root.
        line: Of its fence.
        section: The ``##`` heading that it stands under.
        language: As the fence names it; empty where it does not.
        info: What else the fence says.
        text: Without the fences, and without the indent of both.
    """

    page: str
    line: int
    section: str
    language: str
    info: str
    text: str

    @property
    def excuse(self) -> str:
        """Why the block itself says that it is not run; else empty."""
        found = re.search(r'title="not run: ([^"]+)"', self.info)
        return found[1] if found else ""

    @property
    def file(self) -> str:
        """The name of the file that the block shows, as its title."""
        found = re.search(r'title="([\w.]+\.py)"', self.info)
        return found[1] if found else ""

    def is_run(self) -> bool:
        """Whether any of it is run."""
        if self.language == "python":
            return not self.excuse and not any(code in self.text for code in UNRUN_CODE)
        typed = any(not why_unrun(command) for command in self.commands())
        return typed and not self.excuse

    def commands(self) -> list[str]:
        """The command lines, continued lines joined; none where the block is output or a tree."""
        if self.language not in SHELL:
            return []
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        if any(line.startswith("$ ") for line in lines):
            return [line[2:] for line in lines if line.startswith("$ ")]
        typed = [re.split(r" {3,}|\s+# ", line.strip())[0] for line in lines if line.strip()]
        starts = [line.split()[0] in PROGRAMS for line in typed]
        assert all(starts) or not any(starts), f"{self.page}:{self.line}: {typed}"
        assert all(starts) or not self.language, f"{self.page}:{self.line}: not known: {typed}"
        return typed if all(starts) else []


def blocks(page: Path) -> Iterator[Block]:
    """All of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        before = text[: found.start()]
        headings = re.findall(r"^## (.+)$", before, re.MULTILINE)
        language, _, info = found[2].strip().partition(" ")
        yield Block(
            page=str(page.relative_to(ROOT)),
            line=before.count("\n") + 1,
            section=headings[-1] if headings else "",
            language=language,
            info=info,
            text=re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE),
        )


def why_unrun(command: str) -> str:
    """The reason in ``UNRUN``, or the empty string for a command that is run."""
    return next((why for pattern, why in UNRUN.items() if re.match(pattern, command)), "")
