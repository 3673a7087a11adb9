"""What recall costs in time and memory, measured on a field's own vectors.

trials         codes that a field could have, made of a sample of its rows
queries        what they are asked with
frontier       recall and cost of each trial and setting, and what they come to for all rows
report         the table, the choice, and what can be said of fresh queries
plot           the picture
tune           all of it in order
"""

from bigrain.tuning.of_collection import tune_collection
from bigrain.tuning.report import TuneReport, TuneRow

__all__ = ["TuneReport", "TuneRow", "tune_collection"]
