"""Judge any search engine: queries, runs and judgments in; measures, tests and pictures out.

>>> from bigrain import evaluation
>>> engine = lambda text, k: [("d2", 2.0), ("d1", 1.0)]
>>> found = evaluation.evaluate_systems(
...     {"mine": engine}, {"q": "hello"}, {"q": {"d1": 1}}, measures=["nDCG@10"]
... )
>>> round(found.systems["mine"].measures["nDCG@10"].mean, 4)
0.6309

Importing it loads NumPy only; scoring and drawing need the extra `eval`.
"""

from bigrain.evaluation.agreement import recall_against
from bigrain.evaluation.comparison import Comparison
from bigrain.evaluation.formats import (
    load_judgments,
    load_queries,
    load_run,
    save_judgments,
    save_queries,
    save_run,
)
from bigrain.evaluation.latency import Latency
from bigrain.evaluation.measures import DEFAULT_MEASURES, Scores, score
from bigrain.evaluation.ranking import Judgments, Queries, Run
from bigrain.evaluation.report import Estimate, Evaluation, SystemResult, compare
from bigrain.evaluation.significance import (
    bootstrap_interval,
    holm,
    paired_bootstrap_interval,
    paired_t_test,
    randomisation_test,
)
from bigrain.evaluation.systems import System, evaluate_systems

__all__ = [
    "DEFAULT_MEASURES",
    "Comparison",
    "Estimate",
    "Evaluation",
    "Judgments",
    "Latency",
    "Queries",
    "Run",
    "Scores",
    "System",
    "SystemResult",
    "bootstrap_interval",
    "compare",
    "evaluate_systems",
    "holm",
    "load_judgments",
    "load_queries",
    "load_run",
    "paired_bootstrap_interval",
    "paired_t_test",
    "randomisation_test",
    "recall_against",
    "save_judgments",
    "save_queries",
    "save_run",
    "score",
]
