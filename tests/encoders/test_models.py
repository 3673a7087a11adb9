"""Fields that share a model: one pass over each text, and the same answers as without sharing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bigrain
from bigrain.encoders.one_pass import OnePass
from bigrain.registry import make_encoder
from tests.encoders.letters import DIM, FAMILIES, Letters, alone

TEXTS = [
    "grain in silos",
    "the moon",
    "zoo jazz pizza",
    "heavy water",
    "a b c",
    "silos on the moon",
]


@pytest.fixture
def letters():
    model = Letters()
    bigrain.register_encoder("letters", lambda: model)
    for family in FAMILIES:
        bigrain.register_encoder(f"letters-{family}", lambda family=family: alone(family))
    return model


def three_fields(name=lambda family: "letters"):
    return {
        "d": bigrain.DenseField(encoder=name("dense")),
        "s": bigrain.SparseField(encoder=name("sparse")),
        "m": bigrain.MultiVectorField(encoder=name("multivector")),
    }


def test_each_text_is_encoded_once_for_all_fields(tmp_path, letters):
    with bigrain.create(tmp_path / "c.grain", three_fields()) as col:
        col.add(TEXTS)
        assert letters.documents == dict.fromkeys(TEXTS, 1)
        assert letters.calls == [(len(TEXTS), FAMILIES)]
        col.commit()
        col.search("moon grain")
        assert letters.queries == {"moon grain": 1}
        col.search_many(["water", "pizza"], fields=["d", "m"])
        assert letters.queries == {"moon grain": 1, "water": 1, "pizza": 1}
        assert col.fields["m"].dim == DIM


words = st.text("abcz é", max_size=12).filter(str.strip)


@settings(max_examples=15)
@given(
    texts=st.lists(words, min_size=1, max_size=8),
    queries=st.lists(words, min_size=1, max_size=3),
    title=st.sampled_from(["", "jazz"]),
    at_once=st.sampled_from([None, 1, 3]),
)
def test_sharing_changes_no_answer(tmp_path_factory, texts, queries, title, at_once):
    folder = tmp_path_factory.mktemp("sharing")
    shared = Letters(at_once)
    bigrain.register_encoder("shared", lambda: shared)
    for family in FAMILIES:
        bigrain.register_encoder(f"letters-{family}", lambda family=family: alone(family))
    documents = [{"id": str(i), "text": text, "title": title} for i, text in enumerate(texts)]
    answers = []
    for kind in (three_fields(lambda family: "shared"), three_fields("letters-{}".format)):
        with bigrain.create(folder / f"{len(answers)}.grain", kind) as col:
            col.add(documents)
            col.commit()
            found = col.search_many(queries, k=20)
            answers.append([[(hit.id, hit.score, hit.parts) for hit in hits] for hits in found])
    assert answers[0] == answers[1]


def test_a_slow_model_is_given_few_passages_at_a_time(tmp_path, letters):
    letters.texts_at_once = 4
    told = []
    with bigrain.create(tmp_path / "c.grain", three_fields()) as col:
        documents = ["x y. " * 900, *TEXTS]  # the first of three passages
        assert col.add(documents, progress=lambda update: told.append(update.done)).added == 7
        col.commit()
        assert len(col) == 7
    assert [n for n, _ in letters.calls] == [4, 4, 1]
    assert told[-1] == 7


def test_two_fields_of_one_plain_encoder_share_it(tmp_path):
    calls = []

    def encode(texts):
        calls.extend(texts)
        return np.ones((len(texts), 4))

    bigrain.register_encoder("ones", lambda: bigrain.CallableEncoder("ones", encode, 4))
    fields = {
        "a": bigrain.DenseField(encoder="ones", heavy="float32"),
        "b": bigrain.DenseField(encoder="ones", heavy="int8"),
    }
    with bigrain.create(tmp_path / "c.grain", fields) as col:
        col.add(TEXTS)
        assert calls == TEXTS


def test_one_pass_keeps_texts_apart(letters):
    heads = [make_encoder("letters", family) for family in ("dense", "sparse")]
    one_pass = OnePass(heads)
    first = one_pass.documents(heads[0], ["moon"])
    other = one_pass.documents(heads[1], ["zoo"])  # not the texts of the first
    assert np.array_equal(first, heads[0].encode_documents(["moon"]))
    assert np.array_equal(other.data, heads[1].encode_documents(["zoo"]).data)


def test_a_model_is_made_once_and_its_heads_too(letters):
    head = make_encoder("letters", "dense")
    assert make_encoder("letters", "dense") is head and head.model is letters
    again = Letters()
    bigrain.register_encoder("letters", lambda: again)
    assert make_encoder("letters", "dense").model is again


def test_a_family_that_is_not_there_is_refused(tmp_path, letters):
    letters.families = ("dense", "sparse")
    with pytest.raises(bigrain.ConfigError, match=r"field 'm'.*dense and sparse .*not multivector"):
        bigrain.create(tmp_path / "c.grain", three_fields())
    with pytest.raises(bigrain.ConfigError, match="gives sparse representations, not dense ones"):
        bigrain.create(tmp_path / "c.grain", {"d": bigrain.DenseField(encoder="letters-sparse")})
    assert not (tmp_path / "c.grain").exists()


def test_a_width_that_does_not_fit_is_refused(tmp_path, letters):
    with pytest.raises(bigrain.ConfigError, match=r"dim=32, but encoder 'letters' gives 26"):
        field = bigrain.MultiVectorField(dim=32, encoder="letters")
        bigrain.create(tmp_path / "c.grain", {"m": field})


def test_a_model_that_leaves_a_family_out_is_told(tmp_path, letters):
    letters.encode_documents = lambda texts, families: {"dense": np.ones((len(texts), DIM))}
    with bigrain.create(tmp_path / "c.grain", three_fields()) as col:
        with pytest.raises(bigrain.InvalidVectorsError, match="no sparse representation"):
            col.add(["moon"])
        assert not col.commit() and len(col) == 0


def test_another_model_is_refused_when_opened(tmp_path, letters):
    bigrain.create(tmp_path / "c.grain", three_fields()).close()
    other = Letters()
    other.head = lambda family: bigrain.Head(other, family, DIM, {"name": "other"})
    bigrain.register_encoder("letters", lambda: other)
    with pytest.raises(bigrain.EncoderMismatchError, match="differs in family, name"):
        bigrain.open(tmp_path / "c.grain")


def test_a_package_offers_an_encoder_by_an_entry_point(tmp_path, monkeypatch):
    told = tmp_path / "acme-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text(
        "[bigrain.encoders]\nacme/letters = tests.encoders.letters:Letters\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "acme/letters" in bigrain.encoder_names()
    assert list(bigrain.fields_of("acme/letters")) == ["lexical", *FAMILIES]
