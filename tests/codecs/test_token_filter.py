"""Which tokens need no vector."""

import numpy as np
import pytest

from bigrain.codecs.token_filter import is_punctuation, skipped, without
from bigrain.errors import InvalidVectorsError


def test_punctuation_and_stop_tokens_are_skipped() -> None:
    tokens = ["[CLS]", "the", "cat", "'", "s", "##)", "...", "。", "c", "+", "+", "##", "é", "😀"]
    expected = [False, False, False, True, False, True, True, True, False, True, True, True]
    assert skipped(tokens).tolist() == [*expected, False, True]
    stop = skipped(tokens, punctuation=False, stop=frozenset({"the", "[CLS]"}))
    assert np.flatnonzero(stop).tolist() == [0, 1]
    assert not skipped([], stop={"a"}).any()
    assert not is_punctuation("")


def test_a_document_of_punctuation_keeps_its_tokens() -> None:
    skip = skipped([".", "!", "a", ",", "b", "?"])
    keep = without(skip, np.array([0, 2, 4, 4, 6]))
    assert keep.tolist() == [True, True, True, False, True, False]
    with pytest.raises(InvalidVectorsError, match="offsets end at 5; there are 6"):
        without(skip, np.array([0, 5]))
