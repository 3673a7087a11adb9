"""The generated pages of the reference are up to date and complete."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import bigrain
from docs import generate
from tests.docs.pages import ROOT


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_generated_page_is_up_to_date(name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    assert written == generate.PAGES[name](), f"run `python docs/generate.py` to renew {name}"


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    missing = [
        name
        for name in bigrain.__all__
        if f"`{name}" not in page and f"## bigrain.{name}\n" not in page
    ]
    assert not missing


def test_every_command_is_in_the_reference() -> None:
    from bigrain.cli import main

    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    assert [f"## bigrain {name}\n" in page for name in main.commands] == [True] * len(main.commands)


def test_every_environment_variable_is_in_the_reference() -> None:
    import re

    page = (ROOT / "docs" / "reference" / "environment.md").read_text("utf-8")
    for file in (ROOT / "src").rglob("*.py"):
        for name in re.findall(r'"(BIGRAIN_[A-Z]+)"', file.read_text("utf-8")):
            assert f"`{name}`" in page, f"{file.name} reads {name}"


PUBLIC = ("bigrain.text", "bigrain.evaluation", "bigrain.testing", "bigrain.encoders")


def _modules_with_examples() -> list[str]:
    names = ["bigrain"]
    for module in pkgutil.walk_packages(bigrain.__path__, "bigrain."):
        if not module.name.startswith(PUBLIC):
            continue
        spec = module.module_finder.find_spec(module.name, None)  # type: ignore[call-arg]
        origin = Path(spec.origin) if spec is not None and spec.origin else None
        if origin is None or origin.suffix != ".py" or module.name.endswith("__main__"):
            continue
        if ">>> " in origin.read_text("utf-8"):
            names.append(module.name)
    return names


@pytest.mark.parametrize("name", _modules_with_examples())
def test_examples_in_docstrings_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted and not found.failed
