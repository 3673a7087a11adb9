"""How good a run is: one number per measure and query, computed by ir-measures.

Measures go by their ir-measures names: `nDCG@10`, `R@100`, `RR@10`, `AP@100`, `P(rel=2)@5`,
`Success@1`, `Judged@10`... What this module adds is care about three things on which tools differ:

* the denominator: *every* judged query counts, those without an answer as 0 (MS MARCO dev stays
  at 6,980). Queries judged without a relevant document cannot be scored; they are left out, and
  how many is said;
* ties: the providers behind ir-measures break them in different directions (`RR` and `RR@10` would
  disagree). The run is ranked once, as trec_eval does, before any of them sees it;
* self-matches, where queries come from the collection: `ignore_identical_ids` drops them. It is off
  unless asked for, since ids may also coincide by accident.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bigrain.errors import InvalidInputError, MissingExtraError
from bigrain.evaluation.ranking import ranked, with_positives

if TYPE_CHECKING:
    import ir_measures

__all__ = ["DEFAULT_MEASURES", "Scores", "cutoffs", "score"]

DEFAULT_MEASURES = ("nDCG@10", "R@100", "RR@10", "AP@100")


class Scores(dict[str, dict[str, float]]):
    """Measure -> query id -> value, and what the values were averaged over.

    n_queries       queries scored: judged, with at least one relevant document
    n_unanswered    of these, the ones for which the run holds nothing; they count as 0
    n_no_positives  queries left out because nothing is relevant to them
    n_unjudged      queries of the run that nobody judged; left out as well
    """

    def __init__(
        self,
        values: Mapping[str, dict[str, float]],
        *,
        n_unanswered: int = 0,
        n_no_positives: int = 0,
        n_unjudged: int = 0,
    ) -> None:
        super().__init__(values)
        self.n_queries = len(next(iter(self.values()), {}))
        self.n_unanswered = n_unanswered
        self.n_no_positives = n_no_positives
        self.n_unjudged = n_unjudged

    def means(self) -> dict[str, float]:
        """Each measure's arithmetic mean over the scored queries."""
        return {name: float(np.mean(list(values.values()))) for name, values in self.items()}


def score(
    run: Mapping[str, Mapping[str, float]],
    judgments: Mapping[str, Mapping[str, int]],
    measures: str | Iterable[str] = DEFAULT_MEASURES,
    *,
    ignore_identical_ids: bool = False,
) -> Scores:
    """Score a run, query by query; `.means()` of the answer gives one number a measure.

    >>> scores = score({"q": {"a": 2.0, "b": 1.0}}, {"q": {"b": 1}}, "RR@10")
    >>> scores["RR@10"], scores.means()
    ({'q': 0.5}, {'RR@10': 0.5})
    """
    parsed = parse(measures)
    qids = with_positives(judgments)
    if not qids:
        raise InvalidInputError(
            f"none of the {len(judgments)} judged queries has a relevant document (grade above 0)"
        )
    if run and not any(qid in judgments for qid in run):
        raise InvalidInputError(
            f"no query of the run is judged: the run has {next(iter(run))!r}, the judgments have "
            f"{qids[0]!r}; both need the same query ids"
        )
    # Positions stand in for the query ids, because some providers accept numbers only; scores that
    # fall by one from rank to rank mean the same to all of them.
    grades = {str(at): dict(judgments[qid]) for at, qid in enumerate(qids)}
    order: dict[str, dict[str, float]] = {}
    n_unanswered = 0
    for at, qid in enumerate(qids):
        docs = [doc for doc, _ in ranked(run.get(qid, {}), query=qid)]
        if ignore_identical_ids:
            docs = [doc for doc in docs if doc != qid]
        n_unanswered += not docs
        if docs:
            order[str(at)] = {doc: float(len(docs) - i) for i, doc in enumerate(docs)}
    values = _values(set(parsed.values()), grades, order)
    return Scores(
        {
            name: {qid: values[measure][str(at)] for at, qid in enumerate(qids)}
            for name, measure in parsed.items()
        },
        n_unanswered=n_unanswered,
        n_no_positives=len(judgments) - len(qids),
        n_unjudged=sum(qid not in judgments for qid in run),
    )


def cutoffs(measures: str | Iterable[str]) -> dict[str, int | None]:
    """The depth to which each measure looks; None where it looks at all of a run."""
    return {name: measure.params.get("cutoff") for name, measure in parse(measures).items()}


def parse(measures: str | Iterable[str]) -> dict[str, ir_measures.Measure]:
    """Names as given -> ir-measures objects; a name that is wrong is refused here."""
    ir = _ir_measures()
    names = [measures] if isinstance(measures, str) else list(measures)
    if not names:
        raise InvalidInputError("no measures given; 'nDCG@10' is a good first one")
    parsed = {}
    for name in names:
        try:
            measure = ir.parse_measure(name)
            measure.validate_params()
        except (AssertionError, NameError, SyntaxError, TypeError, ValueError) as error:
            known = ", ".join(sorted(ir.measures.registry))
            raise InvalidInputError(
                f"unknown measure {name!r} ({error}); accepted are ir-measures names such as "
                f"'nDCG@10', 'R@100' or 'RR@10', built from {known}"
            ) from error
        parsed[str(name)] = measure
    return parsed


def _values(
    measures: set[ir_measures.Measure],
    grades: dict[str, dict[str, int]],
    order: dict[str, dict[str, float]],
) -> dict[ir_measures.Measure, dict[str, float]]:
    from subprocess import SubprocessError  # some providers call programs

    ir = _ir_measures()
    values: dict[ir_measures.Measure, dict[str, float]] = {measure: {} for measure in measures}
    try:
        for metric in ir.iter_calc(list(measures), grades, order):
            values[metric.measure][metric.query_id] = float(metric.value)
    except (OSError, RuntimeError, SubprocessError, ValueError) as error:
        raise InvalidInputError(f"ir-measures cannot compute this here: {error}") from error
    return values


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("scoring a run", "eval") from error
    return ir_measures
