"""WordPiece, against its Python twin and against the `tokenizers` package."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.kernels import reference
from tests.kernels.levels import Kernels, each_level, each_native, same

PIECES = ["a", "b", "ab", "abc", "bc", "c", "ba", "é", "日", "日本", "ж", "😀", "e", "aé"]
INNER = ["a", "b", "bc", "abc", "c", "é", "本", "ж", "cab", "😀"]
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *PIECES,
    *("##" + piece for piece in INNER),
    ".",
    ",",
    "#",
    "##",
]

TEXTS = st.text(alphabet="abcéж日本😀ex.,#!' \t\n\r\v\f", max_size=40)


@each_native
@given(texts=st.lists(TEXTS, max_size=6))
def test_native_equals_reference(native: Kernels, texts: list[str]) -> None:
    twin = reference.WordPiece(VOCABULARY)
    same(native.WordPiece(VOCABULARY, "[UNK]", "##", 100).encode(texts), twin.encode(texts))


@each_native
@given(
    words=st.sets(st.text(max_size=4).filter(lambda s: s.isprintable()), max_size=40),
    text=st.text(max_size=30).filter(lambda s: s.isprintable()),
)
def test_any_vocabulary(native: Kernels, words: set[str], text: str) -> None:
    vocabulary = ["[UNK]", *sorted(words - {"[UNK]"}), *(f"##{w}" for w in sorted(words) if w)]
    vocabulary = list(dict.fromkeys(vocabulary))
    twin = reference.WordPiece(vocabulary, max_chars_per_word=5)
    texts = [text, " ".join(sorted(words)), "".join(sorted(words))]
    same(native.WordPiece(vocabulary, "[UNK]", "##", 5).encode(texts), twin.encode(texts))


@each_native
@given(text=TEXTS)
def test_native_equals_tokenizers(native: Kernels, text: str) -> None:
    implementations = pytest.importorskip("tokenizers.implementations")
    other = implementations.BertWordPieceTokenizer(
        {token: i for i, token in enumerate(VOCABULARY)},
        clean_text=False,
        handle_chinese_chars=False,
        strip_accents=False,
        lowercase=False,
    )
    ids, offsets = native.WordPiece(VOCABULARY, "[UNK]", "##", 100).encode([text])
    assert ids.tolist() == other.encode(text, add_special_tokens=False).ids
    assert offsets.tolist() == [0, len(ids)]


@each_level
def test_long_words_count_characters_not_bytes(level: Kernels) -> None:
    wordpiece = level.WordPiece(VOCABULARY, "[UNK]", "##", 100)
    known, unknown = "é" * 100, "é" * 101
    ids, offsets = wordpiece.encode([known, unknown, ""])
    assert np.diff(offsets).tolist() == [100, 1, 0]
    assert ids[-1] == VOCABULARY.index("[UNK]")


@each_level
def test_surrogates_are_refused_with_the_number_of_the_text(level: Kernels) -> None:
    wordpiece = level.WordPiece(VOCABULARY, "[UNK]", "##", 100)
    with pytest.raises(ValueError, match="number 2 "):
        wordpiece.encode(["a", "b", "c\ud800"])
    with pytest.raises(TypeError, match="number 1 "):
        wordpiece.encode(["a", b"b"])
    with pytest.raises(TypeError, match="list"):
        wordpiece.encode("abc")


@each_level
@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (["a"], "unk"),
        ([], "unk"),
        (["[UNK]", "a", "a"], "token 2"),
        (["[UNK]", "\udc00"], "token 1"),
    ],
)
def test_bad_vocabularies(level: Kernels, vocabulary: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        level.WordPiece(vocabulary, "[UNK]", "##", 100)
