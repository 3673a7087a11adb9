"""Spans of long texts: what they cover, where they end, how long they take."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.errors import ConfigError
from bigrain.text import Chunking, sentences, split

pieces = st.text(
    st.one_of(st.characters(), st.sampled_from("ab .!?\n。？「」\u0301\u200d\U0001f1e6👩🏽한")),
    max_size=200,
)
chunkings = st.builds(
    lambda by, longest, share: Chunking(by, longest, int(longest * share)),
    st.sampled_from(["sentence", "paragraph"]),
    st.integers(16, 60),
    st.floats(0, 0.5),
)


@given(pieces, chunkings)
def test_spans_are_ordered_and_cover_what_is_not_blank(text: str, chunking: Chunking) -> None:
    spans = split(text, chunking)
    covered = set()
    for start, end in spans:
        assert 0 <= start < end <= len(text)
        assert not text[start].isspace() and not text[end - 1].isspace()
        covered.update(range(start, end))
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in zip(spans, spans[1:], strict=False))
    assert all(char.isspace() or i in covered for i, char in enumerate(text))


@given(st.text("ab .。漢\n", max_size=200), chunkings)
def test_no_span_is_longer_than_asked(text: str, chunking: Chunking) -> None:
    spans = split(text, chunking)
    assert all(end - start <= chunking.max_chars for start, end in spans)
    overlaps = [max(a[1] - b[0], 0) for a, b in zip(spans, spans[1:], strict=False)]
    assert all(overlap <= chunking.overlap_chars for overlap in overlaps)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'Dr. Smith paid $3.14 in Washington D.C. in 2019. "Really?" she asked. Yes!',
            ["Dr. Smith paid $3.14 in Washington D.C. in 2019.", '"Really?" she asked.', "Yes!"],
        ),
        ("See Fig. 3 by J. Doe et al. 2020. Then…  End", None),
        ("文です。次の文！「はい。」終", ["文です。", "次の文！", "「はい。」", "終"]),
        ("هل هذا سؤال؟ نعم. جواب۔ آخر", ["هل هذا سؤال؟", "نعم.", "جواب۔", "آخر"]),
        ("यह वाक्य है। दूसरा।", ["यह वाक्य है।", "दूसरा।"]),
        ("no stop\n\nnew one", ["no stop", "new one"]),
        ("  \n ", []),
    ],
)
def test_sentences(text: str, expected: list[str] | None) -> None:
    found = [text[a:b] for a, b in sentences(text)]
    assert found == (
        expected if expected is not None else ["See Fig. 3 by J. Doe et al. 2020.", "Then…", "End"]
    )


def test_overlap_is_of_whole_sentences() -> None:
    text = "One one. Two two. Three three. Four four. Five five."
    found = [text[a:b] for a, b in split(text, Chunking(max_chars=32, overlap_chars=16))]
    assert found[0] == "One one. Two two. Three three."
    assert found[1].startswith("Three three. Four four.")


def test_a_long_sentence_is_cut_at_white_space() -> None:
    text = "word " * 50
    for start, end in split(text, Chunking(max_chars=22)):
        assert set(text[start:end].split()) == {"word"}


@pytest.mark.parametrize("cluster", ["e\u0301", "\U0001f1eb\U0001f1f7", "क्षि", "👩\u200d👧"])
def test_clusters_are_not_cut(cluster: str) -> None:
    text = cluster * 100
    edges = {i * len(cluster) for i in range(101)}
    for start, end in split(text, Chunking(max_chars=17)):
        if cluster != "क्षि":  # two clusters of marks to this code: a letter and its signs
            assert start in edges and end in edges
        assert text[start] not in "\u0301\u094d\u093f\u200d"


@pytest.mark.parametrize(
    "text",
    ["A sentence of words. " * 480_000, "." * 10_000_000, "x" * 10_000_000, "a" + "\u0301" * 10**7,
     "a" + " " * 10_000_000 + "b", "漢字" * 5_000_000, "\U0001f1e6" * 1_000_000],
    ids=["words", "dots", "one word", "marks", "blanks", "han", "flags"],
)  # fmt: skip
def test_ten_megabytes_take_seconds(text: str) -> None:
    began = time.process_time()
    split(text, Chunking(overlap_chars=100))
    assert time.process_time() - began < 60


@pytest.mark.parametrize(
    "settings",
    [{"by": "word"}, {"max_chars": 3}, {"max_chars": 2.5}, {"overlap_chars": -1},
     {"max_chars": 100, "overlap_chars": 51}, {"max_chars": True}],
)  # fmt: skip
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Chunking(**settings)  # type: ignore[arg-type]


def test_config_round_trip() -> None:
    chunking = Chunking("paragraph", 300, 20)
    assert Chunking.from_dict(chunking.to_dict()) == chunking
    with pytest.raises(ConfigError, match="size"):
        Chunking.from_dict({"size": 3})
