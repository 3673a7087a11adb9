"""The stored and the searched form of a text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.errors import InvalidDocumentError
from bigrain.text import clean_text, fold


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_cleaning_is_canonical_composition(text: str) -> None:
    assert clean_text(text) == unicodedata.normalize("NFC", text)
    assert clean_text(clean_text(text)) == clean_text(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ｔｏｋｙｏ Straße", "tokyo strasse"),
        ("كِتَابٌ ـــ", "كتاب "),
        ("שָׁלוֹם", "שלום"),
        ("zero\u200bwidth\u00ad", "zerowidth"),
        ("हिन्दी தமிழ் বাংলা", "हिन्दी தமிழ் বাংলা"),
        ("İstanbul", "istanbul"),
    ],
)
def test_fold(text: str, expected: str) -> None:
    assert fold(text) == expected


@pytest.mark.parametrize(("text", "place"), [("ab\ud800c", "2"), ("abc\0", "3"), ("\udfff", "0")])
def test_half_characters_and_nul_are_refused_with_their_place(text: str, place: str) -> None:
    with pytest.raises(InvalidDocumentError, match=f"position {place}"):
        clean_text(text)


def test_only_text_is_cleaned() -> None:
    with pytest.raises(InvalidDocumentError, match="bytes"):
        clean_text(b"abc")  # type: ignore[arg-type]
