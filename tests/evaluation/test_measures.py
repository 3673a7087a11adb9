"""Scores against numbers worked by hand and against pytrec_eval."""

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.errors import InvalidInputError
from bigrain.evaluation import score
from bigrain.evaluation.measures import cutoffs

pytrec_eval = pytest.importorskip("pytrec_eval")

# q1: graded, with unjudged u1 and u2.   q2: nothing found.   q3: a, b and c tie.
JUDGMENTS = {
    "q1": {"a": 2, "b": 1, "c": 0, "d": 3},
    "q2": {"a": 1},
    "q3": {"a": 1, "c": 1, "e": 0},
}
RUN = {
    "q1": {"u1": 9.0, "a": 8.0, "c": 7.0, "b": 6.0, "u2": 5.0},
    "q2": {},
    "q3": {"a": 1.0, "b": 1.0, "c": 1.0, "e": 0.5},
}
MEASURES = ["nDCG@10", "RR@10", "RR", "R@2", "AP", "AP@2", "P@2"]
BY_HAND = {
    # order of q1: u1 a c b u2;  of q3: c b a e, since ties go by descending id
    "nDCG@10": {
        "q1": (2 / log2(3) + 1 / log2(5)) / (3 + 2 / log2(3) + 1 / log2(4)),
        "q2": 0.0,
        "q3": (1 + 1 / log2(4)) / (1 + 1 / log2(3)),
    },
    "RR@10": {"q1": 1 / 2, "q2": 0.0, "q3": 1.0},
    "RR": {"q1": 1 / 2, "q2": 0.0, "q3": 1.0},
    "R@2": {"q1": 1 / 3, "q2": 0.0, "q3": 1 / 2},
    "AP": {"q1": (1 / 2 + 2 / 4) / 3, "q2": 0.0, "q3": (1 + 2 / 3) / 2},
    "AP@2": {"q1": (1 / 2) / 3, "q2": 0.0, "q3": 1 / 2},
    "P@2": {"q1": 1 / 2, "q2": 0.0, "q3": 1 / 2},
}
TREC_NAMES = {
    "nDCG@10": "ndcg_cut_10",
    "RR": "recip_rank",
    "R@2": "recall_2",
    "AP": "map",
    "AP@2": "map_cut_2",
    "P@2": "P_2",
}


@pytest.mark.parametrize("measure", MEASURES)
def test_three_queries_worked_by_hand(measure):
    scores = score(RUN, JUDGMENTS, MEASURES)
    assert scores[measure] == pytest.approx(BY_HAND[measure], abs=1e-9)
    assert scores.means()[measure] == pytest.approx(sum(BY_HAND[measure].values()) / 3, abs=1e-9)


def test_equal_to_pytrec_eval():
    judge = pytrec_eval.RelevanceEvaluator(JUDGMENTS, {"ndcg_cut", "recip_rank", "recall", "map",
                                                       "map_cut.2", "recall.2", "P.2"})  # fmt: skip
    expected = judge.evaluate(RUN)
    scores = score(RUN, JUDGMENTS, list(TREC_NAMES))
    for measure, trec_name in TREC_NAMES.items():
        for qid in JUDGMENTS:
            assert scores[measure][qid] == pytest.approx(expected[qid][trec_name], abs=1e-9)


few_docs = st.sampled_from("abcdefgh")


@given(
    run=st.dictionaries(
        st.sampled_from(["q1", "q2", "q3"]),
        st.dictionaries(few_docs, st.sampled_from([0.0, 0.5, 1.0, 1.0 + 1e-9, 2.0]), min_size=1),
        min_size=1,
    ),
    judgments=st.fixed_dictionaries(
        {
            qid: st.dictionaries(few_docs, st.integers(0, 3)).map(lambda g: {**g, "z": 1})
            for qid in ("q1", "q2", "q3")
        }
    ),
)
def test_equal_to_pytrec_eval_on_random_runs_full_of_ties(run, judgments):
    names = {"ndcg_cut.2,10", "recip_rank", "recall.2", "map", "map_cut.2", "P.2"}
    expected = pytrec_eval.RelevanceEvaluator(judgments, names).evaluate(run)
    scores = score(run, judgments, [*TREC_NAMES, "RR@10"])
    for qid in judgments:
        for measure, trec_name in TREC_NAMES.items():
            wanted = expected[qid][trec_name] if qid in run else 0.0
            assert scores[measure][qid] == pytest.approx(wanted, abs=1e-9)
        assert scores["RR@10"][qid] == scores["RR"][qid]


def test_scores_equal_as_32_bit_floats_tie_as_in_trec_eval():
    run = {"q": {"a": 1.00000000001, "b": 1.0}}
    judge = pytrec_eval.RelevanceEvaluator({"q": {"a": 1}}, {"recip_rank"})
    scores = score(run, {"q": {"a": 1}}, ["RR", "RR@10"])
    assert scores["RR"]["q"] == judge.evaluate(run)["q"]["recip_rank"] == 0.5
    assert scores["RR@10"]["q"] == 0.5


def test_every_judged_query_is_in_the_denominator():
    run = {"q1": {"a": 1.0}, "stranger": {"a": 1.0}}
    judgments = {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 1}, "q4": {"a": 1}, "none": {"a": 0}}
    scores = score(run, judgments, "RR@10")
    assert scores.means() == {"RR@10": 0.25}
    assert (scores.n_queries, scores.n_unanswered) == (4, 3)
    assert (scores.n_no_positives, scores.n_unjudged) == (1, 1)
    assert score({}, judgments, "RR@10").means() == {"RR@10": 0.0}


def test_identical_ids_are_dropped_only_on_request():
    run, judgments = {"q": {"q": 2.0, "a": 1.0}}, {"q": {"a": 1}}
    assert score(run, judgments, "RR")["RR"]["q"] == 0.5
    assert score(run, judgments, "RR", ignore_identical_ids=True)["RR"]["q"] == 1.0


def test_two_names_of_one_measure_and_measures_of_other_providers():
    scores = score(RUN, JUDGMENTS, ["MRR@10", "RR@10", "Judged@3", "P(rel=2)@2"])
    assert scores["MRR@10"] == scores["RR@10"]
    assert scores["Judged@3"]["q1"] == pytest.approx(2 / 3)
    assert scores["P(rel=2)@2"]["q1"] == 0.5
    assert cutoffs(["nDCG@10", "AP"]) == {"nDCG@10": 10, "AP": None}


def test_negative_grades_are_not_relevant():
    scores = score({"q": {"a": 2.0, "b": 1.0}}, {"q": {"a": -1, "b": 1}}, ["nDCG@10", "RR"])
    assert scores["RR"]["q"] == 0.5
    assert scores["nDCG@10"]["q"] == pytest.approx(1 / log2(3))


@pytest.mark.parametrize("measures", ["nope@10", "nDCG@x", "R", "nDCG@10; import os", []])
def test_wrong_measures_are_refused(measures):
    with pytest.raises(InvalidInputError, match="nDCG@10"):
        score(RUN, JUDGMENTS, measures)


def test_runs_that_cannot_be_meant_are_refused():
    with pytest.raises(InvalidInputError, match="same query ids"):
        score({"1": {"a": 1.0}}, JUDGMENTS)
    with pytest.raises(InvalidInputError, match="relevant"):
        score(RUN, {"q1": {"a": 0}})
    with pytest.raises(InvalidInputError, match=r"'q1', document 'b'.*nan"):
        score({"q1": {"a": 1.0, "b": float("nan")}}, JUDGMENTS)
