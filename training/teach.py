"""Encode every text that training or evaluation needs with the teacher; fills the cache."""

from __future__ import annotations

import argparse
from pathlib import Path

from data import distillation_parts, read_set
from evaluate import TARGET_SETS
from teacher import Teacher
from wordpiece import read_vocabulary, whole_words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path("build/teacher"))
    parser.add_argument("--teacher", type=Path, default=None, help="model folder")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    teacher = Teacher(args.teacher, args.cache, args.threads)
    parts = distillation_parts(args.data, whole_words(teacher.folder))
    teacher.encode_tokens(read_vocabulary(teacher.folder))
    for name, texts in parts.items():
        teacher.encode(texts, label=name)
    for name, split in TARGET_SETS.items():
        target = read_set(args.data, name, split)
        teacher.encode(target.queries, label=f"{name} queries")
        teacher.encode(target.documents, label=f"{name} documents")


if __name__ == "__main__":
    main()
