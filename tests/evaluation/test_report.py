"""Whole evaluations: asking, reporting, saving, reading back."""

import json
import subprocess
import sys

import numpy as np
import pytest

from bigrain.errors import CancelledError, InvalidInputError, MissingExtraError
from bigrain.evaluation import (
    Comparison,
    Evaluation,
    Latency,
    SystemResult,
    compare,
    evaluate_systems,
    load_run,
    recall_against,
    score,
)

pytest.importorskip("ir_measures")

N_QUERIES = 40
QUERIES = {f"q{i}": f"text {i}" for i in range(N_QUERIES)} | {"extra": "nobody judged me"}
JUDGMENTS = {f"q{i}": {f"d{i}": 1, f"d{i + 1}": 2} for i in range(N_QUERIES)} | {"void": {"d0": 0}}


def engine(noise, seed=0):
    def search(text, k):
        i = int(text.split()[1])
        scores = np.random.default_rng([seed, i]).normal(0, noise, 60)
        scores[[i, i + 1]] += 1.0
        order = np.argsort(-scores)[:k]
        return [(f"d{at}", scores[at]) for at in order]

    return search


SYSTEMS = {"lexical": engine(0.6), "dense": engine(0.3, 1), "fused / both": engine(0.1, 2)}


@pytest.fixture(scope="module")
def evaluation():
    return evaluate_systems(
        SYSTEMS, QUERIES, JUDGMENTS, baseline="lexical", name="toy", keep_runs=True
    )


def test_numbers_are_those_of_score(evaluation):
    for name, system in evaluation.systems.items():
        scores = score(evaluation.runs[name], JUDGMENTS)
        assert system.per_query == scores
        assert {m: e.mean for m, e in system.measures.items()} == pytest.approx(scores.means())
        assert system.n_queries == N_QUERIES
        assert system.latency.n_calls == N_QUERIES
        for estimate in system.measures.values():
            assert estimate.low <= estimate.mean <= estimate.high


def test_notes_say_what_was_left_out(evaluation):
    notes = " ".join(evaluation.notes)
    assert "1 judged queries have no relevant" in notes
    assert evaluation.settings["n_queries_not_judged"] == 1


def test_baseline_comparisons_are_adjusted(evaluation):
    assert [each.a for each in evaluation.comparisons] == ["dense", "fused / both"]
    for each in evaluation.comparisons:
        assert each.b == "lexical" and each.measure == "nDCG@10"
        assert each.p_holm >= each.p_randomisation
        assert each.significant() and each.not_worse_than(0.01)
        assert each.low <= each.difference <= each.high
        assert each.difference == pytest.approx(each.mean_a - each.mean_b)
        assert each.wins + each.ties + each.losses == each.n_queries == N_QUERIES
    assert len(evaluation.against("dense")) == 2 * 4
    with pytest.raises(InvalidInputError, match="lexical"):
        evaluation.against("absent")


def test_compare_is_antisymmetric(evaluation):
    a, b = evaluation.systems["dense"], evaluation.systems["lexical"]
    there, back = compare(a, b, "RR@10"), compare(b, a, "RR@10")
    assert there.difference == -back.difference
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert there.p_t_test == pytest.approx(back.p_t_test)
    assert there.p_holm is None
    assert Comparison.from_dict(there.to_dict()) == there
    with pytest.raises(InvalidInputError, match="nDCG@10"):
        compare(a, b, "ERR@10")


def test_only_the_same_queries_can_be_compared():
    a = SystemResult.of("a", score({"q": {"d": 1}}, {"q": {"d": 1}}, "RR"))
    b = SystemResult.of("b", score({"r": {"d": 1}}, {"r": {"d": 1}}, "RR"))
    with pytest.raises(InvalidInputError, match="same queries"):
        compare(a, b, "RR")


def test_dictionaries_and_folders_read_back_equal(evaluation, tmp_path):
    pytest.importorskip("matplotlib")
    data = json.loads(json.dumps(evaluation.to_dict()))
    assert Evaluation.from_dict(data) == evaluation
    folder = evaluation.save(tmp_path / "report", latency_picture=True)
    back = Evaluation.load(folder)
    assert back == evaluation
    assert back.runs == evaluation.runs
    assert load_run(folder / "runs" / "fused_both.run") == evaluation.runs["fused / both"]
    for name in ("evaluation.png", "latency.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_systems_whose_file_names_collide_keep_their_runs(tmp_path):
    same = {"a b": engine(0.1, 1), "a/b": engine(0.1, 2), "...": engine(0.1, 3)}
    found = evaluate_systems(same, QUERIES, JUDGMENTS, measures="RR@10", k=10, keep_runs=True)
    assert Evaluation.load(found.save(tmp_path, picture=False)).runs == found.runs


def test_loading_something_else_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="no such file"):
        Evaluation.load(tmp_path)
    for content in ("{", "[]", '{"format": 99}', '{"format": 1}'):
        (tmp_path / "evaluation.json").write_text(content)
        with pytest.raises(InvalidInputError, match="not a saved evaluation"):
            Evaluation.load(tmp_path)


