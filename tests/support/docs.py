"""Reads the Markdown pages of this project: fences, links, headings, tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]\n]*(?:\n[^\]\n]*)?\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<title>.+?)\s*$", re.MULTILINE)
_NAME = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Fence:
    """
    - info - what stands behind the backticks, such as "python no-run".
    - line - of its first line of code, from 1.
    """

    info: str
    code: str
    line: int

    @property
    def file(self) -> str:
        """What its first line, a comment, says that it is; "" when there is no such comment."""
        first = self.code.partition("\n")[0]
        return first.removeprefix("# ") if first.startswith("# ") else ""


class Page:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text()

    def __repr__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def fences(self) -> list[Fence]:
        return [
            Fence(match["info"], match["code"], self.text.count("\n", 0, match.start()) + 2)
            for match in _FENCE.finditer(self.text)
        ]

    @cached_property
    def prose(self) -> str:
        """The text without its fences."""
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> Iterator[str]:
        return (match["target"] for match in _LINK.finditer(self.prose))

    @cached_property
    def anchors(self) -> set[str]:
        """As GitHub makes them of the headings."""
        titles = (match["title"] for match in _HEADING.finditer(self.prose))
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    def table(self, heading: str, nth: int = 1) -> list[list[str]]:
        """The cells of the nth table below a heading, before the next one, without its head."""
        below = re.split(rf"^#+ {re.escape(heading)}$", self.prose, flags=re.MULTILINE)[1]
        section = re.split(r"^#", below, flags=re.MULTILINE)[0]
        tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
        assert len(tables) >= nth, f"{self}: no table {nth} below {heading!r}"
        lines = tables[nth - 1].strip().splitlines()[2:]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    def names(self, heading: str, nth: int = 1) -> set[str]:
        """What stands in backticks in its first column: of a call the name, of more the word."""
        cells = (row[0] for row in self.table(heading, nth))
        return {re.split(r"[( ]", name)[0] for cell in cells for name in _NAME.findall(cell)}

    def program(self) -> str:
        """Its fences that run, as one program whose line numbers are those of the page."""
        lines = [""] * self.text.count("\n")
        for fence in self.fences:
            if fence.info == "python":
                code = fence.code.splitlines()
                lines[fence.line - 1 : fence.line - 1 + len(code)] = code
        return "\n".join(lines) if any(lines) else ""


def pages() -> list[Page]:
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [Page(path) for path in paths if path.exists()]


def page(path: str) -> Page:
    return Page(ROOT / path)


def expected_output(program: str) -> str:
    """The comments behind the calls of `print`, a line each, in the order of the program."""
    said = re.findall(r"^ *print\(.*\)  # (.*)$", program, re.MULTILINE)
    return "".join(f"{line}\n" for line in said)
