"""How examples are drawn: the same in every run, so that a change that passes does so everywhere.

`BIGRAIN_TEST_RANDOM=1` draws others each time.
"""

import os

from hypothesis import settings

settings.register_profile(
    "bigrain", deadline=None, derandomize="BIGRAIN_TEST_RANDOM" not in os.environ
)
settings.load_profile("bigrain")
