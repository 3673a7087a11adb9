"""Weighted mean of several tables, measured on the dev material and written as the artefact."""

from __future__ import annotations

import argparse
from pathlib import Path

import artefact
import numpy as np
from data import distillation_parts
from develop import Development
from teacher import Teacher
from wordpiece import WordPiece, whole_words


def comparable(rows: np.ndarray) -> np.ndarray:
    """Rows scaled so that the median norm is one."""
    norms = np.linalg.norm(rows, axis=1)
    return rows / np.median(norms[norms > 0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=Path, nargs="+", help=".npz files of static_encoder.py")
    parser.add_argument("--weights", type=float, nargs="+", required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path("build/teacher"))
    parser.add_argument("--teacher", type=Path, default=None, help="model folder")
    parser.add_argument("--tf-power", type=float, default=0.5)
    parser.add_argument("--save", type=Path, default=None, help="the mean as .npz, to train on")
    parser.add_argument("--out", type=Path, default=None, help="the mean as artefact folder")
    args = parser.parse_args()

    saved = [np.load(path) for path in args.tables]
    rows = sum(
        weight * comparable(table["rows"])
        for weight, table in zip(args.weights, saved, strict=True)
    )
    teacher = Teacher(args.teacher, args.cache)
    wordpiece = WordPiece(teacher.folder, args.cache)
    held_out = distillation_parts(args.data, whole_words(teacher.folder))["held out"]
    develop = Development(args.data, wordpiece, held_out, teacher.encode(held_out))
    measured = develop.measure(rows, args.tf_power)
    print(measured)
    if args.save:
        np.savez(args.save, rows=rows, axes=saved[0]["axes"])
    if args.out:
        training = {
            "tables": [path.stem for path in args.tables],
            "weights": args.weights,
            "development": measured,
        }
        artefact.write(args.out, rows, wordpiece.vocabulary, args.tf_power, training)


if __name__ == "__main__":
    main()