def test_table_and_rows(evaluation):
    text = evaluation.table()
    for word in ("toy: 40 queries", "lexical", "nDCG@10", "p50 ms", "dense - lexical", "note: "):
        assert word in text
    lines = text.splitlines()
    assert len({len(line) for line in lines[1:6]}) == 1
    rows = evaluation.rows()
    assert [row["system"] for row in rows] == list(SYSTEMS)
    assert rows[0]["nDCG@10"] == evaluation.systems["lexical"].measures["nDCG@10"].mean
    assert {"p50_ms", "p95_ms", "p99_ms", "queries_per_second", "R@100 low"} <= rows[0].keys()


def test_unanswered_queries_stay_in_the_denominator():
    def silent(text, k):
        return [("d", 1.0)] if text == "hello" else []

    queries, judgments = {"a": "hello", "b": "world"}, {"a": {"d": 1}, "b": {"d": 1}}
    found = evaluate_systems({"s": silent}, queries, judgments, measures="RR")
    assert found.systems["s"].measures["RR"].mean == 0.5
    assert found.systems["s"].n_unanswered == 1
    assert any("1 queries without results" in note for note in found.notes)


def test_identical_ids_do_not_cost_a_result():
    asked = []

    def search(text, k):
        asked.append(k)
        return [("q", 3.0), ("a", 2.0), ("b", 1.0)][:k]

    found = evaluate_systems(
        {"s": search}, {"q": "text"}, {"q": {"b": 1}}, k=2, measures="R@2",
        ignore_identical_ids=True, warm_up=0, keep_runs=True,
    )  # fmt: skip
    assert asked == [3]
    assert found.runs["s"]["q"] == {"a": 2.0, "b": 1.0}
    assert found.systems["s"].measures["R@2"].mean == 1.0


@pytest.mark.parametrize(
    ("hits", "message"),
    [
        ([("a", 1.0), ("b", 2.0)], "scores rise from 1.0 to 2.0 at hit 2"),
        ([("a", 1.0), ("a", 0.5)], "'a' twice"),
        ([("a", float("nan"))], "finite"),
        ([(7, 1.0)], "string id"),
        (["a"], "expected \\(document id, score\\)"),
    ],
)
def test_systems_that_break_the_agreement_are_named(hits, message):
    with pytest.raises(InvalidInputError, match=f"system 's', query 'q': .*{message}"):
        evaluate_systems({"s": lambda text, k: hits}, {"q": "x"}, {"q": {"a": 1}})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"systems": {}}, "no systems"),
        ({"k": 0}, "k is 0"),
        ({"k": 50}, "pass k=100"),
        ({"measures": "nope"}, "unknown measure"),
        ({"baseline": "absent"}, "not among"),
        ({"judgments": {"q0": {"d": 0}}}, "relevant"),
        ({"queries": {"q0": "x"}}, "have no text"),
    ],
)
def test_wrong_arguments_are_refused_before_the_first_call(changed, message):
    def never(text, k):
        raise RuntimeError("called")

    given = {"systems": {"s": never}, "queries": QUERIES, "judgments": JUDGMENTS} | changed
    with pytest.raises(InvalidInputError, match=message):
        evaluate_systems(**given)


def test_progress_is_told_and_cancels():
    seen = []
    evaluate_systems(SYSTEMS, QUERIES, JUDGMENTS, progress=seen.append)
    assert {update.stage for update in seen} == {f"asking {name}" for name in SYSTEMS}
    assert seen[-1].done == seen[-1].total == N_QUERIES

    def stop(update):
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        evaluate_systems(SYSTEMS, QUERIES, JUDGMENTS, progress=stop)


def test_latency_summary():
    latency = Latency.of([i / 100 for i in range(1, 101)])
    assert latency.p50_s == pytest.approx(0.505)
    assert latency.p95_s == pytest.approx(0.9505)
    assert latency.queries_per_second == pytest.approx(100 / 50.5)
    assert Latency.of([1.0, 1.0], wall_s=1.0).queries_per_second == 2.0
    assert Latency.from_dict(json.loads(json.dumps(latency.to_dict()))) == latency
    for wrong in ([], [-1.0], [float("inf")]):
        with pytest.raises(InvalidInputError):
            Latency.of(wrong)


def test_recall_against_exact_search():
    exact = {"q": {"a": 3.0, "b": 2.0, "c": 2.0}, "r": {"a": 1.0}}
    run = {"q": {"a": 3.0, "b": 2.0}}
    # order of the exact answer: a c b
    assert recall_against(run, exact, k=2) == {"q": 0.5, "r": 0.0}
    assert recall_against(run, exact, k=2, tolerance=1e-6) == {"q": 1.0, "r": 0.0}
    with pytest.raises(InvalidInputError):
        recall_against(run, exact, k=0)


def test_importing_is_light():
    code = (
        "import sys, bigrain.evaluation; heavy = {'ir_measures', 'matplotlib', 'scipy'}; "
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("library", ["ir_measures", "matplotlib"])
def test_a_missing_library_names_the_extra(monkeypatch, tmp_path, evaluation, library):
    for module in [name for name in sys.modules if name.split(".")[0] == library] + [library]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"bigrain\[eval\]"):
        if library == "ir_measures":
            score({"q": {"d": 1}}, {"q": {"d": 1}})
        else:
            evaluation.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()
