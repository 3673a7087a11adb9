"""Write the fixture of the bigrain that is installed: an archive, and what it must answer.

python -m tests.compat.make
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import zipfile
from pathlib import Path

import bigrain
from tests.compat.making import answers, build

HERE = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "docs.grain"
        build(path)
        with bigrain.open(path, read_only=True) as col:
            expected = answers(col)
        db = sqlite3.connect(path / "catalogue.sqlite")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        name = f"{bigrain.__version__}-format{version}"
        with zipfile.ZipFile(HERE / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for folder_name in ("segments", "staging", "readers"):
                archive.mkdir(folder_name)
            for file in [path / "catalogue.sqlite", *sorted((path / "segments").iterdir())]:
                archive.write(file, file.relative_to(path))
    text = json.dumps(expected, ensure_ascii=False, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{name}: {(HERE / name).with_name(name + '.zip').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
