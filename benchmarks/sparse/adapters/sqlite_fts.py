"""SQLite FTS5: a table without content, its own BM25 (Robertson's idf)."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

from .base import STOP_WORDS, Adapter

WORD = re.compile(r"\w+")
STOPPED = frozenset(STOP_WORDS)


class Fts5(Adapter):
    package, module = "sqlite3", "sqlite3"
    describes = "bm25() k1 1.2, b 0.75; unicode61, Porter; stop words indexed, left out of queries"

    def build(self, documents: list[str], folder: Path) -> None:
        table = sqlite3.connect(folder / "texts.db")
        table.execute(
            "create virtual table t using fts5(x, content='', tokenize='porter unicode61')"
        )
        table.executemany("insert into t (rowid, x) values (?, ?)", enumerate(documents))
        table.execute("insert into t (t) values ('optimize')")
        table.commit()
        table.close()

    def open(self, folder: Path) -> None:
        self.table = sqlite3.connect(folder / "texts.db")

    def single(self, query: str, k: int) -> Any:
        words = (word for word in WORD.findall(query.lower()) if word not in STOPPED)
        asked = " OR ".join(f'"{word}"' for word in words)
        if not asked:
            return []
        rows = self.table.execute(
            "select rowid from t where t match ? order by rank limit ?", (asked, k)
        )
        return rows.fetchall()

    def ids(self, found: Any) -> list[list[int]]:
        return [[row for (row,) in rows] for rows in found]

    def close(self) -> None:
        self.table.close()
