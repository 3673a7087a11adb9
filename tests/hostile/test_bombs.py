"""Bombs: small files that unpack or nest to far too much, read by a child with little memory."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import cases

BOMBS = cases.bombs()
ADDRESS_SPACE = 3 << 29
SECONDS = 200  # for all of them; about 10 are needed
CHILD = """
import json, resource, sys
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[2])
from bigrain.text import read_documents
from tests.hostile import cases, running
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]),) * 2)
for case in cases.bombs():
    folder = Path(sys.argv[1], case.name)
    folder.mkdir()
    running.lay(folder, case.make())
    try:
        told = [case.name, None, " ".join(document.id for document in read_documents(folder))]
    except BaseException as error:
        told = [case.name, type(error).__name__, str(error)]
    print(json.dumps(told), flush=True)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the child said about each, by name."""
    path = json.dumps([str(Path(__file__).parents[2]), *sys.path])
    folder = tmp_path_factory.mktemp("bombs")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), path, str(ADDRESS_SPACE)],
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: rest for name, *rest in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("case", BOMBS, ids=lambda case: case.name)
def test_bomb(told: dict[str, Any], case: cases.Case) -> None:
    error, message = told[case.name]
    assert error == case.error, message
    if error is None:
        assert message == case.says
    else:
        assert re.search(case.says, message), message
