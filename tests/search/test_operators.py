"""Operators against a plain reading of every document, over segments and deletions."""

import math
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bigrain
from bigrain import BudgetError, DamagedError, InvalidQueryError, Query
from bigrain.index import alternatives, dictionary
from bigrain.index.dictionary import distances, words_holding, words_near, words_with_prefix
from bigrain.search import operators
from bigrain.search.query import Clause
from bigrain.testing import QuickDisk
from bigrain.text.analyse import Analyser

WORDS = "grain grains grian brain gran heavy water 水 检索 C++ wa いぬ ぬ".split()
sentence = st.lists(st.sampled_from(WORDS), min_size=0, max_size=6).map(" ".join)
document = st.tuples(sentence, sentence.filter(bool))
SHAPES = [
    "{0}", '"{0} {1}"', "+{0}", "-{0}", "{0}^2.5", "gra*", "-gra*", "grain~", "+grain~1",
    "grain~2^3", "title:{0}", '-"{0} {1}"', '-title:"{0} {1}"', '+"{0}"', "水*", "+wa*",
    "检索*", "水~", "+ぬ*", "-ぬ", "ぬ^2",
]  # fmt: skip
clause = st.tuples(st.sampled_from(SHAPES), st.sampled_from(WORDS), st.sampled_from(WORDS)).map(
    lambda made: made[0].format(made[1], made[2])
)


def edits(a: str, b: str) -> int:
    """Optimal string alignment, as the books have it."""
    d = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            best = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                best = min(best, d[i - 2, j - 2] + 1)
            d[i, j] = best
    return d[len(a), len(b)]


class Reading:
    """Every document read through, for a field of plain words."""

    def __init__(self, documents: dict[str, tuple[str, str]], title_weight: int) -> None:
        self.analyser = Analyser(None)
        self.title_weight = title_weight
        self.documents = documents
        whole = {i: f"{t}\n" * title_weight + x if t else x for i, (t, x) in documents.items()}
        terms = self.analyser.analyse_many(whole.values(), index=True)
        self.terms = dict(zip(documents, map(Counter, terms), strict=True))

    def near(self, clause: Clause) -> dict[str, float] | None:
        known = {word for count in self.terms.values() for word in count}
        if clause.text == "ぬ":  # the index has it in pairs only
            return {word: 1.0 for word in known if "ぬ" in word}
        if clause.kind == "prefix":
            (begin,) = self.analyser.analyse(clause.text)
            return {word: 1.0 for word in known if word.startswith(begin)}
        if clause.kind == "fuzzy":
            most = clause.edits or (1 if len(clause.text) <= 5 else 2)
            apart = {word: edits(clause.text, word) for word in known}
            n = len(clause.text)
            return {w: 1 - e / max(n, e + 1) for w, e in apart.items() if e <= most}
        return None

    def has(self, clause: Clause, identifier: str) -> bool:
        near = self.near(clause)
        if near is not None and not clause.title:
            return any(word in self.terms[identifier] for word in near)
        title, text = self.documents[identifier]
        wanted = self.analyser.sequence(clause.text)
        places = [title] if self.title_weight else []
        for place in places if clause.title else [*places, text]:
            words = self.analyser.sequence(place)
            if any(words[i : i + len(wanted)] == wanted for i in range(len(words))):
                return True
        return False

    def scores(self, query: Query) -> dict[str, float]:
        n = len(self.documents)
        idf = {
            word: math.log(1 + (n - df + 0.5) / (df + 0.5))
            for word, df in Counter(w for count in self.terms.values() for w in count).items()
        }
        weights: Counter[str] = Counter(self.analyser.analyse(query.rest))
        alternatives: list[tuple[float, dict[str, float]]] = []
        alone = [Clause("ぬ", boost=weights.pop("ぬ"))] if weights.keys() == {"ぬ"} else []
        for clause in [*query.clauses, *alone]:
            if clause.occur == "-":
                continue
            near = self.near(clause)
            if near is None:
                for word in self.analyser.analyse(clause.text):
                    weights[word] += clause.boost
            else:
                least = min((idf[word] for word in near), default=0)
                alternatives.append((clause.boost * least, near))
        average = sum(map(Counter.total, self.terms.values())) / n
        found = {}
        for i, count in self.terms.items():
            if all(self.has(c, i) == (c.occur == "+") for c in query.clauses if c.occur):
                norm = 1.2 * (0.25 + 0.75 * count.total() / average)
                parts = {word: n / (n + norm) for word, n in count.items()}
                score = sum(weights[word] * idf[word] * part for word, part in parts.items())
                for weight, near in alternatives:
                    added = (weight * alike * parts.get(word, 0) for word, alike in near.items())
                    score += max(added, default=0)
                if score > 0:
                    found[i] = score
        return found


