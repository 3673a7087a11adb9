"""The bundled model: three families of one table."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bigrain
from bigrain.encoders import static_sparse
from bigrain.encoders.base import Model
from bigrain.encoders.static import CONTEXT, FOLDER, TOKEN_DIM, StaticEncoder
from bigrain.encoders.wordpiece import BertTokeniser, normalise
from bigrain.registry import make_encoder

TEXTS = [
    "The aspirin dose for a child with fever",
    "Wings with flaps stall at low speeds; Kortewegdevries equations, kortewegdevriess.",
    "",
    "Rare words rare words rare",
]
FOREIGN = "数学とは何か"


@pytest.fixture(scope="module")
def model() -> StaticEncoder:
    return StaticEncoder()


def dense_rows(matrix: bigrain.SparseMatrix) -> np.ndarray:
    out = np.zeros(matrix.shape, np.float32)
    for i, (a, b) in enumerate(zip(matrix.indptr, matrix.indptr[1:], strict=False)):
        np.add.at(out[i], matrix.indices[a:b], matrix.data[a:b])
    return out


def test_the_model_gives_all_families_with_the_shapes_it_says(model: StaticEncoder) -> None:
    assert isinstance(model, Model)
    found = model.encode_documents(TEXTS)
    assert found["dense"].shape == (4, 256) and found["dense"].dtype == np.float32
    sparse = found["sparse"]
    assert sparse.shape == (4, len(model.vocabulary) + static_sparse.BUCKETS)
    values, ends = found["multivector"]
    assert values.shape == (ends[-1], TOKEN_DIM) and len(ends) == 5
    assert not values[ends[2] : ends[3]].any() and ends[3] - ends[2] == 1  # an empty text
    np.testing.assert_allclose(np.linalg.norm(values[: ends[2]], axis=1), 1, atol=1e-5)
    for family in model.families:
        head = make_encoder("bigrain/static-v1", family)
        assert head.family == family and head.fingerprint()["name"] == "bigrain/static-v1"


def test_the_dense_fingerprint_is_what_collections_were_built_with(model: StaticEncoder) -> None:
    found = model.head("dense").fingerprint()
    assert set(found) == {"name", "dim", "tf_power", "weights"}
    assert set(found["weights"]) == {"vocab.txt", "table.npy", "scales.npy"}
    assert model.head("sparse").fingerprint() != model.head("multivector").fingerprint()


def test_texts_encoded_alone_are_as_in_a_batch(model: StaticEncoder) -> None:
    together = model.encode_documents(TEXTS)
    for i, text in enumerate(TEXTS):
        alone = model.encode_documents([text])
        np.testing.assert_allclose(alone["dense"][0], together["dense"][i], atol=1e-6)
        a, b = together["sparse"].indptr[i : i + 2]
        np.testing.assert_array_equal(alone["sparse"].indices, together["sparse"].indices[a:b])
        np.testing.assert_allclose(alone["sparse"].data, together["sparse"].data[a:b], atol=1e-5)
        a, b = together["multivector"][1][i : i + 2]
        np.testing.assert_allclose(
            alone["multivector"][0], together["multivector"][0][a:b], atol=1e-5
        )


def test_sparse_queries_count_words_and_leave_function_words_out(model: StaticEncoder) -> None:
    found = dense_rows(model.encode_queries(["the fevers of fever", "rare"], ["sparse"])["sparse"])
    fever = model.columns[model.vocabulary.index("fever")]
    assert found[0, fever] == 2 and (found[0] > 0).sum() == 1


def test_sparse_documents_equal_the_formula(model: StaticEncoder) -> None:
    text = "rare words rare"
    found = dense_rows(model.encode_documents([text], ["sparse"])["sparse"])[0]
    vector = model.encode_documents([text], ["dense"])["dense"][0].astype(np.float64)
    rows = model.rows().astype(np.float64)
    wanted = np.zeros_like(found)
    columns = np.unique(model.columns[model.columns >= 0])
    words = [
        c
        for c in columns
        if (w := model.vocabulary[c]).isascii() and w.isalpha() and len(w) > 2 and rows[c].any()
    ]
    cosines = rows[words] @ vector / np.linalg.norm(rows[words], axis=1)
    nearest = np.argsort(-cosines)[: static_sparse.NEAREST]
    own = {model.columns[model.vocabulary.index("rare")]: 2.0}
    own[model.columns[model.vocabulary.index("words")]] = 1.0
    norm = 1.2 * (0.25 + 0.75 * 3 / 100)
    for column, count in own.items():
        wanted[column] = count / (count + norm)
    added = 0
    for at in nearest:
        column = words[at]
        if column in own:
            wanted[column] += static_sparse.OWN * cosines[at]
        elif added < static_sparse.ADDED:
            wanted[column] = static_sparse.NEW * cosines[at]
            added += 1
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_unknown_words_meet_by_their_pieces_with_or_without_an_ending(model: StaticEncoder) -> None:
    found = model.encode_queries(["zyxwvutq", "zyxwvutqs", "zyxwvutp"], ["sparse"])["sparse"]
    first, second, other = found.indices
    assert first == second != other and first >= len(model.vocabulary)


def test_tokens_equal_a_plain_reference(model: StaticEncoder) -> None:
    text = "fever fever of the child"
    rows = model.rows()
    mean = model.encode_documents([text], ["dense"])["dense"][0, :TOKEN_DIM]
    mean /= np.linalg.norm(mean)
    wanted, lengths = [], []
    for piece in sorted(model.vocabulary.index(w) for w in ("fever", "child")):
        row = rows[piece, :TOKEN_DIM]
        unit = row / np.linalg.norm(row) + CONTEXT * mean
        wanted.append(unit / np.linalg.norm(unit))
        lengths.append(np.linalg.norm(rows[piece]))
    values, ends = model.encode_documents([text], ["multivector"])["multivector"]
    np.testing.assert_allclose(values, wanted, atol=1e-5)
    assert ends.tolist() == [0, 2]
    values, _ = model.encode_queries([text], ["multivector"])["multivector"]
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), lengths, rtol=1e-5)


def test_foreign_scripts_are_told_and_search_survives_them(
    model: StaticEncoder, tmp_path: Path
) -> None:
    assert "outside what bigrain/static-v1 knows" in model.notices([FOREIGN])[0]
    name = "bigrain/static-v1"
    fields = {
        "words": bigrain.LexicalField(),
        "dense": bigrain.DenseField(encoder=name),
        "sparse": bigrain.SparseField(encoder=name),
        "tokens": bigrain.MultiVectorField(encoder=name),
    }
    with bigrain.create(tmp_path / "c.grain", fields=fields) as col:
        with warnings.catch_warnings(action="ignore"):
            col.add([{"id": "a", "text": FOREIGN}, {"id": "b", "text": TEXTS[0]}, "ᚠᚢᚦ"])
        col.commit()
        assert col.search("aspirin", k=1)[0].id == "b"
        assert col.search("medicine for children", k=1, fields=["sparse"])[0].id == "b"
        assert col.search("medicine for children", k=1, fields=["tokens"])[0].id == "b"
        assert col.search("ᚠᚢᚦ", k=3, fields=["sparse"]) == []


def test_sparse_scores_are_weighed_by_the_rarity_of_words(tmp_path: Path) -> None:
    fields = {"s": bigrain.SparseField(encoder="bigrain/static-v1")}
    texts = ["fever and zyxwvutq", "fever again", "fever once more"]
    with bigrain.create(tmp_path / "c.grain", fields=fields) as col:
        col.add({"id": str(i), "text": text} for i, text in enumerate(texts))
        col.commit()
        model = StaticEncoder()
        held = dense_rows(model.encode_documents(texts, ["sparse"])["sparse"])
        asked = dense_rows(model.encode_queries(["fever zyxwvutq"], ["sparse"])["sparse"])[0]
        df = (held > 0).sum(axis=0)
        idf = np.log1p((3 - df + 0.5) / (df + 0.5))
        scores = {hit.id: hit.score for hit in col.search("fever zyxwvutq")}
        np.testing.assert_allclose(
            [scores[str(i)] for i in range(3)], held @ (asked * idf), rtol=1e-3
        )


@pytest.mark.parametrize("name", ["columns.npy", "table.npy", "scales.npy", "vocab.txt"])
def test_a_damaged_or_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(bigrain.DamagedError, match=name):
        StaticEncoder(folder)
    (folder / name).unlink()
    with pytest.raises(bigrain.ConfigError, match=name):
        StaticEncoder(folder)


def test_words_that_the_encoder_does_not_know_count_little(tmp_path: Path) -> None:
    texts = ["зерно хранится в высоких силосах", "мельницы мелют пшеницу", "grain in tall silos"]
    with bigrain.create(tmp_path / "a.grain") as col:
        with pytest.warns(UserWarning, match="outside what"):
            col.add([{"id": str(i), "text": text} for i, text in enumerate(texts)])
        col.commit()
        for query, weight in (("зерно", 0.035 / 0.685), ("grain", 0.35)):
            hit = col.search(query, k=1)[0]
            assert hit.parts["dense"].weight == pytest.approx(weight)
            assert sum(hit.parts.values()) == pytest.approx(hit.score)
        together = col.search_many(["зерно", "grain"], k=3)
        alone = [col.search(query, k=3) for query in ("зерно", "grain")]
        assert [[(h.id, h.score) for h in row] for row in together] == [
            [(h.id, h.score) for h in row] for row in alone
        ]
        (one,) = col.search("зерно", k=1, fields=["dense"])
        assert one.parts["dense"].weight == 1
    encoder = StaticEncoder()
    both = "зерно: grain in tall silos of steel"
    assert encoder.covers(["grain", "зерно", "", both]).tolist() == [True, False, True, True]


# -- where tokens stand ---------------------------------------------------------------------------

LETTERS = "abcÀéßİΣςnˇ\u0301\u302e\u093f한Ǆ日。—#'.,!-\n\t \x0b\x85\u2029\u200d\u00ad"


@given(text=st.text(st.sampled_from(LETTERS) | st.characters(exclude_categories=["Cs"])))
def test_pieces_stand_where_their_letters_are(text: str) -> None:
    vocabulary = [
        "[UNK]",
        "a",
        "##a",
        "ab",
        "##b",
        "##c",
        "n",
        "ß",
        "##n",
        "s",
        "日",
        "。",
        "#",
        ".",
    ]
    tokeniser = BertTokeniser(vocabulary)
    ids, spans = tokeniser.places(text)
    np.testing.assert_array_equal(ids, tokeniser.encode([text])[0])
    assert spans.shape == (len(ids), 2)
    assert (spans[:, 0] < spans[:, 1]).all() and (np.diff(spans, axis=0) >= 0).all()
    for piece, (start, end) in zip(ids.tolist(), spans.tolist(), strict=True):
        if piece:
            letters = normalise(text[start:end]).strip()
            assert letters == vocabulary[piece].removeprefix("##")


def test_every_token_vector_tells_all_its_places(model: StaticEncoder) -> None:
    texts = [*TEXTS, FOREIGN, "Über cafés:\x00 the\u200bÜBER; of", "a" * 200]
    _, ends = model.encode_documents(texts, ["multivector"])["multivector"]
    told = model.token_places(texts)
    assert [rows[:, 0].max() + 1 for rows in told] == np.diff(ends).tolist()
    assert told[2].tolist() == told[6].tolist() == [[0, 0, 0]]  # a token that is nowhere
    standing = [(token, TEXTS[3][a:b]) for token, a, b in told[3].tolist()]
    rare = standing[0][0]
    assert standing == [(rare if w.lower() == "rare" else 1 - rare, w) for w in TEXTS[3].split()]
    words = {texts[5][a:b] for _, a, b in told[5].tolist()}
    assert {"Über", "ÜBER"} <= words
