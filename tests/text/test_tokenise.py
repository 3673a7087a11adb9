"""Words in every script, and the same words by the fast and the general road."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.text import fold, script_counts, script_of, tokens, words
from bigrain.text.tokenise import _tokens_folded

ascii_text = st.text(st.characters(max_codepoint=127))
mixed_text = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("aZ9 '’.日本カナ한ก้ำកេ្មာ္च्िعَـ\u200b\u200d\u0301①½ﷺİß"),
    ),
    max_size=40,
)


@given(ascii_text)
def test_fast_and_general_road_agree_on_ascii(text: str) -> None:
    assert tokens(text) == _tokens_folded(fold(text))


@given(mixed_text)
def test_words_are_the_tokens_with_their_places(text: str) -> None:
    found = words(text)
    assert [word for word, _, _ in found] == tokens(text)
    assert all(0 <= start < end <= len(text) for _, start, end in found)
    assert [start for _, start, _ in found] == sorted(start for _, start, _ in found)


@given(mixed_text)
def test_tokens_do_not_change_by_folding_first(text: str) -> None:
    assert tokens(fold(text)) == tokens(text)
    assert all(tokens(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's O'Neill's 2nd test_case: 3.14", "it's o'neill's 2nd test case 3 14"),
        ("l’eau d'été", "l'eau d'été"),
        ("हिन्दी शब्दों में", "हिन्दी शब्दों में"),
        ("বাংলা ভাষা", "বাংলা ভাষা"),
        ("தமிழ் மொழி", "தமிழ் மொழி"),
        ("東京都へ 人", "東京 京都 へ 人"),
        ("カタカナ2019年", "カタ タカ カナ 2019 年"),
        ("한국어 책", "한국 국어 책"),
        ("ภาษาไทย", "ภา าษ ษา าไ ไท ทย"),
        ("ខ្មែរ", "ខ្មែរ"),
        ("မြန်မာစာ", "မြန် န်မာ မာစာ"),
        ("1️⃣ ok 👩‍👩‍👧 ➡ €", "1 ok"),
        ("", ""),
    ],
)
def test_tokens(text: str, expected: str) -> None:
    assert tokens(text) == expected.split()


def test_places_of_words_are_those_of_the_text_as_given() -> None:
    text = "Die STRAßE, ①½ und كِتَابٌ."
    assert ("strasse", 4, 10) in words(text)
    assert text[slice(*words(text)[-1][1:])] == "كِتَابٌ"


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("hello", "Latin"),
        ("漢字かな漢字", "Han"),
        ("привет world!", "Cyrillic"),
        ("مرحبا", "Arabic"),
        ("हिन्दी", "Devanagari"),
        ("123 !?", ""),
    ],
)
def test_script_of(text: str, script: str) -> None:
    assert script_of(text) == script


def test_script_counts_are_of_letters() -> None:
    assert script_counts("ab 1 я") == {"Latin": 2, "Cyrillic": 1}


def test_a_long_text_without_blanks_takes_linear_time() -> None:
    assert len(tokens("漢字" * 500_000)) == 999_999
    assert len(tokens("x" * 5_000_000)) == 1
    assert len(tokens("'" * 5_000_000)) == 0
