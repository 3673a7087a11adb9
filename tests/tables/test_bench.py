"""The comparison: data, measures, one run, the grid, the report, the command."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bigrain.cli import main
from bigrain.errors import ConfigError, InvalidInputError
from bigrain.tables.bench.data import Split, arxiv_authors, generated, load_data, movielens
from bigrain.tables.bench.grid import jobs
from bigrain.tables.bench.job import Job, Worker
from bigrain.tables.bench.report import best_at, pareto, recommendations, summary

SMALL = {"rows": 400, "vocabulary": 60, "fields": 3}


def test_generated_ids_follow_zipf_and_can_be_learned() -> None:
    data = generated(rows=8000, vocabulary=300, fields=3, skew=1.0, seed=1)
    assert data.fields == (300, 100, 33) and data.num_ids == 433
    counts = np.asarray(data.frequencies)[:300]
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.3)
    assert 0.2 < data.train.labels.mean() < 0.8
    assert (len(data.train), len(data.validation), len(data.test)) == (8000, 2000, 2000)
    again = generated(rows=8000, vocabulary=300, fields=3, skew=1.0, seed=1)
    np.testing.assert_array_equal(data.test.ids, again.test.ids)


def test_bags_are_taken_whole() -> None:
    split = Split(np.array([5, 6, 7, 8, 9, 1]), np.array([0, 2, 3, 6]), np.array([0, 1, 2]))
    some = split.take(np.array([2, 0]))
    assert some.ids.tolist() == [8, 9, 1, 5, 6] and some.offsets is not None
    assert some.offsets.tolist() == [0, 3, 5] and some.labels.tolist() == [2, 0]
    assert [len(batch) for batch in split.batches(2)] == [2, 1]


def test_arxiv_authors_and_movielens_are_read(tmp_path: Path) -> None:
    for name, lines in (("train", "1\t4,2\n0\t3\n"), ("dev", "1\t0\n"), ("test", "0\t1,2\n")):
        with gzip.open(tmp_path / f"{name}.tsv.gz", "wt") as file:
            file.write(lines)
    data = arxiv_authors(tmp_path)
    assert data.num_ids == 5 and data.classes == 2
    assert data.train.ids.tolist() == [4, 2, 3]
    with gzip.open(tmp_path / "movies.csv.gz", "wt") as file:
        file.write("movieId,title,genres\n7,Silo (1999),Drama|War\n9,Tide,Comedy\n")
    with gzip.open(tmp_path / "ratings.csv.gz", "wt") as file:
        file.write("userId,movieId,rating,timestamp\n")
        file.writelines(f"{i % 3},{7 + 2 * (i % 2)},{i % 5 + 1},{100 - i}\n" for i in range(20))
    clicks = movielens(tmp_path)
    for name in ("movies.csv", "ratings.csv"):  # as GroupLens gives them
        packed = tmp_path / f"{name}.gz"
        (tmp_path / name).write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert (movielens(tmp_path).train.ids == clicks.train.ids).all()
    with pytest.raises(InvalidInputError, match="holds neither movies.csv nor movies.csv.gz"):
        movielens(tmp_path / "elsewhere")
    assert clicks.fields == (3, 2, 2, 2) and len(clicks.train) == 16
    assert clicks.test.labels.tolist() == [0, 0]  # the first two rows, the latest times
    with pytest.raises(InvalidInputError, match="folder"):
        load_data("arxiv-authors", None, {})
    with pytest.raises(InvalidInputError, match="known"):
        load_data("criteo", None, {})


def record(method: str, rate: float, seed: int, score: float, size: int) -> dict[str, Any]:
    return {
        "job": {"method": method, "rate": rate, "seed": seed},
        "score": score, "log_loss": 0.5, "bytes": size, "achieved_rate": rate, "train_s": 1.0,
        "peak_training_bytes": 10, "lookup_ns": 5.0, "torch_lookup_ns": 5.0, "embedding_ns": 4.0,
    }  # fmt: skip


def test_the_report_finds_winners_and_intervals() -> None:
    records = [record("full.v1", 1.0, seed, 0.8, 1000) for seed in range(3)]
    records += [record("a.v1", 0.1, seed, 0.7 + 0.01 * seed, 100) for seed in range(3)]
    records += [record("b.v1", 0.1, seed, 0.795, 110) for seed in range(3)]
    records += [record("c.v1", 0.5, seed, 0.6, 500) for seed in range(3)]
    records.append({"job": {"method": "d.v1", "rate": 0.1, "seed": 0}, "impossible": "no"})
    rows = summary(records)
    assert [row.method for row in best_at(rows)[0.1]] == ["b.v1", "a.v1"]
    a = next(row for row in rows if row.method == "a.v1")
    assert a.score == pytest.approx(0.71)
    assert a.interval == pytest.approx(4.303 * 0.01 / 3**0.5)
    assert [row.method for row in pareto(rows)] == ["a.v1", "b.v1", "full.v1"]
    told = recommendations(rows)
    assert told["fewest bytes within 0.01 of the best score"].startswith("b.v1")
    assert told["best score at 0.5 of the bytes"].startswith("c.v1")


def test_jobs_are_every_method_at_every_rate_and_seed() -> None:
    found = jobs(["full.v1", "hash.v1", "mgqe.v1"], (0.5, 0.1), 3)
    assert len(found) == 3 + 2 * 2 * 3 and len({job.name for job in found}) == len(found)
    chosen = {"hash.v1": {"learning_rate": 0.5, "options": {}}}
    rates = [job.learning_rate for job in jobs(["hash.v1"], (0.5,), 1, chosen, learning_rate=0.1)]
    assert rates == [0.1, 0.5]
    with pytest.raises(ConfigError, match="known"):
        Job("hash.v2", 0.1, 0)
    with pytest.raises(ConfigError, match="bag"):
        Job("hash.v1", 0.1, 0, data="arxiv-authors")


def test_auc() -> None:
    pytest.importorskip("torch")
    from bigrain.tables.bench.training import auc

    labels = np.array([0, 0, 1, 1])
    assert auc(np.array([1, 2, 3, 4]), labels) == 1
    assert auc(np.array([4, 3, 2, 1]), labels) == 0
    assert auc(np.array([1, 3, 3, 4]), labels) == 0.875
    assert auc(np.ones(4), labels) == 0.5


@pytest.mark.parametrize("model", ["cross", "deepfm", "dlrm", "wide_deep"])
def test_models_learn_clicks(model: str) -> None:
    torch = pytest.importorskip("torch")
    from bigrain.tables.bench.training import train

    torch.set_num_threads(1)
    job = Job("full.v1", 1, 0, data_options={"rows": 2000, "vocabulary": 20, "fields": 3},
              model=model, dim=4, epochs=6, learning_rate=0.02, batch=128)  # fmt: skip
    assert train(job)["score"] > 0.7


def test_a_job_runs_in_a_process_of_its_own() -> None:
    pytest.importorskip("torch")
    job = Job("hash.v1", 0.5, 0, data_options=SMALL, epochs=1)
    with Worker() as worker:
        told, again = worker.run(job), worker.run(job)
    assert told["score"] == again["score"]
    assert 0 < told["score"] < 1 and 0 < told["validation"] < 1 and told["achieved_rate"] <= 0.51
    assert told["peak_training_bytes"] >= 0 and told["lookup_ns"] > 0
    assert "folder" not in told["job"]


def test_a_job_that_fails_says_why_and_the_next_one_runs() -> None:
    pytest.importorskip("torch")
    with Worker() as worker:
        with pytest.raises(ConfigError, match="hashes must be at least 1"):
            worker.run(Job("dhe.v1", 0.5, 0, data_options=SMALL, options={"hashes": 0}))
        told = worker.run(Job("hash.v1", 0.5, 0, data_options=SMALL, epochs=1))
    assert told["steps"] > 0


def test_the_command_keeps_records_and_goes_on_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from bigrain.tables.bench import grid, training

    class Here(Worker):
        def run(self, job: Job) -> dict[str, Any]:
            return training.train(job)

    monkeypatch.setattr(grid, "Worker", Here)

    def run(*more: str) -> Any:
        arguments = ["bench", "tables", "--rows", "300", "--vocabulary", "600", "--epochs", "1"]
        arguments += ["--method", "hash.v1", "--rate", "0.5", *more]
        return CliRunner().invoke(main, [*arguments, "--to", str(tmp_path), "--dim", "4"])

    first = run("--json")
    assert first.exit_code == 0, first.stderr
    told = json.loads(first.stdout)
    assert [(row["method"], row["rate"]) for row in told["rows"]] == [
        ("full.v1", 1.0), ("hash.v1", 0.5),
    ]  # fmt: skip
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["generated-dlrm-full.v1-1-0.json", "generated-dlrm-hash.v1-0.5-0.json"]
    times = [path.stat().st_mtime_ns for path in tmp_path.iterdir()]
    shown = run()
    assert "best score at 0.5 of the bytes: hash.v1" in shown.stdout
    assert times == [path.stat().st_mtime_ns for path in tmp_path.iterdir()]
    other = run("--skew", "2")
    assert other.exit_code == 2 and "other settings" in other.stderr


def test_a_budget_that_cannot_be_met_is_a_record_too() -> None:
    pytest.importorskip("torch")
    from bigrain.tables.bench.training import train

    told = train(Job("hash.v1", 1e-5, 0, data_options=SMALL))
    assert "smallest table" in told["impossible"]


def test_the_command_explains_itself() -> None:
    shown = CliRunner().invoke(main, ["bench", "tables", "--help"]).stdout
    assert "bigrain bench tables --rows" in shown
    assert "bigrain bench tables --help" in CliRunner().invoke(main, ["bench", "--help"]).stdout
    wrong = CliRunner().invoke(main, ["bench", "tables", "--data", "arxiv-authors", "--rows", "50"])
    assert wrong.exit_code == 2
    for data, told in (("movielens-small", "--folder"), ("nope", "generated")):
        wrong = CliRunner().invoke(main, ["bench", "tables", "--data", data])
        assert wrong.exit_code == 2 and told in wrong.stderr
