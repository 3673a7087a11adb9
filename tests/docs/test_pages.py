"""Everything shown in README and docs/ works: code, commands, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, examples, name_of

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```[^\S\n]*$", re.MULTILINE | re.DOTALL)
WITH_BLOCKS = [page for page in PAGES if re.search(r"```(python|console)", page.read_text("utf-8"))]


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=name_of)
def test_blocks_work(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for example in examples(page):
        example.evaluate()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    for target in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}, which is not there"
        assert file.is_relative_to(ROOT), f"{name_of(page)} links out of the repository: {target}"
        if anchor:
            assert anchor in anchors(file), f"{name_of(page)} links to {target}: no such heading"


def test_every_page_is_reachable() -> None:
    """From README.md, by links."""
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.is_relative_to(ROOT) and file.exists():
                waiting.append(file)
    assert not [name_of(page) for page in PAGES if page not in seen]


def test_skipped_blocks_say_why() -> None:
    for page in PAGES:
        for skip in re.findall(r"<!--+\s*skip: *next(.*?)--+>", page.read_text("utf-8")):
            assert skip.strip(), f"{name_of(page)}: a skipped block without its reason"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE):
        kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        found.add(kept.strip().replace(" ", "-"))
    return found
