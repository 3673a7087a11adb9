"""A collection of what a module's `original` makes, for each test anew."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bigrain
from bigrain.testing import QuickDisk
from tests.learning.making import made


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("made") / "a.grain")


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "a.grain"))


@pytest.fixture
def col(path: Path) -> Iterator[Any]:
    with bigrain.open(path, files=QuickDisk()) as opened:
        yield opened
