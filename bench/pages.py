"""Writes figures and tables into the documentation, between two marks of a page."""

from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parent.parent / "docs" / "appendix" / "reliability.md"


def put_section(name: str, text: str, page: Path = PAGE) -> None:
    """Replace the text between the marks of this name."""
    old = page.read_text("utf-8")
    before, after = _around(old, name)
    page.write_text(f"{before}\n{text.strip()}\n{after}", "utf-8")


def section(name: str, page: Path = PAGE) -> str:
    """The text between the marks."""
    old = page.read_text("utf-8")
    before, after = _around(old, name)
    return old[len(before) : len(old) - len(after)].strip()


def _around(text: str, name: str) -> tuple[str, str]:
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the page must have each mark of {name} once")
    before, rest = text.split(begin)
    return before + begin, end + rest.split(end)[1]
