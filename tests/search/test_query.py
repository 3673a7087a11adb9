"""Which signs in a text are operators, and that no text fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain import InvalidQueryError, Query
from bigrain.search.query import Clause

SIGNS = st.text(st.sampled_from('abé水 +-"^~*:.5()&|!{}[]\\/“”'), max_size=40)


@pytest.mark.parametrize(
    "text",
    [
        "C++",
        "AT&T and R&D",
        "what is -5 + 3?",
        "isn't it?",
        'an "unbalanced question',
        'a 5" pipe and a 6" pipe',
        "a* b*c",
        "x~ ~y fuzzy~3",
        "https://a.b/c?d=e+f&g=h*i someone@example.org",
        "- + ^ ~ * : \" ' title: ^2",
        '"" "!?"',
        "--verbose",
        "f(x)^2",
        "word^0 word^-1 word^nan word^1e9 word^99999",
        '"half"way',
        "(a OR b) AND NOT [c TO d]",
        "",
    ],
)
def test_a_plain_question_has_no_operators(text: str) -> None:
    query = Query(text)
    assert query.clauses == ()
    assert query.rest == query.plain == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "clauses", "rest", "plain"),
    [
        ('"heavy water" now', [Clause("heavy water", occur="+")], "now", "heavy water now"),
        ('-"heavy water"', [Clause("heavy water", occur="-")], "", ""),
        ("“heavy water”", [Clause("heavy water", occur="+")], "", "heavy water"),
        ('"a b"^2', [Clause("a b", occur="+", boost=2)], "", "a b"),
        ("+must -not", [Clause("must", occur="+"), Clause("not", occur="-")], "", "must"),
        ("+AT&T", [Clause("AT&T", occur="+")], "", "AT&T"),
        ("word^2.5", [Clause("word", boost=2.5)], "", "word"),
        ("+word^3", [Clause("word", occur="+", boost=3)], "", "word"),
        ("grain*", [Clause("grain", "prefix")], "", "grain"),
        ("水*", [Clause("水", "prefix")], "", "水"),
        ("-grain*", [Clause("grain", "prefix", "-")], "", ""),
        ("grian~", [Clause("grian", "fuzzy")], "", "grian"),
        ("grian~1^2", [Clause("grian", "fuzzy", boost=2, edits=1)], "", "grian"),
        ("日本~", [], "日本", "日本"),
        ("+日本~^2", [Clause("日本", occur="+", boost=2)], "", "日本"),
        ("日本の*", [Clause("日本の", occur="+")], "", "日本の"),
        ("-日本の*", [Clause("日本の", occur="-")], "", ""),
        ("日本*", [Clause("日本", "prefix")], "", "日本"),
        ("title:moon", [Clause("moon", occur="+", title=True)], "", "moon"),
        ('-title:"the moon"', [Clause("the moon", occur="-", title=True)], "", ""),
    ],
)
def test_operators(text: str, clauses: list[Clause], rest: str, plain: str) -> None:
    query = Query(text)
    assert list(query.clauses) == clauses
    assert (query.rest, query.plain) == (rest, plain)


@given(st.one_of(st.text(max_size=60), SIGNS))
def test_every_text_is_a_query(text: str) -> None:
    query = Query(text)
    assert query == Query(text)
    for clause in query.clauses:
        assert clause.kind in ("words", "prefix", "fuzzy") and clause.occur in ("", "+", "-")
        assert any(map(str.isalnum, clause.text)) and 0 < clause.boost <= 1000


@given(SIGNS)
def test_reading_a_plain_text_again_changes_nothing(text: str) -> None:
    query = Query(text)
    if not query.clauses:
        assert query.plain.split() == text.split()


@pytest.mark.parametrize(
    ("text", "notice"),
    [("a OR b", "OR"), ("(a AND b)", "AND"), ("NOT a", "NOT"), ("text:word", "text:word"),
     ("+text:word", "text:word"), ("title:x~", "title:x"), ("title:x*^2", "title:x"),
     ("日本~1", "without ~"), ("+ภาษา~ x", "without ~")],
)  # fmt: skip
def test_what_looks_like_an_operator_and_is_none_is_noticed(text: str, notice: str) -> None:
    (told,) = Query(text).notices
    assert notice in told


@pytest.mark.parametrize(
    "text",
    ["AND", "https://a.b/c", "std::vector", "10:30", "C:\\x", 'say "a OR b"', "title:moon",
     "grian~1", "日本* 日本の*", "x~ ab~ fuzzy~3", "this and that or those"],
)  # fmt: skip
def test_what_is_read_as_it_looks_is_not_noticed(text: str) -> None:
    assert Query(text).notices == ()


def test_a_query_is_made_of_text() -> None:
    with pytest.raises(InvalidQueryError, match="int"):
        Query(3)  # type: ignore[arg-type]


def test_a_query_of_megabytes_is_read_in_linear_time() -> None:
    assert not Query('"a ' * 300_000).clauses[1_000_000:]
    assert Query("~" * 1_000_000).clauses == ()
    assert Query("a-" * 500_000 + "*").clauses == ()
    assert Query("-" * 1_000_000).clauses == ()