@given(
    st.lists(document, min_size=1, max_size=8),
    st.lists(document, max_size=6),
    st.lists(st.lists(clause, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=8),
    st.sampled_from([0, 1, 3]),
    st.sets(st.integers(0, 13), max_size=4),
)
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
def test_operators_agree_with_reading_everything(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[tuple[str, str]],
    second: list[tuple[str, str]],
    asked: list[str],
    title_weight: int,
    gone: set[int],
) -> None:
    path = tmp_path_factory.mktemp("operators") / "docs.grain"
    field = bigrain.LexicalField(language=None, title_weight=title_weight)
    documents = {str(i): d for i, d in enumerate([*first, *second])}
    with bigrain.create(path, {"lex": field}, files=QuickDisk()) as col:
        for part in (range(len(first)), range(len(first), len(documents))):
            col.add({"id": str(i), "title": documents[str(i)][0], "text": documents[str(i)][1]}
                    for i in part)  # fmt: skip
            col.commit()
        dead = [str(i) for i in gone if i < len(documents) - 1]
        col.delete(dead)
        col.commit()
        live = {i: d for i, d in documents.items() if i not in dead}
        reading = Reading(live, title_weight)
        for text in asked:
            query = Query(text)
            if query.clauses and not query.plain.strip():
                with pytest.raises(InvalidQueryError, match="must not"):
                    col.search(query)
                continue
            expected = reading.scores(query)
            hits = col.search(query, k=20, explain=True)
            assert {hit.id for hit in hits} == set(expected), text
            for hit in hits:
                assert hit.score == pytest.approx(expected[hit.id], rel=1e-3)
                terms = (hit.explanation or {})["lex"]["terms"]
                assert sum(terms.values()) == pytest.approx(hit.score, rel=1e-4)


def test_distances_are_those_of_the_books() -> None:
    rng = np.random.default_rng(5)
    texts = ["".join(rng.choice(list("abcdé"), n)) for n in rng.integers(1, 8, 300)]
    for word in texts[:20]:
        for length in range(1, 8):
            others = [text for text in texts if len(text) == length]
            assert distances(word, others).tolist() == [edits(word, other) for other in others]


@pytest.fixture
def col(tmp_path: Path) -> Any:
    with bigrain.create(tmp_path / "docs.grain") as col:
        col.add(
            [
                {"id": "a", "title": "Water", "text": "The moon and heavy metals in water."},
                {"id": "b", "text": "A reactor in heavy waters. To be or not to be."},
                {"id": "c", "title": "Moon", "text": "No water; retrieval and retrieving, colour."},
                {
                    "id": "d",
                    "text": "def getUserName(self): return HTTPServer",
                    "metadata": {"n": 1},
                },
            ]
        )
        col.commit()
        yield col


def ids(col: Any, text: str, **options: Any) -> list[str]:
    return sorted(hit.id for hit in col.search(Query(text), **options))


def test_phrases_are_words_of_one_stem_one_after_another(col: Any) -> None:
    assert ids(col, '"heavy water"', fields="lexical") == ["b"]
    assert ids(col, '"metals in water"', fields="lexical") == ["a"]
    assert ids(col, '"metals of water"', fields="lexical") == []
    assert ids(col, '"user name"', fields="lexical") == []
    assert ids(col, '"to be or not to be" water', fields="lexical") == ["a", "b", "c"]


def test_prefixes_and_fuzzy_words_reach_stems(col: Any) -> None:
    assert ids(col, "retrieva*", fields="lexical") == ["c"]
    assert ids(col, "metal*", fields="lexical") == ["a"]
    assert ids(col, "retreival~", fields="lexical") == ["c"]
    assert ids(col, "color~", fields="lexical") == ["c"]
    assert ids(col, "+mon~1", fields="lexical") == ["a", "c"]
    assert ids(col, "+zzz*", fields="lexical") == []


def test_a_prefix_finds_no_stem_that_cannot_be_of_a_word_that_begins_so(tmp_path: Path) -> None:
    with bigrain.create(
        tmp_path / "d.grain", {"lexical": bigrain.LexicalField()}, files=QuickDisk()
    ) as col:
        col.add([{"id": "a", "text": "a net of inhibition"}, {"id": "b", "text": "the things"}])
        col.commit()
        for text in ("+netflix*", "+inhibitionx*", "+thinger*"):
            assert ids(col, text) == []
        assert ids(col, "things -netflix*") == ["b"]
        assert ids(col, "+inhibitio*") == ["a"]


@pytest.mark.parametrize(
    "language, text, prefix",
    [("de", "überall erwähnt", "übera*"), ("de", "überall erwähnt", "erwäh*"),
     ("el", "τα παράθυρα", "παράθ*"), ("fr", "les élèves", "élè*"), ("ar", "المعلومات", "المع*")],
)  # fmt: skip
def test_prefixes_are_spelt_as_the_stemmer_spells(
    tmp_path: Path, language: str, text: str, prefix: str
) -> None:
    fields = {"lexical": bigrain.LexicalField(language=language)}
    with bigrain.create(tmp_path / "d.grain", fields, files=QuickDisk()) as col:
        col.add([{"id": "a", "text": text}, {"id": "b", "text": "xyz"}])
        col.commit()
        assert ids(col, f"+{prefix}") == ["a"]


def test_who_holds_a_rare_word_of_a_required_prefix_is_found(tmp_path: Path) -> None:
    fields = {"lexical": bigrain.LexicalField(language=None)}
    with bigrain.create(tmp_path / "d.grain", fields, files=QuickDisk()) as col:
        col.add([{"id": str(i), "text": f"grain{i:03} and {'grain000 ' * (i < 9)}"}
                 for i in range(120)])  # fmt: skip
        col.commit()
        assert set(ids(col, "+grain*", k=200)) == {str(i) for i in range(120)}


def a_collection(tmp_path: Path, texts: dict[str, str], **field: Any) -> Any:
    fields = {"lexical": bigrain.LexicalField(**field)}
    col = bigrain.create(tmp_path / "made.grain", fields, files=QuickDisk())
    col.add({"id": i, "text": text} for i, text in texts.items())
    col.commit()
    return col


def test_a_fuzzy_word_is_near_to_words_as_they_are_written(tmp_path: Path) -> None:
    texts = {
        "own": "the aging of wines", "british": "ageing cheese", "page": "a page of a book",
        "age": "his age", "paging": "memory paging", "rage": "what a rage", "cat": "two cats",
        "act": "an act", "bats": "bats fly",
    }  # fmt: skip
    with a_collection(tmp_path, texts) as col:
        assert ids(col, "+aging~1") == ["age", "british", "own", "page", "paging"]
        assert ids(col, "+cats~1") == ["bats", "cat"]
        col.delete(["paging"])
        col.commit()
        assert ids(col, "+aging~1") == ["age", "british", "own"]
        assert ids(col, "+agings~1") == ["age", "british", "own"]


def test_the_word_itself_is_not_outweighed_by_many_neighbours(tmp_path: Path) -> None:
    near = "grian gran grains gain groin graine brain train drain gra1n grein"
    with a_collection(tmp_path, {"own": "grain" + " x" * 10, "many": near}, language=None) as col:
        assert [hit.id for hit in col.search(Query("grain~1"))] == ["own", "many"]
        (hit, other) = col.search(Query("grain~1 +x^0.01 grain"), explain=True) * 2
        assert hit.explanation["lexical"]["expanded"].keys() == {"grain~1"}
        assert sum(hit.explanation["lexical"]["terms"].values()) == pytest.approx(hit.score)


JAPANESE = {
    "a": "日本の首都は東京です", "b": "日本人の名前", "c": "本日は晴天", "d": "いぬがいる",
    "e": "ねこ", "f": "ぬ", "g": "のは日本", "h": "こいぬ grain",
}  # fmt: skip


def test_scripts_without_blanks_are_searched_by_what_is_said(tmp_path: Path) -> None:
    with a_collection(tmp_path, JAPANESE, language="ja") as col:
        assert ids(col, "日本の*") == ["a"]
        assert ids(col, "日本 -日本の*") == ["b", "g"]
        assert ids(col, "ぬ*") == ids(col, "+ぬ") == ["d", "f", "h"]
        assert sorted(hit.id for hit in col.search("ぬ")) == ["d", "f", "h"]
        assert ids(col, '"ぬ grain"') == ["h"] and ids(col, "+grain -ぬ") == []
        assert sorted(hit.id for hit in col.search("本")) == ["a", "b", "c", "g"]
        assert {i for (i, *_) in col.search_many(["ぬ", "ねこ"], k=2, arrays=True)[0]} == {"f", "e"}
        with pytest.warns(UserWarning, match="without ~"):
            fuzzy = [(hit.id, hit.score) for hit in col.search(Query("日本~"))]
        assert fuzzy == [(hit.id, hit.score) for hit in col.search("日本")]


def test_old_analysis_finds_single_characters_too(tmp_path: Path) -> None:
    with a_collection(tmp_path, JAPANESE, language="ja", analysis=1) as col:
        assert sorted(hit.id for hit in col.search("本")) == ["a", "b", "c", "g"]


def test_sets_of_documents_stay_in_the_memory_of_searches(tmp_path: Path) -> None:
    every = " ".join(f"w{i}" for i in range(100))
    texts = {str(i): f"{every} {'odd' if i % 2 else 'even'} n{i}" for i in range(1000)}
    with a_collection(tmp_path, texts, language=None) as col:
        view = col._require_open()
        asked = Query("even " + " ".join(f"+w{i} -x{i} -w{i}^2x" for i in range(100)) + " -odd -n2")
        tracemalloc.start()
        hits = col.search(asked, 1000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(hits) == 499 and peak < 4e6
        found = [(hit.id, hit.score) for hit in col.search(Query('n1* +"w98 w99" -n12'), 5)]
        view.search_bytes = 1 << 20
        assert [(h.id, h.score) for h in col.search(Query('n1* +"w98 w99" -n12'), 5)] == found
        view.search_bytes = 1 << 14
        with pytest.raises(BudgetError, match="more letters"):
            col.search(Query("+w1*"), 5)


def test_windows_of_documents_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {str(i): f"grain {'heavy water' if i % 3 else 'water heavy'} {i}" for i in range(300)}
    with a_collection(tmp_path, texts) as col:
        col.delete(["7", "8"])
        col.commit()
        asked = ['+"heavy water"', "grain -heavy", 'water -"heavy water"', "+2* grain~ -21"]
        whole = [[(h.id, h.score) for h in col.search(Query(text), 300)] for text in asked]
        monkeypatch.setattr(operators, "LEAST_WINDOW", 64)
        monkeypatch.setattr(alternatives, "WINDOW", 50)
        col._require_open().search_bytes = 64_000
        again = [[(h.id, h.score) for h in col.search(Query(text), 300)] for text in asked]
        assert again == whole and len(whole[0]) == 198 and len(whole[2]) == 100


def test_signs_of_other_engines_are_noticed(col: Any) -> None:
    with pytest.warns(UserWarning) as told:
        found = col.search(Query("moon OR text:water title:moon~"))
    assert [hit.id for hit in found] == ["c"] and len(told) == 3
    with pytest.warns(UserWarning, match="'OR' is read as a word"):
        col.search_many(["moon", Query("moon OR water")])


def test_what_must_be_there_narrows_every_field(col: Any) -> None:
    assert ids(col, "+moon tell me something") == ["a", "c"]
    assert ids(col, "water -moon -getusername") == ["b"]
    assert ids(col, "title:moon water") == ["c"]
    assert ids(col, "+moon water", fields="dense") == ["a", "c"]
    assert ids(col, "water -moon", filter="n = 1") == ["d"]
    assert ids(col, "+water x", recall=1.0) == ["a", "b", "c"]


def test_vectors_are_made_of_the_plain_text(col: Any) -> None:
    by_signs = col.search(Query("heavy^2 water -moon"), fields="dense")
    by_words = col.search("heavy water", fields="dense")
    assert [(h.id, h.score) for h in by_signs] == [
        (h.id, h.score) for h in by_words if h.id in ("b", "d")
    ]


def test_a_plain_text_is_a_plain_text(col: Any) -> None:
    for text in ('+water -moon "heavy water" gra* title:x', "what is -5 + 3?"):
        plain = [(h.id, h.score) for h in col.search(text)]
        assert len(plain) == 4
    for text in ("what is -5 + 3?", "C++ & water", 'an "open question'):
        assert [(h.id, h.score) for h in col.search(Query(text))] == [
            (h.id, h.score) for h in col.search(text)
        ]


def test_many_queries_are_those_one_by_one(col: Any) -> None:
    asked = ["water", Query("+water -moon"), "moon", "heavy", Query('"heavy water"')]
    found = col.search_many(asked, k=4)
    assert [[h.id for h in hits] for hits in found] == [
        [h.id for h in col.search(query, k=4)] for query in asked
    ]


def test_the_explanation_tells_what_stood_for_what(col: Any) -> None:
    (hit,) = col.search(Query('"heavy water" react*'), fields="lexical", explain=True)
    told = hit.explanation["lexical"]
    assert told["phrases"] == ["heavy water"] and told["expanded"] == {"react*": ["reactor"]}
    assert sum(told["terms"].values()) == pytest.approx(hit.score)


def test_refusals_say_what_would_be_right(col: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidQueryError, match="add a word"):
        col.search(Query("-moon"))
    with pytest.raises(InvalidQueryError, match="empty"):
        col.search(Query("  "))
    with pytest.raises(InvalidQueryError, match="at most 1,000"):
        col.search(Query("+a " * 1001))
    with pytest.raises(InvalidQueryError, match="32 of them"):
        col.search(Query("gra* " * 33))
    with bigrain.create(tmp_path / "v.grain", {"v": bigrain.DenseField(dim=3)}) as vectors:
        vectors.add_vectors("v", ["x"], np.eye(3)[:1])
        vectors.commit()
        with pytest.raises(InvalidQueryError):
            vectors.search(Query("+a b"))


@given(st.text(st.sampled_from('ab水 +-"^~*:2title'), min_size=1, max_size=30))
@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
def test_no_text_with_operators_fails(col: Any, text: str) -> None:
    try:
        col.search(Query(text))
    except InvalidQueryError as error:
        assert "must not be there" in str(error) or "empty" in str(error)


def test_the_dictionary_is_read_in_stretches(col: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [view.segment.file for view in col._require_open().fields["lexical"].index.views]
    every = [words_with_prefix(file, "") for file in files]
    near = [sorted(words_near(file, "reacto", 2)) for file in files]
    monkeypatch.setattr(dictionary, "STRETCH", 3)
    assert [words_with_prefix(file, "") for file in files] == every
    assert [sorted(words_near(file, "reacto", 2)) for file in files] == near
    for part in ("a", "er", "http", "zz"):
        held = [sorted(word for word in words if part in word) for words in every]
        assert [sorted(words_holding(file, part)) for file in files] == held
    assert len(every[0]) > 12 and ("reactor", 1) in near[0]
    for file in files:
        for word in every[0]:
            known = {other: edits(word, other) for other in every[0]}
            found = {other: apart for other, apart in known.items() if apart <= 2}
            assert dict(words_near(file, word, 2)) == found


def test_damage_to_the_dictionary_is_named(col: Any) -> None:
    (view,) = col._require_open().fields["lexical"].index.views
    section = view.segment.file.section("terms")
    with (col.path / "segments" / view.segment.file.name).open("r+b") as file:
        file.seek(section.offset)
        file.write(b"\xff")
    with pytest.raises(DamagedError, match="terms"):
        col.search(Query("rea*"))


@pytest.mark.parametrize(
    "language, text, asked",
    [
        ("en", "The government organization.", "governmnt~ organizaton~ governm* governme* orga*"),
        ("en", "Developed for information.", "informaton~ informati* develope* devloped~"),
        ("de", "Die Verteidigung der politischen Ausbildung.", "Verteidigng~ politschen~ politi*"),
        ("de", "Die Verteidigung der politischen Ausbildung.", "politisc* verteidigu* ausbildu*"),
        ("ru", "Правительство организации.", "правительсво~ организаци* правительст*"),
    ],
)
def test_slips_and_beginnings_of_endings_are_found(
    tmp_path: Path, language: str, text: str, asked: str
) -> None:
    """The index has stems; what is typed is near to, or begins, a word as it is written."""
    fields = {"lexical": bigrain.LexicalField(language=language)}
    with bigrain.create(tmp_path / "d.grain", fields, files=QuickDisk()) as col:
        col.add([{"id": "a", "text": text}, {"id": "b", "text": "gover politur inforest organ"}])
        col.commit()
        for word in asked.split():
            assert "a" in ids(col, f"+{word}"), word
        assert "b" not in ids(col, f"+{asked.split()[0]}")


@pytest.mark.parametrize(
    "text",
    ["heavy && water", "!moon", "[a TO b]", '"a b"~2', "mus?um", "*seum", "+(a b)"],
)
def test_operators_of_other_engines_give_a_notice(text: str) -> None:
    assert Query(text).notices


@pytest.mark.parametrize(
    "text", ["C++ what?", "a * b", "(see below)", "5 < 6!", "AT&T", "wow! yes"]
)
def test_signs_in_plain_questions_give_none(text: str) -> None:
    assert not Query(text).notices


@pytest.mark.parametrize(
    "text", ["\uff0bword", "»heavy water«", "« heavy water »", "\uff02語\uff02"]
)
def test_signs_of_other_keyboards_are_read(text: str) -> None:
    assert Query(text).clauses[0].occur == "+"
